"""Errors a user can act on: what, got, expected, fix."""

from __future__ import annotations

import contextlib
import difflib
import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")
SAME = "give the same command again"


class UserError(Exception):
    """A mistake the user can fix; its text is one clear sentence and is shown without traceback.

    Attributes:
        status: the command's exit status.
        everywhere: whether every one of several processes raises it, so that none waits for others.
    """

    status = 2
    everywhere = False

    def __reduce__(self) -> Any:
        """Pickle it whole, whatever its ``__init__`` takes, for another process."""
        return _pickled, (type(self), self.args, self.__dict__)


def _pickled(kind: type[UserError], args: tuple[Any, ...], rest: dict[str, Any]) -> UserError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(rest)
    return error


class SomeFailedError(UserError):
    """Some of the files could not be used; the others were, and their results are there.

    Attributes:
        failed: (file or folder, why), in the order in which they failed.
    """

    status = 3

    def __init__(self, text: str, failed: Sequence[tuple[Path, str]]):
        super().__init__(text)
        self.failed = tuple(failed)


class TrainingDivergedError(UserError):
    """A loss, weight or prediction is not finite; in training the last good state is kept."""


NO_MEMORY = ("OutOfMemoryError", "BrokenProcessPool")  # torch's; of a process that was ended
# What libraries say where they raise no MemoryError, and of processes that the system ended.
OUT_OF_MEMORY = re.compile(
    "can't allocate memory|not enough memory|out of memory|Cannot allocate memory"
    "|CUBLAS_STATUS_ALLOC_FAILED|insufficient shared memory"
    "|DataLoader worker .*(killed by signal: Killed|exited unexpectedly)",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, of this machine or its GPU, or a process was ended for want of it.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ in NO_MEMORY:
            return True
        if isinstance(error, RuntimeError | OSError) and OUT_OF_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


class DiskError(UserError):
    """Something could not be written; what was finished before it stays.

    Args:
        what: a sentence: which file, and why.
        fix: the beginning of another one, without its end.
        number: the system's errno.
        then: what to do after the fix.
    """

    def __init__(self, what: str, fix: str = "", number: int = 0, then: str = SAME):
        super().__init__(what, fix, number, then)
        self.what, self.fix, self.number = what, fix, number
        self.text = f"{what} {fix}, then {then}." if fix else what

    def __str__(self) -> str:
        return self.text

    def again(self, then: str = SAME) -> DiskError:
        """The same with another way to go on."""
        return DiskError(self.what, self.fix, self.number, then)


FIXES = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some of your quota",
    errno.EFBIG: "Lift the limit on the size of files (`ulimit -f`) or name another place",
    errno.EROFS: "Make the disk writable or name another place",
    errno.EACCES: "Give yourself the right to write there or name another place",
    errno.EPERM: "Give yourself the right to write there or name another place",
    errno.ENOENT: "See that nothing moves or deletes its folder",
    errno.EIO: "Look after the disk or name a place on another one",
}
OTHERS = {  # after which another command is given
    errno.ENOTDIR: "Name another --output: a folder above it is a file",
    errno.EEXIST: "Name another --output: a file has this name",
    errno.ENAMETOOLONG: "Name a shorter --output, or shorten the names of the input",
}


def disk_error(path: Path, error: OSError, what: str = "{} cannot be written") -> DiskError:
    """What the system says of a file or folder that cannot be written, as one sentence.

    Args:
        path: of it, by its final name.
        error: the system's.
        what: cannot be done; "{}" stands for the path.
    """
    number = error.errno or 0
    why = error.strerror or str(error) or type(error).__name__
    told = f"{what.format(path)}: {why}."
    if number in OTHERS:
        return DiskError(f"{told} {OTHERS[number]}.", number=number)
    return DiskError(told, FIXES.get(number, "See that it can be written to"), number)


def fault_of(path: Path, error: BaseException) -> str:
    """One sentence on what is wrong with a file, whatever the error.

    What an unforeseen error says is left out, as it may quote what is in the file.
    """
    if isinstance(error, UserError):
        return str(error)
    if is_out_of_memory(error):
        return f"{path} does not fit into memory. Cut it into parts, or save it smaller."
    if isinstance(error, UnicodeEncodeError):
        return f"{path} has a name with bytes that are no UTF-8. Rename it."
    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be used: {error.strerror}."
    return f"{path} cannot be used ({type(error).__name__}). Copy it again from its source."


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn any error of what is done with a file into a ``UserError`` that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(fault_of(path, error)) from None


def plain_name(path: Path) -> str:
    """A path for libraries in C++, some of which crash on a name that is no UTF-8.

    Raises:
        UserError: it is none.
    """
    with naming(path):
        str(path).encode()
    return str(path)


def stops_all(error: BaseException) -> bool:
    """Whether an error is the disk's, so that whatever comes next would fail too."""
    fatal = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    if isinstance(error, DiskError):
        return error.number in (*fatal, errno.EIO)
    return isinstance(error, OSError) and error.errno in fatal


def few(names: Iterable[object], shown: int = 3) -> str:
    """Name the first few and count the rest; what a terminal cannot print becomes U+FFFD.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c (and 2 more)'
    """
    words = [str(name) for name in names]
    plain = ["".join(c if c.isprintable() else "\ufffd" for c in word) for word in words[:shown]]
    rest = len(words) - len(plain)
    return ", ".join(plain) + (f" (and {rest} more)" if rest else "")


def counted(count: int, one: str, more: str = "") -> str:
    """A number with its noun, and with its verb where the caller gives both forms.

    Args:
        count: how many.
        one: noun (and verb) of one.
        more: of none and of several; left out, it is ``one`` with an s.

    >>> counted(1, "mask"), counted(0, "mask"), counted(2, "image was", "images were")
    ('1 mask', '0 masks', '2 images were')
    """
    return f"{count} {one if count == 1 else more or one + 's'}"


def nearest(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the option nearest to ``name``, or an empty string.

    >>> nearest("kvasri", ["kvasir", "isic2017"])
    " Did you mean 'kvasir'?"
    >>> nearest("zzz", ["kvasir"])
    ''
    """
    matches = difflib.get_close_matches(name, list(options), n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def look_up(name: str, options: Mapping[str, Value], what: str) -> Value:
    """Return ``options[name]``.

    Raises:
        UserError: ``name`` is unknown; the text lists the options and suggests the nearest.

    >>> look_up("b", {"a": 1, "b": 2}, "letter")
    2
    """
    if name in options:
        return options[name]
    known = ", ".join(sorted(options))
    raise UserError(f"Unknown {what} '{name}'.{nearest(name, options)} Known: {known}.")
