"""Files and folders: where things lie, and how they are written so that nothing is lost."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.errors import UserError
from gpsseg.schema import KEY, SCHEMA, with_schema
from gpsseg.scope import CleanText, clean, clean_page
from gpsseg.veil import plain
from gpsseg.writing import (
    append,
    cannot_be_made,
    flush_folder,
    is_partial,
    make_folder,
    replacing,
    write_tensors,
    writing_to,
)

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = Path(__file__).resolve().parent
UNFINISHED = ".unfinished"  # stands in a folder until all files of a command are there


def bundled(name: str) -> Path:
    """Return the folder ``name`` shipped with gpsseg: inside a wheel, or beside the package."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


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
    """Write a CSV with one row an image (UTF-8), atomically."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]))
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


@contextlib.contextmanager
def console_in(path: Path) -> Iterator[None]:
    """Append what is printed meanwhile to a text file, cleaned like everything in files."""
    text: Any = CleanText(functools.partial(append, path))
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            yield
        finally:
            text.end()


def new_folder(path: Path, begun_by: object = None) -> Path:
    """Create ``path`` and return it; a folder that holds a result is never written into.

    Args:
        path: of the folder.
        begun_by: the settings of a command that writes several files into it, and that says by
            ``finish_folder`` that all are there. Until then the same settings may begin again.

    Raises:
        UserError: ``path`` is a file, or a folder that is not empty.
    """
    refuse_existing(path, begun_by)
    make_folder(path)
    if begun_by is not None:
        write_text(path / UNFINISHED, _told(begun_by))
    return path


def finish_folder(path: Path) -> None:
    """Say that a folder holds all that the command was to write."""
    if not is_main_process():
        return
    with writing_to(path / UNFINISHED):
        flush_folder(path)
        (path / UNFINISHED).unlink(missing_ok=True)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _told(settings: object) -> str:
    """Settings as the hash that a folder is marked with: they may name what nobody should read."""
    return f"{hashlib.sha256(repr(settings).encode('utf-8', 'replace')).hexdigest()}\n"


def refuse_existing(path: Path, begun_by: object = None) -> None:
    """Refuse to write to a file, or to a folder that holds anything.

    What a killed process was writing is nothing; neither is what a command with the same settings
    has begun, see ``new_folder``.

    Raises:
        UserError: ``path`` is one.
    """
    with cannot_be_made(path):
        if not path.exists():
            return
    mark = path / UNFINISHED
    if path.is_dir() and all(is_partial(file) or file == mark for file in path.iterdir()):
        return
    unfinished = mark.is_file()
    if unfinished and begun_by is not None and _read(mark) == _told(begun_by):
        return
    why = (
        "was begun with other settings and left unfinished"
        if unfinished
        else ("already exists and is not empty; gpsseg never overwrites a result")
    )
    raise UserError(f"{path} {why}. Name another --output, or move the old one away.")


def new_run_folder(output: Path | None, name: str, begun_by: object = None) -> Path:
    """Create the folder of one run: ``output``, or ``runs/<name>-<time>`` under the working folder.

    Raises:
        UserError: as ``new_folder``.
    """
    if output is not None:
        return new_folder(output, begun_by)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ["", *(f"-{n}" for n in range(2, 100))]:
        folder = Path("runs") / f"{name}-{stamp}{suffix}"
        if not folder.exists():
            return new_folder(folder, begun_by)
    raise UserError(f"runs/{name}-{stamp} and 98 namesakes exist already. Pass --output DIR.")


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
