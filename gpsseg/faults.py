"""What is wrong with a file, the disk or the memory, in a sentence, whatever a library calls it."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path

from gpsseg.errors import UserError

SAME = "give the same command again"
NO_MEMORY = ("OutOfMemoryError", "BrokenProcessPool")  # torch's; of a process that was ended
# What libraries say where they raise no MemoryError, and of processes that the system ended.
OUT_OF_MEMORY = re.compile(
    "can't allocate memory|not enough memory|out of memory|Cannot allocate memory"
    "|CUBLAS_STATUS_ALLOC_FAILED|insufficient shared memory|failed to map segment"
    "|Invalid buffer size: [0-9.]+ [KMGT]i?B"  # larger than Apple's GPU takes
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
        kinds = (RuntimeError, OSError, ImportError)
        if isinstance(error, kinds) and OUT_OF_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


def pass_want_of_memory(error: Exception) -> None:
    """Let an error that says nothing of what was read, but that memory ran out, go on its way."""
    if is_out_of_memory(error):
        raise error


class DiskError(UserError):
    """Something could not be written; what was finished before it stays.

    Args:
        what: a sentence: which file, and why.
        fix: the beginning of another one, without its end.
        number: the system's errno.
        then: what to do after the fix.
    """

    def __init__(self, what: str, fix: str = "", number: int = 0, then: str = SAME):
        super().__init__(f"{what} {fix}, then {then}." if fix else what)
        self.what, self.fix, self.number = what, fix, number

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


class MachineError(UserError):
    """It was the machine that could not, now, and not the file, which may be sound."""


class NetworkError(UserError):
    """It was the network that failed on a picture, and not the picture's file, which was read."""


@contextlib.contextmanager
def by_network() -> Iterator[None]:
    """Turn an unforeseen error of a network into one that says whose it is, and not of a file.

    Raises:
        NetworkError: with the error's type alone, as its text may hold anything; want of memory
            stays what it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_machines(error) or stops_all(error):
            raise
        kind = type(error).__name__
        raise NetworkError(
            f"the network failed on it ({kind}). Its file was read and need not be copied again."
        ) from error.with_traceback(None)  # whose frames hold it, and the pictures, by Python 3.12


MACHINES = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ESTALE)


def is_machines(error: BaseException) -> bool:
    """Whether an error says nothing of the file that was read."""
    if isinstance(error, UserError):
        return isinstance(error, MachineError)
    return is_out_of_memory(error) or (isinstance(error, OSError) and error.errno in MACHINES)


def file_error(path: Path, error: BaseException) -> UserError:
    """``fault_of`` as an error."""
    return (MachineError if is_machines(error) else UserError)(fault_of(path, error))


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


def is_there(path: Path | str) -> bool:
    """Whether there is anything at a path of the user's, who may have passed any text."""
    try:
        return Path(path).exists()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte; a link to itself
        return False


def no_file(path: Path) -> str:
    """Why there is no file to read at a path: "does not exist", "is a folder" or "is no file"."""
    try:
        if path.is_dir():
            return "is a folder"
        return "is no file" if path.exists() else "does not exist"
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        return f"cannot be there ({getattr(error, 'strerror', error)})"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn any error of what is done with a file into a ``UserError`` that names it.

    Raises:
        UserError: anything failed.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise file_error(path, error) from None


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
