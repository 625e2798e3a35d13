"""Folders of results: never written over, and begun again by the command that was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpsseg.errors import UserError
from gpsseg.files import is_main_process, write_text
from gpsseg.processes import begun_at
from gpsseg.writing import (
    PARTIAL,
    cannot_be_made,
    flush_file,
    flush_folder,
    is_partial,
    make_folder,
    remove_folder,
    rename_folder,
    writing_to,
)

UNFINISHED = ".unfinished"  # stands in a folder until all files of a command are there
LONGEST = 1000  # characters of what it holds


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
        write_text(path / UNFINISHED, _mark_of(begun_by))
    return path


def finish_folder(path: Path) -> None:
    """Say that a folder holds all that the command was to write."""
    if not is_main_process():
        return
    with writing_to(path / UNFINISHED):
        flush_folder(path)
        (path / UNFINISHED).unlink(missing_ok=True)


def _mark_of(settings: object) -> str:
    """What a folder is marked with: which settings have begun it, and which process is at work.

    Both as hashes: settings name what nobody should read, and so does a machine.
    """
    import psutil

    own = psutil.Process()
    whole = "" if settings is None else _whole(settings)
    whom = (_hash(whole), _hash(socket.gethostname()), own.pid, round(own.create_time()))
    return "".join(f"{each}\n" for each in whom)


def _read_mark(folder: Path) -> list[str]:
    """What ``_mark_of`` has left in a folder, line by line."""
    mark = folder / UNFINISHED
    return mark.read_text("utf-8", "replace")[:LONGEST].split("\n") if mark.is_file() else []


def _whole(settings: object) -> str:
    """Settings as text; with whole paths, as the same words mean other files elsewhere."""
    names = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    return repr({name: _absolute(getattr(settings, name)) for name in names})


def _absolute(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_absolute(each) for each in value)
    return value.absolute() if isinstance(value, Path) else value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _is_at_work(mark: Sequence[str]) -> bool:
    """Whether the process that has left a mark is another one of this machine, and runs."""
    try:
        number, since = int(mark[2]), float(mark[3])
    except (IndexError, ValueError):
        return False
    if not _is_here(mark) or number == os.getpid():
        return False
    there = begun_at(number)
    return there is not None and abs(there - since) < 2


def _is_here(mark: Sequence[str]) -> bool:
    """Whether a mark was left on this machine."""
    return len(mark) > 1 and mark[1] == _hash(socket.gethostname())


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
    left = _read_mark(path)
    if _is_at_work(left):
        raise UserError(
            f"Another process is writing to {path}. Wait for it, or name another --output."
        )
    if path.is_dir() and all(is_partial(file) or file == mark for file in path.iterdir()):
        return
    unfinished = mark.is_file()
    if unfinished and begun_by is not None and left[0] == _hash(_whole(begun_by)):
        return
    why = (
        "was begun with other settings and left unfinished"
        if unfinished
        else f"already exists{' and is not empty' if path.is_dir() else ''}; gpsseg never "
        "overwrites a result"
    )
    free = _next_free(path)
    other = "Name another --output" + (f", such as {free}" if free else "")
    raise UserError(f"{path} {why}. {other}, or move the old one away.")


def _next_free(path: Path) -> Path | None:
    """The first of name-2, name-3 and so on that is not there; a file keeps its ending.

    None for what has no name of its own to add to: the working folder, one above it, or the root.
    """
    if path.name in ("", ".."):
        return None
    ending = "" if path.is_dir() else path.suffix
    stem = path.name.removesuffix(ending)
    named = (path.with_name(f"{stem}-{number}{ending}") for number in itertools.count(2))
    return next(free for free in named if not os.path.lexists(free))


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


@contextlib.contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that gets its name if all goes well; else it goes.

    So do those beside it of earlier commands that were killed; not of one that is at work.

    Raises:
        DiskError: it cannot be written.
        UserError: there is something at ``path`` by now.
    """
    path = path.absolute()  # "." has no name
    _remove_abandoned(path.parent)
    partial = path.with_name(f"{PARTIAL}{path.name}-{secrets.token_hex(4)}")
    make_folder(partial)
    try:
        with writing_to(path):
            write_text(partial / UNFINISHED, _mark_of(None))
            yield partial
            (partial / UNFINISHED).unlink()
            plain = stat.S_IMODE(partial.stat().st_mode) & 0o666
            for file in sorted(partial.rglob("*")):
                if file.is_file():
                    file.chmod(plain)  # some libraries let only the user read
                    flush_file(file)
        refuse_existing(path)
        rename_folder(partial, path)
    finally:
        remove_folder(partial)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders that killed processes of this machine were making whole."""
    with contextlib.suppress(OSError):
        for each in parent.iterdir():
            mark = _read_mark(each) if is_partial(each) else []
            if _is_here(mark) and not _is_at_work(mark):
                remove_folder(each)
