"""Files and folders: where things lie, and how they are written so that nothing is lost."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.schema import KEY, SCHEMA, with_schema
from gpsseg.scope import CleanText, clean, clean_page
from gpsseg.veil import plain
from gpsseg.writing import append, replacing, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = Path(__file__).resolve().parent
CHECKPOINTS = (".pth", ".pt", ".bin", ".safetensors", ".ckpt")  # usual; files of any are read


def bundled(name: str) -> Path:
    """Return the folder ``name`` shipped with gpsseg: inside a wheel, or beside the package."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def last_part(place: str) -> str:
    r"""The last part of a path, of whichever system.

    >>> last_part("/data/a.pth"), last_part(r"C:\data\a.pth"), last_part("unet:resnet50")
    ('a.pth', 'a.pth', 'unet:resnet50')
    """
    return re.split(r"[/\\]", place.rstrip("/\\"))[-1]


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) atomically: a reader sees the old file or the new one.

    Control characters become U+FFFD, and a nameless command's names and places are left out.
    """
    _put(path, clean_page(text, path.name))


def _put(path: Path, text: str) -> None:
    """Write cleaned text; what is no UTF-8 becomes a question mark."""
    if not is_main_process():
        return
    with replacing(path) as partial:
        partial.write_bytes(text.encode("utf-8", "replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes that hold no text, atomically."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically: paths as strings, an object's schema first."""
    text = json.dumps(with_schema(clean(value)), indent=2, ensure_ascii=False, default=str)
    _put(path, text + "\n")


def write_yaml(path: Path, value: Any, heading: str = "") -> None:
    """Write ``value`` as YAML, atomically, with ``heading`` as its comment."""
    import yaml

    text = "".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines())
    body = yaml.safe_dump(clean(value), sort_keys=False, allow_unicode=True, width=96)
    _put(path, text + body)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV (UTF-8), atomically: all rows' columns, blank in a row that has not one."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [*dict.fromkeys(name for row in rows for name in row)])
    writer.writeheader()
    writer.writerows({name: _cell(cell) for name, cell in row.items()} for row in clean(rows))
    _put(path, table.getvalue())


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, atomically; of equal content, equal bytes.

    Metadata that are JSON hold the program's own names, of which only whole ones can be hidden.
    """
    if not is_main_process():
        return
    kept = {name: clean(text, whole=text[:1] in ("[", "{")) for name, text in metadata.items()}
    with replacing(path) as partial:
        write_tensors(partial, tensors, {KEY: str(SCHEMA), **kept})


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as ``torch.load`` reads them, atomically, for libraries that want that.

    Each is written by itself, also where it is a view of a larger one.
    """
    import torch

    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(copies, file)


@contextlib.contextmanager
def console_in(path: Path) -> Iterator[None]:
    """Append what is printed meanwhile to a text file, cleaned like everything in files."""
    text: Any = CleanText(functools.partial(append, path))
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            yield
        finally:
            text.end()


def is_main_process() -> bool:
    """Whether this is the one of several processes that speaks and writes (or the only one).

    What the others write of texts, tables and tensors goes nowhere.
    """
    return os.environ.get("RANK", "0") == "0"


def log_to(path: Path) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that appends one JSON line to ``path``; see ``append``."""

    def log(line: Mapping[str, Any]) -> None:
        if is_main_process():
            append(path, json.dumps(clean(line)) + "\n")

    return log
