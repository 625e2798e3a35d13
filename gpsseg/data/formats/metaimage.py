"""The voxels of a MetaImage, which are not left to ITK.

It fills with what memory holds whatever a stream lacks, and takes a stream of unknown length for
another. Here a stream ends where it says so itself, and its checksum is compared.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gpsseg.data.formats.packed import inflate, refuse_fewer, refuse_gzip_unsaid
from gpsseg.data.formats.voxel_files import data_files, header_of
from gpsseg.errors import UserError, counted

FIELD = re.compile(r"^[ \t]*(\w+)[ \t]*[=:][ \t]*(.*?)[ \t\r]*$", re.M)


def metaimage_values(path: Path, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """Read the voxels that a MetaImage's header describes.

    Args:
        path: of the header (.mha or .mhd).
        shape: of the voxels: the file's axes in reverse, channels last.
        kind: of a voxel's numbers.

    Returns:
        Of that shape and kind, in the machine's byte order.

    Raises:
        UserError: there are fewer than promised, they do not fit their checksum, or a file of them
            is not there or lies outside of the header's folder.
    """
    header = header_of(path)
    told = dict(FIELD.findall(header.decode("latin-1")))
    files, start = data_files(path), int(told.get("HeaderSize", 0))
    countable = _true(told, "BinaryData", "True") and not _true(told, "CompressedData", "False")
    if start < -1 or (start == -1 and not countable):
        start = 0
    if not files:
        files, start = [path], start or len(header)
    elif len(files) > 1 or told["ElementDataFile"].startswith("LIST"):
        _refuse_other_lists(path, told, len(files), shape[0])
        shape, files = shape[1:], files[: shape[0]]
    slices = [_read(file, start, shape, kind, told) for file in files]
    return slices[0] if len(slices) == 1 else np.stack(slices)


def _true(told: dict[str, str], name: str, otherwise: str) -> bool:
    return told.get(name, otherwise).startswith(("T", "t", "1"))


def _refuse_other_lists(path: Path, told: dict[str, str], files: int, slices: int) -> None:
    """Refuse a list of anything but the slices."""
    axes = re.fullmatch(r"LIST[ \t]*(\d+)D?", told["ElementDataFile"])
    if files < slices or (axes and int(axes[1]) != int(told["NDims"]) - 1):
        raise UserError(
            f"{path} names {counted(files, 'file')} for its {slices} slices, expected one for each "
            "of them. Correct its header, or copy all of its files again."
        )


def _read(
    file: Path, start: int, shape: tuple[int, ...], kind: np.dtype, told: dict[str, str]
) -> np.ndarray:
    """The voxels of one file; its last bytes where ``start`` is -1, if bytes can be counted."""
    count = int(np.prod(shape, dtype=np.int64))
    promised = count * kind.itemsize
    if not _true(told, "BinaryData", "True"):
        with file.open("rb") as opened:
            opened.seek(start)
            numbers = opened.read().split(maxsplit=count)[:count]
        refuse_fewer(file, count, len(numbers), "numbers")
        return np.array(numbers).astype(np.float64).astype(kind).reshape(shape)
    if _true(told, "CompressedData", "False"):
        data = bytearray()
        inflate(file, start, promised, data)
    else:
        held = file.stat().st_size
        start = held - promised if start == -1 else start
        refuse_fewer(file, promised, held - max(start, 0))
        refuse_gzip_unsaid(file, start, promised)
        with file.open("rb") as opened:
            opened.seek(start)
            data = bytearray(opened.read(promised))
    refuse_fewer(file, promised, len(data))
    most_first = _true(told, "BinaryDataByteOrderMSB", told.get("ElementByteOrderMSB", "False"))
    stored = np.frombuffer(data, kind.newbyteorder(">" if most_first else "<"))
    return stored.reshape(shape).astype(kind, copy=False)
