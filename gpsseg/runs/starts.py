"""Run folders that hold no result yet: what may be begun anew, and who is at work in them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gpsseg.config.folder import RunFolder
from gpsseg.errors import UserError
from gpsseg.files import refuse_existing
from gpsseg.reading import read_log

START = RunFolder(Path())
OF_A_START = {
    *(START.config.name, START.split.name, START.card.name, START.salt.name, START.log.name),
    *(START.selection.name, START.layers.name, START.delta.name, START.resume_point.parent.name),
}
PARTIAL = ".partial"  # of a file that is being written


def has_resume_point(run: Path) -> bool:
    """Whether an epoch of a run was finished."""
    return RunFolder(run).resume_point.is_file()


def is_unfinished_start(folder: Path) -> bool:
    """Whether a folder holds a run that was stopped in its first epoch, and nothing else."""
    if not folder.is_dir() or has_resume_point(folder):
        return False
    names = {path.name for path in folder.iterdir()}
    plain = {name.removesuffix(PARTIAL).removeprefix(f"{PARTIAL}-") for name in names}
    if not names or not plain <= OF_A_START or (START.delta.name in names and _trained(folder)):
        return False
    config = START.config.name
    return config in names or names == {f"{config}{PARTIAL}"}


def _trained(run: Path) -> bool:
    """Whether the log tells of an epoch: the delta beside it may then be worth something."""
    return any(row.get("event") == "epoch" for row in read_log(RunFolder(run).log))


def refuse_result(output: Path) -> None:
    """Refuse to write a run into a folder that holds anything but an unfinished start.

    Raises:
        UserError: it does.
    """
    if is_unfinished_start(output):
        return
    if has_resume_point(output) and not RunFolder(output).metrics.exists():
        raise UserError(
            f"{output} holds a run that was stopped. Go on with it by --resume {output}, or name "
            "another --output."
        )
    refuse_existing(output)


def clear_start(output: Path | None) -> Path | None:
    """Empty a folder of an unfinished start, and return it; any other is left as it is.

    Raises:
        UserError: another process is at work in it.
    """
    if output is not None and is_unfinished_start(output):
        with alone_in(output):
            for path in output.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return output


@contextlib.contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder, where the system can lock one.

    Raises:
        UserError: another process is at work in it.
    """
    if find_spec("fcntl") is None:  # Windows
        yield
        return
    import fcntl

    handle = os.open(run, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"Another process is training in {run}. Wait for it, or name another --output."
                ) from None
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # also for processes that were forked meanwhile
        os.close(handle)
