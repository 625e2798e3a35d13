"""Pictures that Pillow cannot hold: colours of more than 8 bits, and several kinds of TIFF.

Of 16-bit colours Pillow keeps the upper byte, of which a camera of 12 bits has filled four bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gpsseg.data.formats.opencv import opencv
from gpsseg.data.formats.room import refuse_without_room
from gpsseg.errors import UserError

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
START = 4096  # bytes; what tells a picture's depth lies before it
PLANAR, BITS = 284, 258  # TIFF's tags
ALL = (0, 2**31 - 1)  # pages
TURNS = {  # EXIF orientation -> the array upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def holds_deep_colour(path: Path, page: int = 0) -> bool:
    """Whether a file's first bytes say that it has colours (or grey and alpha) of over 8 bits.

    Of a TIFF each page says so for itself.
    """
    with path.open("rb") as file:
        start = file.read(32)
        if start.startswith(b"\x89PNG"):
            return len(start) > 25 and start[24] == 16 and start[25] in (2, 4, 6)
        if start.startswith(TIFF):
            return _is_deep_tiff(file, page)
        if start[4:8] == b"jP  " or start.startswith(b"\xff\x4f\xff\x51"):
            return _is_deep_jpeg_2000(start + file.read(START))
    return False


def _is_deep_tiff(file: BinaryIO, page: int) -> bool:
    file.seek(0)
    try:
        with Image.open(file) as image:
            image.seek(page)
            bits = getattr(image, "tag_v2", {}).get(BITS, (8,))
    except Exception:  # reading it will say what is wrong
        return False
    return len(bits) > 1 and max(bits) > 8


def _is_deep_jpeg_2000(start: bytes) -> bool:
    """By the code stream's SIZ marker: how many components, and the bits of the first."""
    sizes = start.find(b"\xff\x4f\xff\x51")
    if sizes < 0 or len(start) < sizes + 43:
        return False
    components = int.from_bytes(start[sizes + 40 : sizes + 42], "big")
    return components > 1 and (start[sizes + 42] & 0x7F) + 1 > 8


def read_deep_colour(
    path: Path, shallow: np.ndarray, orientation: int, page: int = 0
) -> np.ndarray | None:
    """Read a picture of deep colours as (H, W, 3) RGB as stored, upright.

    Args:
        path: of the file, which could be decoded.
        shallow: (H, W, 3) uint8, what Pillow made of it: the upper bytes, upright.
        orientation: its EXIF orientation.
        page: which of its pages.

    Returns:
        The values, or None where they are not those that Pillow saw.

    Raises:
        UserError: a TIFF keeps its colours apart.
    """
    refuse_without_room(path, 2 * shallow.nbytes, f"{shallow.size // 3:,} pixels of deep colours")
    values = _read_page(path, page)
    turned = TURNS.get(orientation, lambda a: a)
    for upright in () if values is None else (values, turned(values)):
        if upright.shape == shallow.shape and _same(upright, shallow):
            return np.ascontiguousarray(upright)
    with Image.open(path) as image:
        image.seek(page)
        if getattr(image, "tag_v2", {}).get(PLANAR) == 2:
            raise UserError(
                f"{path} keeps its 16-bit colours in planes apart, expected red, green and blue of "
                "each pixel together. Save it again (planar configuration: contiguous)."
            )
    return None


def _same(values: np.ndarray, shallow: np.ndarray) -> bool:
    """Whether these are the values of which Pillow kept the upper byte (or scaled to 8 bits)."""
    upper = values >> 8 if values.dtype.kind == "u" else values
    return int(np.abs(upper.astype(np.int32) - shallow).max(initial=0)) <= 1


def _read_page(path: Path, page: int) -> np.ndarray | None:
    """A page as stored, see ``read_by_opencv``; None where OpenCV cannot read it either."""
    found = read_by_opencv(path, (page, page + 1)) if page else read_by_opencv(path, None)
    return found[0] if found else None


def read_by_opencv(path: Path, span: tuple[int, int] | None) -> list[np.ndarray]:
    """Pages as stored, (H, W) grey or (H, W, 3) RGB each; none where OpenCV cannot read them.

    Args:
        path: of the file.
        span: the first page and the one after the last; None takes the first alone, which works
            for files of every kind.
    """
    cv2 = opencv()
    try:
        data = np.fromfile(path, np.uint8)
        found: Sequence[np.ndarray | None]
        if span is None:
            found = [cv2.imdecode(data, cv2.IMREAD_UNCHANGED)] if data.size else []
        else:
            found = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED, range=span)[1]
    except (cv2.error, OSError, MemoryError):
        return []
    known = [values for values in found if values is not None]
    return [v if v.ndim == 2 else np.ascontiguousarray(v[..., 2::-1]) for v in known]
