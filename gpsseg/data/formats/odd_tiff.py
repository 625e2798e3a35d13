"""TIFFs that Pillow does not know: real or signed colours, numbers of 64 bits or half a float."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from gpsseg.data.formats.deep import TIFF, read_by_opencv

WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, SAMPLES, SIZES = 256, 257, 258, 259, 273, 277, 279
ORIENTATION, PREDICTOR, KIND = 274, 317, 339  # TIFF's tags, as those above
KINDS = {(1, 64): "u8", (2, 64): "i8", (3, 16): "f2", (3, 64): "f8"}
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
    parts = [data[a : a + n] for a, n in zip(tags[OFFSETS], tags[SIZES], strict=True)]
    stored = b"".join(zlib.decompress(p) if packed in DEFLATE else p for p in parts)
    shape = int(tags[HEIGHT]), int(tags[WIDTH])
    values = np.frombuffer(stored, order + kinds, count=math.prod(shape)).reshape(shape)
    return values.astype(np.float32 if kinds == "f2" else values.dtype.newbyteorder("="))


def _read_quietly(path: Path) -> np.ndarray | None:
    """The same, of a file that OpenCV may not like, which it would print."""
    import cv2

    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        return read_by_opencv(path)
    finally:
        log.setLogLevel(level)


def read_odd_tiff(path: Path) -> np.ndarray | None:
    """A TIFF that Pillow does not know (real or signed colours, 64 bits), or None if it is none."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return None
        with path.open("rb") as file:
            if not file.read(4).startswith(TIFF):
                return None
        with Image.open(path):
            return None  # Pillow knows it, and it is damaged
    except UnidentifiedImageError:
        values = _read_wide(path)
        values = _read_quietly(path) if values is None else values
    except Exception:  # what is wrong is said already
        return None
    if values is None or values.dtype.kind not in "uif" or values.dtype == np.uint8:
        return None
    return values.astype(np.int16) if values.dtype == np.int8 else values
