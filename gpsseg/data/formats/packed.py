"""Compressed voxels, read to their end: there stands the checksum, which readers stop short of.

nibabel and ITK take from a stream as many bytes as the header promises. A byte that was changed on
the way gives other voxels then, and nobody says so.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from gpsseg.errors import UserError

GZIP = (".gz", ".mgz")
PACKED = 1100  # gzip makes nothing smaller than by a factor of 1032
CHUNK = 1 << 20
BESIDE = 1 << 26  # for headers, extensions and padding
HEADER = 1 << 16
# By a header's ending: what says how its voxels are compressed, where they are, and where they
# begin if they follow in the same file.
META = (
    re.compile(rb"^[ \t]*CompressedData[ \t]*=[ \t]*(True)", re.M | re.I),
    re.compile(rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*(.*?)[ \t]*\r?\n", re.M | re.I),
    re.compile(rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*LOCAL[ \t]*\r?\n", re.M | re.I),
)
NRRD = (
    re.compile(rb"^encoding:[ \t]*(gz|gzip)[ \t]*\r?$", re.M | re.I),
    re.compile(rb"^data ?file:[ \t]*(.*?)[ \t]*\r?$", re.M | re.I),
    re.compile(rb"\r?\n\r?\n"),
)
HEADERS = {".mha": META, ".mhd": META, ".nrrd": NRRD, ".nhdr": NRRD}


def times_packed(path: Path) -> int | None:
    """How many times larger than an NRRD or MetaImage file its voxels may be, if they lie in it."""
    with path.open("rb") as file:
        start = file.read(4096).lower()
    elsewhere = path.suffix.lower() in (".nhdr", ".mhd", ".hdr") or b"data file" in start
    return None if elsewhere or b"bz" in start else PACKED


def refuse_damaged(path: Path, promised: int) -> None:
    """Compare the compressed voxels of a volume with their checksum.

    Args:
        path: a NIfTI or other file in gzip (RFC 1952), a MetaImage or NRRD file, of which the
            voxels may be a stream of zlib (RFC 1950) or gzip, or the header of a NIfTI pair; others
            are taken as they are.
        promised: how many bytes of voxels its header promises; where far more come, as from a
            file made to fill a disk, nobody waits for the end.

    Raises:
        UserError: they do not fit, or the file ends before its checksum.
    """
    place = _place(path)
    if place is None:
        return
    voxels, start, in_zlib = place
    try:
        with voxels.open("rb") as file:
            file.seek(start)
            _to_its_end(file, in_zlib, 2 * promised + BESIDE)
    except (zlib.error, gzip.BadGzipFile, EOFError):
        raise UserError(
            f"{voxels} is damaged: its voxels do not fit their checksum, or end before it. Copy it "
            "again from its source."
        ) from None


def _place(path: Path) -> tuple[Path, int, bool] | None:
    """In which file and where in it a volume's stream begins; whether it is zlib's, not gzip's."""
    ending = path.suffix.lower()
    if ending in GZIP:
        return path, 0, False
    if ending == ".hdr":
        pair = path.with_suffix(".img.gz")
        return (pair, 0, False) if pair.is_file() else None
    if ending not in HEADERS:
        return None
    packed, elsewhere, begin = HEADERS[ending]
    with path.open("rb") as file:
        header = file.read(HEADER)
    data, name = begin.search(header), elsewhere.search(header)
    own = data and (not name or name.start() >= data.start())
    if not packed.search(header[: data.start()] if data and own else header):
        return None
    in_zlib = HEADERS[ending] is META
    if data and own:
        return path, data.end(), in_zlib
    voxels = path.parent / name[1].decode("latin-1") if name else path
    return (voxels, 0, in_zlib) if name and voxels.is_file() else None  # lists are ITK's to read


def _to_its_end(file: BinaryIO, in_zlib: bool, most: int) -> None:
    """Inflate until the checksum was compared, and raise what these libraries do if it is wrong."""
    came = 0
    if not in_zlib:
        with gzip.GzipFile(fileobj=file) as members:
            while came < most and (part := members.read(CHUNK)):
                came += len(part)
        return
    stream = zlib.decompressobj()
    while came < most and not stream.eof:
        chunk = stream.unconsumed_tail or file.read(CHUNK)
        if not chunk:
            raise EOFError
        came += len(stream.decompress(chunk, CHUNK))
