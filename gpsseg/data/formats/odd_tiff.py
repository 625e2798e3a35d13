"""TIFFs that Pillow does not know: real or signed colours, numbers of 64 bits or half a float."""

from __future__ import annotations

import contextlib
import math
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from gpsseg.data.formats.deep import ALL, TIFF, read_by_opencv
from gpsseg.data.formats.room import refuse_without_room
from gpsseg.errors import UserError

WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, SAMPLES, SIZES = 256, 257, 258, 259, 273, 277, 279
ORIENTATION, PREDICTOR, KIND = 274, 317, 339  # TIFF's tags, as those above
KINDS = {(1, 64): "u8", (2, 64): "i8", (3, 16): "f2", (3, 64): "f8"}
WHOLE, REAL, COMPLEX = 1, 3, (5, 6)  # of its tag KIND
BIG = (b"+\0", b"\0+")  # of BigTIFF, whose header is twice as long
MOST_PAGES = 10_000
PLAIN, DEFLATE = (1,), (8, 32946)


def _read_wide(path: Path) -> np.ndarray | None:
    """Greys of 64 bits or of half a float, as NumPy's tools write them; None of anything else."""
    try:
        return _wide_values(path)
    except Exception:  # damaged files make decoders fail in every way there is
        return None


def _wide_values(path: Path) -> np.ndarray | None:
    data = path.read_bytes()
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] not in (b"*\0", b"\0*"):  # a large TIFF
        return None
    tags = ImageFileDirectory_v2(data[:8])
    with path.open("rb") as file:
        file.seek(tags.next)
        tags.load(file)
    bits, kind = tags.get(BITS, (1,)), tags.get(KIND, (1,))
    kinds = KINDS.get((kind[0], bits[0]))
    packed = tags.get(COMPRESSION, 1)
    plain = tags.get(PREDICTOR, 1) == tags.get(SAMPLES, 1) == tags.get(ORIENTATION, 1) == 1
    if kinds is None or not plain or packed not in (*PLAIN, *DEFLATE) or SIZES not in tags:
        return None
    shape = int(tags[HEIGHT]), int(tags[WIDTH])
    parts = [data[a : a + n] for a, n in zip(tags[OFFSETS], tags[SIZES], strict=True)]
    most = math.prod(shape) * np.dtype(kinds).itemsize  # a part may be packed to hold far more
    if most == 0 or sum(map(len, parts)) > len(data):  # parts that are the same bytes many times
        return None
    stored = b""
    for each in parts:
        stored += _unpacked(each, most - len(stored)) if packed in DEFLATE else each
        if len(stored) >= most:
            break
    values = np.frombuffer(stored, order + kinds, count=math.prod(shape)).reshape(shape)
    return values.astype(np.float32 if kinds == "f2" else values.dtype.newbyteorder("="))


def _unpacked(part: bytes, most: int) -> bytes:
    return zlib.decompressobj().decompress(part, most)


def promised_bytes(path: Path) -> int:
    """Bytes of pixels that a TIFF's headers promise, of all its pages together; else 0."""
    total, known = 0, set[int]()
    with contextlib.suppress(Exception), path.open("rb") as file:
        start = file.read(8)
        start += file.read(8) if start[2:4] in BIG else b""
        place = ImageFileDirectory_v2(start).next
        while place and place not in known and len(known) < MOST_PAGES:
            known.add(place)
            tags = ImageFileDirectory_v2(start)
            file.seek(place)
            tags.load(file)
            bits = max(tags.get(BITS, (1,))) * int(tags.get(SAMPLES, 1))
            total += int(tags.get(WIDTH, 0)) * int(tags.get(HEIGHT, 0)) * max(bits, 8) // 8
            place = tags.next
    return total


def read_odd_tiff(path: Path) -> list[np.ndarray]:
    """The pages (H, W) or (H, W, 3) of a TIFF that Pillow does not know.

    Its colours are real or signed, or of 64 bits. None of any other file.

    Raises:
        UserError: it is one of numbers that OpenCV does not know either.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return []
        with path.open("rb") as file:
            if not file.read(4).startswith(TIFF):
                return []
        with Image.open(path):
            return []  # Pillow knows it, and it is damaged
    except UnidentifiedImageError:
        promised = promised_bytes(path)
        refuse_without_room(path, promised, f"{promised:,} bytes of pixels")
        wide = _read_wide(path)
        found = [wide] if wide is not None else []
        found = found or read_by_opencv(path, ALL) or read_by_opencv(path, None)
    except Exception:  # what is wrong is said already
        return []
    known = [v for v in found if v.dtype.kind in "uif" and v.dtype != np.uint8]
    if known and len(known) == len(found):
        return [v.astype(np.int16) if v.dtype == np.int8 else v for v in known]
    if kind := _odd_kind(path):
        raise UserError(
            f"{path} holds {kind}, expected grey or RGB of 8 or 16 bits, or real numbers of 32 "
            "bits. Save it as one of these."
        )
    return []


def _odd_kind(path: Path) -> str:
    """Which numbers a TIFF's header promises, where these are what nothing here reads; else ''."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            tags = ImageFileDirectory_v2(start + (file.read(8) if start[2:4] in BIG else b""))
            file.seek(tags.next)
            tags.load(file)
        bits, form = max(tags.get(BITS, (1,))), max(tags.get(KIND, (WHOLE,)))
        values = int(tags.get(SAMPLES, 1))
    except Exception:  # a header that cannot be read says nothing
        return ""
    if form in COMPLEX:
        return "complex numbers"
    if bits == 64 and form != REAL:
        return "whole numbers of 64 bits"
    if form == REAL and bits < 32:
        return f"real numbers of {bits} bits"
    if values == 2:
        return f"two values a pixel, of {bits} bits (grey and alpha?)"
    return f"{values} values a pixel" if values > 4 else ""
