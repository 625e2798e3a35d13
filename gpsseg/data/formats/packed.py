"""Voxels, looked at to their end: whether all are there, and fit the checksum that readers skip.

nibabel and ITK take from a stream as many bytes as the header promises. A byte that was changed on
the way gives other voxels then, and nobody says so; ITK fills what is missing with what memory
holds.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gpsseg.data.formats.filenames import HEADERS, to_unpack, unpacking
from gpsseg.data.formats.voxel_files import NRRD, data_files, header_of, of_pair
from gpsseg.errors import UserError

GZIP = (".gz", ".mgz")
RENAMED = {".nii": ".nii.gz", ".gipl": ".gipl.gz", ".mgh": ".mgz"}  # if packed, and back if not
PACKED = 1100  # gzip makes nothing smaller than by a factor of 1032
CHUNK = 1 << 20
BESIDE = 1 << 26  # for headers, extensions and padding
EITHER = 32 + zlib.MAX_WBITS  # a stream's first bytes tell zlib whether it is gzip's
MEMBER = b"\x1f\x8b"  # a member of gzip's begins so
DEFLATED = MEMBER + b"\x08"  # and goes on so, as there is one way to pack alone
VOXELS = (".img", ".zraw")  # the endings of files that are nothing else
GIPL = 256  # bytes of its header
COMPRESSED = re.compile(rb"^[ \t]*encoding:[ \t]*gz", re.I | re.M)
BZIP2 = re.compile(rb"^[ \t]*encoding:[ \t]*bz", re.I | re.M)
ENCODINGS = re.compile(rb"^[ \t]*encoding:[ \t]*(gz|raw)", re.I | re.M)  # others are its reader's
SKIPS = re.compile(rb"^[ \t]*(line|byte) ?skip[ \t]*:[ \t]*[^0\s]", re.I | re.M)


def times_packed(path: Path) -> int | None:
    """How many times larger than a file of ITK's its voxels may be, if they lie in it."""
    return None if data_files(path) else PACKED


def refuse_misnamed(path: Path, ending: str) -> None:
    """Refuse a volume whose name says that it is packed, and it is not, or the other way round.

    Args:
        path: of the file.
        ending: of its name, as ``volumes.volume_ending`` gives it.

    Raises:
        UserError: it is called so, or is an NRRD packed with bzip2.
    """
    with path.open("rb") as file:
        start = file.read(len(DEFLATED))
    named = ending.endswith(GZIP)
    if not named and start == DEFLATED:
        other = RENAMED.get(ending)
        fix = f"Call it {path.name[: -len(ending)]}{other}" if other else "Unpack it"
        raise UserError(f"{path} is packed with gzip, and its name does not say so. {fix}.")
    if named and start and not start.startswith(MEMBER):
        plain = next(name for name, packed in RENAMED.items() if packed == ending)
        raise UserError(
            f"{path} is not packed with gzip, as its name says. If it was never packed, call it "
            f"{path.name[: -len(ending)]}{plain}; else copy it again from its source."
        )
    if ending in NRRD and BZIP2.search(header_of(path)):
        raise UserError(
            f"{path} is packed with bzip2, which is not read. Write it again in gzip or unpacked."
        )


def unpack_first(path: Path) -> str | None:
    """What is wrong with a file that is of a volume, but not what is read of one, by its name."""
    packed = to_unpack(path)
    _, what = unpacking([path], path.parent)
    if packed == path:
        return f"{path} is {what}."
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if inner.suffix.lower() not in VOXELS:
        return None
    if packed:
        return f"{path} holds voxels alone, and its header is {what}."
    either = " or ".join(HEADERS)
    return f"{path} holds voxels alone, expected a volume. Name its header, a file in {either}."


def refuse_fewer(path: Path, promised: int, there: int, what: str = "bytes of voxels") -> None:
    """Refuse a file that holds less than was promised.

    Raises:
        UserError: it does.
    """
    if there < promised:
        raise UserError(
            f"{path} is cut off or damaged: its header promises {promised:,} {what}, and "
            f"{max(there, 0):,} are there. Copy it again from its source."
        )


