"""Compressed voxels, read to their end: there stands the checksum, which readers stop short of.

nibabel and ITK take from a stream as many bytes as the header promises. A byte that was changed on
the way gives other voxels then, and nobody says so.
"""

from __future__ import annotations

import os
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
EITHER = 32 + zlib.MAX_WBITS  # a stream's first bytes tell zlib whether it is gzip's
MEMBER = b"\x1f\x8b"  # a member of gzip's begins so
# Of NRRD and MetaImage: the line that names the files of voxels, the end of a header whose voxels
# follow it, by endings; what says that they are compressed; and that there is something else first.
DATA_FILE = re.compile(rb"^[ \t]*(?:data ?file|ElementDataFile)[ \t]*[:=](.*)", re.I | re.M)
META = re.compile(rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*LOCAL[ \t]*\r?\n", re.I | re.M)
NRRD = re.compile(rb"\r?\n\r?\n")
ENDS = {".mha": META, ".mhd": META, ".nrrd": NRRD, ".nhdr": NRRD}
COMPRESSED = re.compile(rb"^[ \t]*(CompressedData[ \t]*=[ \t]*T|encoding:[ \t]*gz)", re.I | re.M)
SKIPS = re.compile(rb"^[ \t]*((line|byte) ?skip[ \t]*:|HeaderSize[ \t]*=)[ \t]*[^0\s]", re.I | re.M)


def data_files(header: bytes) -> list[str]:
    """The files, below a header's folder, that an NRRD or MetaImage header names for its voxels."""
    found = DATA_FILE.search(header)
    if not found:
        return []
    first, *more = os.fsdecode(header[found.start(1) :]).split("\n")
    names = more if first.strip().lower().startswith("list") else [first]
    return [name.strip() for name in names if name.strip().lower() not in ("", "local")]


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
            are taken as they are, and so is what comes after a stream.
        promised: how many bytes of voxels its header promises; where far more come, as from a
            file made to fill a disk, nobody waits for the end.

    Raises:
        UserError: they do not fit, or the file ends before its checksum.
    """
    place = _place(path)
    if place is None:
        return
    voxels, start = place
    try:
        with voxels.open("rb") as file:
            file.seek(start)
            _to_its_end(file, 2 * promised + BESIDE)
    except (zlib.error, EOFError):
        raise UserError(
            f"{voxels} is damaged: its voxels do not fit their checksum, or end before it. Copy it "
            "again from its source."
        ) from None


def _place(path: Path) -> tuple[Path, int] | None:
    """In which file and where in it a volume's stream begins, if it has one and that is known."""
    ending = path.suffix.lower()
    if ending in GZIP:
        return path, 0
    if ending == ".hdr":
        pair = path.with_suffix(".img.gz")
        return (pair, 0) if pair.is_file() and not path.with_suffix(".img").exists() else None
    if ending not in ENDS:
        return None
    with path.open("rb") as file:
        header = file.read(HEADER)
    end = ENDS[ending].search(header)
    told = header[: end.end()] if end else header
    if not COMPRESSED.search(told) or SKIPS.search(told):
        return None
    names = data_files(told)
    if not names:
        return (path, end.end()) if end else None
    voxels = path.parent / names[0]
    return (voxels, 0) if len(names) == 1 and voxels.is_file() else None  # lists are ITK's to read


def _to_its_end(file: BinaryIO, most: int) -> None:
    """Inflate until each checksum was compared.

    Raises:
        zlib.error, EOFError: one is wrong, or the file ends before it.
    """
    came, ahead = 0, file.read(CHUNK)
    while True:
        stream = zlib.decompressobj(EITHER)
        while not stream.eof:
            if came >= most:
                return
            ahead = ahead or file.read(CHUNK)
            if not ahead:
                raise EOFError
            came += len(stream.decompress(ahead, CHUNK))
            ahead = stream.unconsumed_tail
        ahead = stream.unused_data or file.read(CHUNK)
        if len(ahead) < len(MEMBER):
            ahead += file.read(CHUNK)
        if not ahead.startswith(MEMBER):
            return
