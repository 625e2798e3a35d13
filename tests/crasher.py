"""Ends a process at a chosen file operation, as a kill would, or lets the disk be full there."""

import builtins
import contextlib
import errno
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from gpsseg.faults import DiskError

KILLED, REFUSED = 99, 2
FULL = "full"  # nothing is ended, but from there on the disk is full
GROWS = ("open", "mkdir", "fsync", "rename", "replace")
BEFORE, AFTER, HALF = "before", "after", "half"  # half: the file holds some bytes of another end
Point = tuple[int, str]


class Operations:
    """Counts what is done to files below a folder, and ends the process at one of them.

    Args:
        root: the folder.
        point: number of the operation, from 1, and when to end; None only counts.
    """

    def __init__(self, root: Path, point: Point | None = None):
        self.root, self.point = str(root), point
        self.seen: list[str] = []
        self._handles: dict[int, str] = {}

    def watch(self) -> None:
        """Put themselves in the place of the system's calls, for the rest of the process."""
        for name in ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate", "ftruncate"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        for name in ("rename", "replace"):
            setattr(os, name, self._wrapped(name, getattr(os, name), of=1))
        os.fsync = self._wrapped("fsync", os.fsync)
        os.open = self._opened(os.open, _flags_write)
        builtins.open = io.open = self._opened(io.open, _mode_writes)

    def _below(self, path: object) -> str:
        """The path below the root, or an empty string."""
        if isinstance(path, int):
            with contextlib.suppress(OSError):
                path = os.readlink(f"/proc/self/fd/{path}")
        text = os.path.abspath(os.fsdecode(path)) if not isinstance(path, int) else ""
        return text[len(self.root) + 1 :] if text.startswith(f"{self.root}/") else ""

    def _wrapped(self, name: str, call: Callable, of: int = 0) -> Callable:
        def wrapped(*args, **kwargs):
            place = self._below(args[of])
            if not place:
                return call(*args, **kwargs)
            number = self._comes(f"{name} {place}")
            try:
                return call(*args, **kwargs)
            finally:
                self._end(number, AFTER)

        return wrapped

    def _opened(self, call: Callable, writes: Callable) -> Callable:
        def wrapped(path, *args, **kwargs):
            place = self._below(path) if writes(*args, **kwargs) else ""
            if not place:
                return call(path, *args, **kwargs)
            number = self._comes(f"open {place}")
            found = call(path, *args, **kwargs)
            self._end(number, AFTER)
            if self.point == (number, HALF):
                with io.FileIO(path, "ab") as file:
                    file.write(b'{"half": "a li')
            self._end(number, HALF)
            return found

        return wrapped

    def _comes(self, what: str) -> int:
        self.seen.append(what)
        number, when = self.point or (0, "")
        if when == FULL and len(self.seen) >= number and what.split()[0] in GROWS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), what)
        self._end(len(self.seen), BEFORE)
        return len(self.seen)

    def _end(self, number: int, when: str) -> None:
        if self.point == (number, when):
            os._exit(KILLED)


def _flags_write(flags=0, *_, **__) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _mode_writes(mode="r", *_, **__) -> bool:
    return bool(set(mode) & set("wax+"))


def in_a_child(command: Callable[[], object], root: Path, point: Point | None = None) -> list[str]:
    """Run a command in a forked process, which ends at a point if it gets there.

    Returns:
        The operations, or none of a process that was ended.

    Raises:
        AssertionError: it failed of itself; with what it said.
    """
    told = root.with_name(f"{root.name}-told.txt")
    child = os.fork()
    if child == 0:
        try:
            out = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
            operations = Operations(root, point)
            operations.watch()
            command()
            print("\n".join(["OPERATIONS", *operations.seen]))
            os._exit(0)
        except DiskError as error:
            print(error)
            os._exit(REFUSED)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = told.read_text(errors="replace")
    full = point is not None and point[1] == FULL
    assert status in ((0, REFUSED) if full else (0, KILLED)), text
    if status == REFUSED:
        last = text.splitlines()[-1]
        assert "No space left on device. Free some space, then " in last, text
        assert str(root) in last, text
    if status:
        assert point, text
        return []
    return text.partition("OPERATIONS\n")[2].splitlines()


def points_of(operations: list[str]) -> list[Point]:
    """All points at which a command can be ended."""
    return [
        (number, when)
        for number, what in enumerate(operations, 1)
        for when in (BEFORE, *((AFTER, HALF) if what.startswith("open ") else (AFTER,)))
    ]


def full_points_of(operations: list[str]) -> list[Point]:
    """All points at which the disk can become full."""
    numbered = enumerate(operations, 1)
    return [(number, FULL) for number, what in numbered if what.split()[0] in GROWS]