def refuse_gzip_unsaid(path: Path, start: int, promised: int) -> None:
    """Refuse voxels that are packed where their header says that they are as they are.

    Raises:
        UserError: they begin as gzip does, and are not as many bytes as was promised.
    """
    with path.open("rb") as file:
        file.seek(start)
        packed = file.read(len(DEFLATED)) == DEFLATED
    if packed and path.stat().st_size - start != promised:
        raise UserError(
            f"{path} is packed with gzip, and its header or its name does not say so. Unpack it, "
            "or correct that."
        )


def refuse_damaged(path: Path, promised: int, before: int = 0) -> None:
    """Look whether all voxels of a volume are there, and compare packed ones with their checksum.

    Args:
        path: a NIfTI or other file in gzip (RFC 1952) or none, an NRRD file, or the header of a
            NIfTI or Analyze pair; what comes after a stream is taken as it is.
        promised: how many bytes of voxels its header promises; where far more come, as from a
            file made to fill a disk, nobody waits for the end.
        before: how many bytes stand before them in their file, unpacked; GIPL's and a pair's are
            known.

    Raises:
        UserError: there are fewer, or they do not fit their checksum, or end before it.
    """
    if path.suffix.lower() == ".hdr":
        told = of_pair(path)
        if told is None:
            return
        promised, before = told
    elif path.name.lower().endswith((".gipl", ".gipl.gz")):
        before = GIPL
    place = _place(path)
    if place is None:
        return
    voxels, start, packed = place
    if packed:
        there = inflate(voxels, start, before + promised) - before
    else:
        start += before
        refuse_gzip_unsaid(voxels, start, promised)
        there = voxels.stat().st_size - start
    refuse_fewer(voxels, promised, there)


def _place(path: Path) -> tuple[Path, int, bool] | None:
    """In which file and where in it voxels begin, and whether packed; None if that is not known."""
    ending = path.suffix.lower()
    if ending not in NRRD:
        voxels = next(iter(data_files(path)), path)
        with voxels.open("rb") as file:
            packed = file.read(len(MEMBER)) == MEMBER
        return voxels, 0, packed and voxels.suffix.lower() in GZIP
    header = header_of(path)
    if SKIPS.search(header) or not ENCODINGS.search(header):
        return None
    files = data_files(path)
    packed = bool(COMPRESSED.search(header))
    if not files:
        return path, len(header), packed
    return (files[0], 0, packed) if len(files) == 1 else None  # lists are its reader's


def inflate(path: Path, start: int, promised: int, kept: bytearray | None = None) -> int:
    """Unpack a stream to its end, until each checksum was compared.

    Args:
        path: of the file it is in.
        start: where in it.
        promised: how many bytes it should give; of a stream that gives far more the rest is left.
        kept: is given as many of them.

    Returns:
        How many bytes came.

    Raises:
        UserError: it is none, a checksum is wrong, or the file ends before it.
    """
    came = 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            for part in _parts(file):
                if kept is not None and came < promised:
                    kept += part[: promised - came]
                came += len(part)
                if came > 2 * promised + BESIDE:
                    break
    except (zlib.error, EOFError) as error:
        if came == 0 and "header" in str(error):
            raise UserError(
                f"{path} is damaged: its header says that its voxels are packed, and they do not "
                "begin as gzip or zlib do. Copy it again from its source."
            ) from None
        raise UserError(
            f"{path} is damaged: its voxels do not fit their checksum, or end before it. Copy it "
            "again from its source."
        ) from None
    return came


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """What a stream holds, and the further members of gzip behind it.

    Raises:
        zlib.error, EOFError: a checksum is wrong, or the file ends before it.
    """
    ahead = file.read(CHUNK)
    while True:
        stream = zlib.decompressobj(EITHER)
        while not stream.eof:
            ahead = ahead or file.read(CHUNK)
            if not ahead:
                raise EOFError
            yield stream.decompress(ahead, CHUNK)
            ahead = stream.unconsumed_tail
        ahead = stream.unused_data or file.read(CHUNK)
        if len(ahead) < len(MEMBER):
            ahead += file.read(CHUNK)
        if not ahead.startswith(MEMBER):
            return
