"""The files that hold a volume's voxels, where these do not lie behind its header."""

from __future__ import annotations

import math
import os
import re
import struct
from pathlib import Path

from gpsseg.data.formats.filenames import in_any_case
from gpsseg.errors import UserError, name_text

HEADER = 1 << 20  # bytes of a header, at most; a list of files is part of it
MOST = 1 << 16  # files
PAIR = 348  # bytes of the header of NIfTI-1 or Analyze, which begins with this number
META, NRRD = (".mha", ".mhd"), (".nrrd", ".nhdr")
# Of NRRD and MetaImage: the line that names the files of voxels, and the end of a header whose
# voxels follow it.
DATA_FILE = re.compile(rb"^[ \t]*(?:data ?file|ElementDataFile)[ \t]*[:=](.*)", re.I | re.M)
LOCAL = re.compile(
    rb"^[ \t]*ElementDataFile[ \t]*[:=][ \t]*(?:LOCAL|Local|local)[ \t]*(?:\r?\n|\Z)", re.M
)
BLANK = re.compile(rb"\r?\n\r?\n")
# A name with a number in it, of that the first, the last and the step; NRRD's axes of a file.
NUMBERED = re.compile(
    r"([^%]*)%(0?\d?)d([^%]*?)\s+(\d{1,9})\s+(\d{1,9})\s+(-?[1-9]\d{0,8})(?:\s+\d+)?"
)


def header_of(path: Path) -> bytes:
    """The header of an NRRD or MetaImage file, to where its voxels begin or to the file's end.

    Raises:
        UserError: it is longer than any is.
    """
    with path.open("rb") as file:
        start = file.read(HEADER)
    end = (LOCAL if path.suffix.lower() in META else BLANK).search(start)
    if end is None and len(start) == HEADER:
        raise UserError(
            f"{path} cannot be read: its header does not end within {HEADER:,} bytes. Copy it "
            "again from its source."
        )
    return start[: end.end()] if end else start


def data_files(path: Path) -> list[Path]:
    """The files that a volume's header names for its voxels, in order.

    Args:
        path: of NRRD, MetaImage, or the header of a NIfTI or Analyze pair; others name none.

    Returns:
        Of them; of voxels that follow their header none.

    Raises:
        UserError: a name leads out of the header's folder, or the file is not there.
    """
    if path.suffix.lower() == ".hdr":
        return [_beside_pair(path)] if of_pair(path) and not _alone(path) else []
    if path.suffix.lower() not in (*META, *NRRD):
        return []
    files = []
    home = path.parent.resolve()
    for name in _names(path):
        if not (home / name).resolve().is_relative_to(home):
            raise UserError(
                f"{path} names {name_text(Path(name))} for its voxels, which lies outside of "
                "its folder. Put both into one folder, and correct the name."
            )
        if not (path.parent / name).is_file():
            raise _beside(path, f"{name_text(Path(name))}, which its header names")
        files.append(path.parent / name)
    return files


def _beside(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} is a header alone: its voxels are in {what}, and that is not there. Put it beside "
        "the header, under that name."
    )


def of_pair(header: Path) -> tuple[int, int] | None:
    """What the header of NIfTI-1 or Analyze says: bytes of voxels as stored, and before them."""
    with header.open("rb") as file:
        held = file.read(PAIR)
    order = next((order for order in "<>" if held[:4] == struct.pack(f"{order}i", PAIR)), None)
    if order is None or len(held) < PAIR:
        return None
    axes, *sizes = struct.unpack_from(f"{order}8h", held, 40)
    (bits,) = struct.unpack_from(f"{order}h", held, 72)
    (before,) = struct.unpack_from(f"{order}f", held, 108)
    count = math.prod(max(size, 1) for size in sizes[: max(axes, 0)])
    return -(-count * bits // 8), max(int(before), 0)


def _alone(header: Path) -> bool:
    """Whether voxels follow a header of NIfTI, whatever its file is called."""
    with header.open("rb") as file:
        return file.read(PAIR)[-4:] == b"n+1\0"


def _beside_pair(path: Path) -> Path:
    """The file of a pair's voxels: a plain one first."""
    names = (".IMG", ".IMG.GZ") if path.suffix.isupper() else (".img", ".img.gz")
    for name in names:
        if found := in_any_case(path, path.stem, name):
            return found
    raise _beside(path, " or ".join(name_text(path.with_suffix(name).name) for name in names))


def _names(path: Path) -> list[str]:
    """The names below a header's folder, as it has them, counted through."""
    header = header_of(path)
    found = DATA_FILE.search(header)
    if not found or LOCAL.fullmatch(header, found.start()):
        return []
    first, *more = os.fsdecode(header[found.start(1) :]).split("\n")
    first = first.strip()
    if re.match(r"list\b", first, re.IGNORECASE):
        return [name.strip() for name in more if name.strip()]
    if "%" not in first or (path.parent / first).is_file():
        return [first] if first else []
    counted = NUMBERED.fullmatch(first)
    start, end, step = map(int, counted.group(4, 5, 6)) if counted else (0, 0, 1)
    numbers = range(start, end + (1 if step > 0 else -1), step)
    if not counted or not 0 < len(numbers) <= MOST:  # readers hand any % to C's sprintf
        raise UserError(
            f"{path} names {name_text(first)} for its voxels, expected a file, or a name with one "
            "%d and the first number, the last and the step. Correct its header."
        )
    before, width, after = counted.group(1, 2, 3)
    return [f"{before}{number:{width}d}{after}" for number in numbers]
