"""What the page hangs on in gradio beyond its documented use; all of it, so that it can be checked.

A later gradio may call it otherwise: then what it keeps out would come in, and nobody would see it.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from gpsseg.console import say
from gpsseg.demo.view import UNFORESEEN
from gpsseg.errors import UserError, one_line

HOOKS = (
    ("gradio.components", "File.async_move_resource_to_block_cache"),
    ("gradio.blocks", "Blocks.process_api"),
    ("gradio.route_utils", "MultiPartException"),
    ("gradio.route_utils", "upload_fn"),
    ("gradio.routes", "file_upload_statuses"),
)
ATTRIBUTES = ("has_launched", "upload_file_set")  # of a page


def require_hooks() -> None:
    """Refuse a gradio that the page does not know.

    Raises:
        UserError: something that the page hangs on is not there.
    """
    page = gr.Blocks(analytics_enabled=False)
    missing = [name for name in ATTRIBUTES if not hasattr(page, name)]
    for module, name in HOOKS:
        try:
            functools.reduce(getattr, name.split("."), importlib.import_module(module))
        except (ImportError, AttributeError):
            missing.append(f"{module}.{name}")
    if missing:
        raise UserError(
            f"This gradio, {version('gradio')}, lacks {missing[0]}, by which the demo keeps "
            "others' files apart. Install one that it knows: pip install 'gpsseg[demo]'."
        )


def only_uploads(files: gr.File) -> None:
    """Let nobody name an address instead of a file: gradio would fetch it."""
    take = files.async_move_resource_to_block_cache

    async def taken(url_or_file_path: str | Path | None) -> str | None:
        if urlsplit(str(url_or_file_path)).scheme in ("http", "https"):
            raise gr.Error("Drop a file.", print_exception=False)
        return await take(url_or_file_path)

    files.async_move_resource_to_block_cache = taken  # type: ignore[method-assign]


def forgiving(page: gr.Blocks) -> None:
    """Take a slider's number beyond its ends, or none, as an end; tell faults in one line."""
    whole = page.process_api

    async def answered(
        block_fn: Any, inputs: list[Any], state: Any = None, **settings: Any
    ) -> dict[str, Any]:
        given = list(inputs)
        for place, block in enumerate(block_fn.inputs[: len(given)]):
            if isinstance(block, gr.Slider):
                known = state is not None and block._id in state
                given[place] = _nearest(given[place], state[block._id] if known else block)
        try:
            found: dict[str, Any] = await whole(block_fn, given, state, **settings)
        except gr.Error as error:
            raise gr.Error(error.message, print_exception=False) from None
        except Exception as error:
            say(f"A call was refused: {one_line(f'{type(error).__name__}: {error}')[:200]}")
            raise gr.Error(UNFORESEEN, print_exception=False) from None
        return found

    page.process_api = answered  # type: ignore[method-assign, assignment]


def _nearest(given: Any, slider: gr.Slider) -> float:
    number = given if isinstance(given, (int, float)) and given == given else slider.minimum
    return min(max(number, slider.minimum), slider.maximum)
