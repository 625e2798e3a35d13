"""The one way to write a file: under another name, flushed to the disk, and renamed.

A kill or a full disk leaves the old file or the new one. What a killed process leaves besides has
a name that starts with ``PARTIAL``: it is nobody's result, and gives way to the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.faults import disk_error

if TYPE_CHECKING:
    from torch import Tensor

PARTIAL = ".partial-"
KINDS = {  # what safetensors calls a tensor's kind
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"},
    **{"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8"},
}


def is_partial(path: Path) -> bool:
    """Whether a file is one that a killed process was writing."""
    return path.name.startswith(PARTIAL)


@contextlib.contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn the system's errors into a ``DiskError`` that names a file by its final name.

    What is read within the block is blamed too: let its errors be others'.

    Raises:
        DiskError: the system refused.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's, of what it was given
            raise
        raise disk_error(path, error) from None


@contextlib.contextmanager
def replacing(
    path: Path, private: bool = False, flush: bool = True, shared: bool = False
) -> Iterator[Path]:
    """Yield a path beside ``path``, of the same ending, that takes its place if all goes well.

    Args:
        path: the final name.
        private: whether only the user may read it; else whom the user's umask lets, whatever the
            library that writes it says.
        flush: whether it must outlive a power cut.
        shared: whether others may write the same file at the same time.

    Raises:
        DiskError: it cannot be written; what was there before is untouched.
    """
    partial = path.with_name(_partial_name(path.name, shared))
    with writing_to(path):
        partial.unlink(missing_ok=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            os.close(os.open(partial, flags, 0o600 if private else 0o666))
            mode = stat.S_IMODE(partial.stat().st_mode)
            with _foreign_errors(partial):
                yield partial
            if stat.S_IMODE(partial.stat().st_mode) != mode:
                partial.chmod(mode)
            if flush:
                flush_file(partial)
            os.replace(partial, path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    if flush:
        flush_folder(path.parent)


def _partial_name(name: str, shared: bool) -> str:
    """One for each name, however long (it has 255 bytes at most), with the same ending."""
    part = f"{os.getpid()}-{threading.get_ident()}-" if shared else ""
    whole = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{PARTIAL}{part}{whole[:12]}-{name[-30:]}"


@contextlib.contextmanager
def _foreign_errors(partial: Path) -> Iterator[None]:
    """Find out whether it is the disk that stopped a library with errors of its own type."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        if told := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(told[1]), os.strerror(int(told[1]))) from None
        try_out(partial)
        raise


def try_out(partial: Path) -> None:
    """Write a little more to a file, and take it back.

    Some libraries do not notice that the disk is full, and some do not say so.

    Raises:
        OSError: nothing more can be written.
    """
    with partial.open("ab") as file:
        size = file.tell()
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())
        file.truncate(size)


def flush_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can tell."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def cannot_be_made(path: Path) -> Iterator[None]:
    """Turn the system's errors into a ``DiskError`` that names a folder that is to be made.

    Raises:
        DiskError: it cannot be.
    """
    try:
        yield
    except OSError as error:
        raise disk_error(path, error, "The folder {} cannot be made") from None


def make_folder(path: Path) -> Path:
    """Create ``path`` unless it is there, and return it.

    Raises:
        DiskError: it, or a folder above it, is a file or may not be written to.
    """
    with cannot_be_made(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def remove_folder(path: Path) -> None:
    """Remove a folder that gpsseg made, with all that it holds, if it is there.

    Raises:
        DiskError: that cannot be done.
    """
    try:
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise disk_error(path, error, "{} cannot be removed") from None


def rename_folder(partial: Path, path: Path) -> None:
    """Give a folder that is complete its name.

    What a killed process was writing in it goes.

    Raises:
        DiskError: that cannot be done.
    """
    with writing_to(path):
        remove_partials(partial)
        flush_folder(partial)
        os.replace(partial, path)
    flush_folder(path.parent)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes were writing in a folder.

    Raises:
        DiskError: that cannot be done.
    """
    for path in filter(is_partial, folder.iterdir()):
        remove_file(path)


def rename_file(partial: Path, path: Path) -> None:
    """Flush a file that is complete, and give it its name.

    Raises:
        DiskError: that cannot be done.
    """
    with writing_to(path):
        flush_file(partial)
        os.replace(partial, path)
    flush_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file that gpsseg wrote, if it is there.

    Raises:
        DiskError: that cannot be done.
    """
    with writing_to(path):
        path.unlink(missing_ok=True)


def append(path: Path, line: str) -> None:
    """Append a line to a file; one that a kill has cut at its end goes first.

    Raises:
        DiskError: it cannot be written; the file keeps its whole lines.
    """
    with writing_to(path), path.open("a+b", buffering=0) as file:
        end = _end_of_lines(file)
        try:
            _write_all(file, line.encode("utf-8", "replace"))
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise


def add_bytes(path: Path, block: bytes) -> None:
    """Append bytes to a file that grows until it is complete.

    Raises:
        DiskError: they cannot be written, or not all of them.
    """
    with writing_to(path), path.open("ab", buffering=0) as file:
        _write_all(file, block)


def _write_all(file: FileIO, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def _end_of_lines(file: FileIO) -> int:
    """Where the last whole line of an open file ends; the file is cut there."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return 0
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return size
    file.seek(0)
    end = file.read().rfind(b"\n") + 1
    file.truncate(end)
    return end


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose bytes follow from what it holds, and from nothing else.

    The library orders metadata by chance.
    """
    import torch

    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        kind = KINDS[str(tensor.dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)
