"""Templates, styles and scripts put together to one file."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from gpsseg.config.told import mark
from gpsseg.errors import counted, memory_text, size_text
from gpsseg.evaluators.words import (
    interval_text,
    interval_words,
    mean_words,
    name_of_result,
    p_text,
    refresh_words,
    varied_text,
    words_sentence,
)

HERE = Path(__file__).resolve().parent


def styles(*names: str) -> Markup:
    """Style sheets of this folder, one after the other."""
    return Markup("\n".join((HERE / name).read_text(encoding="utf-8") for name in names))


def fill_template(template: str, scripts: Sequence[str], context: dict[str, Any]) -> str:
    """Fill a template of this folder; everything but our own CSS and JavaScript is escaped.

    A content security policy lets the page run that one script, and load nothing.
    """
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            **context,
            css=styles("charts.css", "report.css"),
            script=Markup(script),
            script_hash=digest,
        )
    )


@functools.cache
def _environment() -> Environment:
    """The templates, each compiled once: that takes longer than to fill it."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "data_uri": data_uri,
        "short": short,
        "interval": interval_text,
        "p": p_text,
        "varied": varied_text,
        "interval_words": interval_words,
        "mean_words": mean_words,
        "name_of_result": name_of_result,
        "refresh_words": refresh_words,
        "counted": counted,
        "size": size_text,
        "memory": memory_text,
        "mark": mark,
        "words_sentence": words_sentence,
    }
    return environment


def data_uri(content: bytes, kind: str) -> str:
    """Return ``content`` as a data URI of the image type ``kind``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def short(count: int) -> str:
    """Write a count in a few characters.

    >>> short(864), short(9216), short(9984), short(1_579_520)
    ('864', '9.2 k', '10 k', '1.6 M')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{1 if count < 9.95 * size else 0}f} {unit}"
    return str(count)
