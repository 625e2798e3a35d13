"""Run folders that hold no result yet: what may be begun anew, and who is at work in them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gpsseg.config.folder import RunFolder, goes_on_by
from gpsseg.config.resuming import refuse_finished
from gpsseg.errors import UserError
from gpsseg.faults import SAME, DiskError
from gpsseg.folders import refuse_existing
from gpsseg.reading import read_log
from gpsseg.writing import is_partial, remove_file, remove_folder

START = RunFolder(Path())
OF_A_START = {
    *(START.config.name, START.split.name, START.card.name, START.salt.name, START.log.name),
    *(START.selection.name, START.layers.name, START.delta.name, START.resume_point.parent.name),
    START.tensorboard.name,
}
OLD = ".partial"  # ended the names of files that version 0.1 was writing


def has_resume_point(run: Path) -> bool:
    """Whether an epoch of a run was finished."""
    return RunFolder(run).resume_point.is_file()


def is_unfinished_start(folder: Path) -> bool:
    """Whether a folder holds a run that was stopped in its first epoch, and nothing else."""
    if not folder.is_dir() or has_resume_point(folder):
        return False
    found = list(folder.iterdir())
    names = {path.name for path in found if not is_partial(path)}
    plain = {name.removesuffix(OLD) for name in names}
    if not found or not plain <= OF_A_START or (START.delta.name in names and _trained(folder)):
        return False
    return not plain or START.config.name in plain


def _trained(run: Path) -> bool:
    """Whether the log tells of an epoch: the delta beside it may then be worth something."""
    return any(row.get("event") == "epoch" for row in read_log(RunFolder(run).log))


def next_command(run: Path) -> str:
    """What to do where the command that writes a run was stopped."""
    if RunFolder(run).metrics.is_file():
        return f"write its page by: python -m gpsseg.report --run {run}"
    if has_resume_point(run) or is_unfinished_start(run):
        return f"go on by: {goes_on_by(run)}"
    return SAME


@contextlib.contextmanager
def gone_on_with(run: Path) -> Iterator[None]:
    """Let an error of the disk, and Ctrl-C, say how a run is gone on with.

    Raises:
        DiskError, KeyboardInterrupt: that one, with the next command.
    """
    try:
        yield
    except DiskError as error:
        raise error.again(next_command(run)) from None
    except KeyboardInterrupt:
        then = next_command(run)
        raise KeyboardInterrupt(f"{then[0].upper()}{then[1:]}") from None


def refuse_result(output: Path) -> None:
    """Refuse to write a run into a folder that holds anything but an unfinished start.

    Raises:
        UserError: it does.
    """
    if is_unfinished_start(output):
        return
    run = RunFolder(output)
    if run.metrics.is_file() and run.config.is_file() and not run.report.exists():
        refuse_finished(output)
    if has_resume_point(output) and not run.metrics.exists():
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
                remove_folder(path) if path.is_dir() else remove_file(path)
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
