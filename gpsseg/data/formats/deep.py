"""Pictures that Pillow cannot hold: colours of more than 8 bits.

Of 16-bit colours Pillow keeps the upper byte, of which a camera of 12 bits has filled four bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gpsseg.errors import UserError

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
START = 4096  # bytes; what tells a picture's depth lies before it
PLANAR, BITS = 284, 258  # TIFF's tags
TURNS = {  # EXIF orientation -> the array upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def holds_deep_colour(path: Path) -> bool:
    """Whether a file's first bytes say that it has colours (or grey and alpha) of over 8 bits."""
    with path.open("rb") as file:
        start = file.read(32)
        if start.startswith(b"\x89PNG"):
            return len(start) > 25 and start[24] == 16 and start[25] in (2, 4, 6)
        if start.startswith(TIFF):
            return _is_deep_tiff(file)
        if start[4:8] == b"jP  " or start.startswith(b"\xff\x4f\xff\x51"):
            return _is_deep_jpeg_2000(start + file.read(START))
    return False


def _is_deep_tiff(file: BinaryIO) -> bool:
    file.seek(0)
    try:
        with Image.open(file) as image:
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


def read_deep_colour(path: Path, shallow: np.ndarray, orientation: int) -> np.ndarray | None:
    """Read a picture of deep colours as (H, W, 3) RGB as stored, upright.

    Args:
        path: of the file, which could be decoded.
        shallow: (H, W, 3) uint8, what Pillow made of it: the upper bytes, upright.
        orientation: its EXIF orientation.

    Returns:
        The values, or None where they are not those that Pillow saw.

    Raises:
        UserError: a TIFF keeps its colours apart.
    """
    values = read_by_opencv(path)
    turned = TURNS.get(orientation, lambda a: a)
    for upright in () if values is None else (values, turned(values)):
        if upright.shape == shallow.shape and _same(upright, shallow):
            return np.ascontiguousarray(upright)
    with Image.open(path) as image:
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


def read_by_opencv(path: Path) -> np.ndarray | None:
    """(H, W) grey or (H, W, 3) RGB as stored; None where OpenCV cannot read it either."""
    import cv2

    try:
        data = np.fromfile(path, np.uint8)
        values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (cv2.error, OSError, MemoryError):
        return None
    if values is None:
        return None
    return values if values.ndim == 2 else np.ascontiguousarray(values[..., 2::-1])
