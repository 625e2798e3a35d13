"""Files and folders: where things lie, and how they are written so that nothing is lost."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.errors import UserError
from gpsseg.scope import CleanText, clean, clean_page
from gpsseg.veil import plain

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = Path(__file__).resolve().parent


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
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(text)
    os.replace(partial, path)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``, of the same ending, that takes its place if all goes well.

    It may be read by whom the user's umask lets read, whatever the library that writes it says.
    """
    partial = path.with_name(f".partial-{path.name[-60:]}")  # a name has 255 bytes at most
    try:
        partial.open("wb").close()
        mode = stat.S_IMODE(partial.stat().st_mode)
        yield partial
        partial.chmod(mode)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. Paths become strings."""
    _put(path, json.dumps(clean(value), indent=2, ensure_ascii=False, default=str) + "\n")


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
    """Write a safetensors file, atomically.

    Metadata that are JSON hold the program's own names, of which only whole ones can be hidden.
    """
    from safetensors.torch import save_file

    kept = {name: clean(text, whole=text[:1] in ("[", "{")) for name, text in metadata.items()}
    with replacing(path) as partial:
        save_file(dict(tensors), partial, kept)


@contextlib.contextmanager
def console_in(path: Path) -> Iterator[None]:
    """Append what is printed meanwhile to a text file, cleaned like everything in files."""
    with path.open("a", encoding="utf-8", errors="replace") as file:
        text: Any = CleanText(file.write)
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                yield
            finally:
                text.end()


def new_folder(path: Path) -> Path:
    """Create ``path`` and return it; a folder that holds anything is never written into.

    Raises:
        UserError: ``path`` is a file, or a folder that is not empty.
    """
    refuse_existing(path)
    return make_folder(path)


def refuse_existing(path: Path) -> None:
    """Refuse to write to a file, or to a folder that holds anything.

    Raises:
        UserError: ``path`` is one.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"{path} already exists and is not empty; gpsseg never overwrites a result. "
            "Name another --output, or move the old one away."
        )


def make_folder(path: Path) -> Path:
    """Create ``path`` unless it is there, and return it.

    Raises:
        UserError: it, or a folder above it, is a file or may not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {path} cannot be made: {error.strerror}. Name another --output."
        ) from None
    return path


def new_run_folder(output: Path | None, name: str) -> Path:
    """Create the folder of one run: ``output``, or ``runs/<name>-<time>`` under the working folder.

    Raises:
        UserError: as ``new_folder``.
    """
    if output is not None:
        return new_folder(output)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ["", *(f"-{n}" for n in range(2, 100))]:
        folder = Path("runs") / f"{name}-{stamp}{suffix}"
        if not folder.exists():
            return new_folder(folder)
    raise UserError(f"runs/{name}-{stamp} and 98 namesakes exist already. Pass --output DIR.")


def is_main_process() -> bool:
    """Whether this is the one of several processes that speaks and writes (or the only one)."""
    return os.environ.get("RANK", "0") == "0"


def log_to(path: Path) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that appends one JSON line to ``path`` and flushes it."""

    def log(line: Mapping[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean(line)) + "\n")

    return log
