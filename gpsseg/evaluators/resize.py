"""Bilinear resizing, for the one protocol that scores at 256 x 256 and for maps of another size."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]
Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


@lru_cache(maxsize=256)
def taps(source: int, target: int) -> Taps:
    """Linear interpolation along one axis: left and right neighbour, and the right one's weight.

    Pixel centres are aligned (`align_corners=False`), there is no antialiasing.

    Args:
        source: length before.
        target: length after.

    Returns:
        Three (target,) arrays.
    """
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(position.astype(np.int64), max(source - 2, 0))
    return left, np.minimum(left + 1, source - 1), position - left


def resize_bilinear(image: Image, shape: tuple[int, int]) -> Image:
    """Resize a map, as ``torch.nn.functional.interpolate(mode="bilinear")`` does.

    Args:
        image: (H, W) float32 or float64; other numbers become float32.
        shape: (height, width) wanted.

    Returns:
        `shape`, float; the image itself where it already has that shape.
    """
    if image.shape == shape:
        return image
    height, width = image.shape
    return resize_box(image, shape, (slice(0, height), slice(0, width)))


def resize_box(image: Image, shape: tuple[int, int], box: tuple[slice, slice]) -> Image:
    """The part of the resized image that a box of the image reaches.

    Args:
        image: (H, W).
        shape: (height, width) of the whole image, resized.
        box: of the image.

    Returns:
        (h, w) float32, or float64 if the image is.
    """
    down, rows, from_rows = _reach(image.shape[0], shape[0], box[0])
    across, columns, from_columns = _reach(image.shape[1], shape[1], box[1])
    kept = np.result_type(image.dtype, np.float32)
    part = image[from_rows, from_columns].astype(kept, copy=False)
    if image.shape == shape:
        return part
    half = _interpolate(part, down, rows, from_rows.start)
    return _interpolate(np.ascontiguousarray(half.T), across, columns, from_columns.start).T


def _reach(source: int, target: int, side: slice) -> tuple[Taps, slice, slice]:
    """Taps of an axis, the results that a box reaches, and all sources of these results."""
    left, right, weight = taps(source, target)
    first = int(np.searchsorted(right, side.start))
    last = max(int(np.searchsorted(left, side.stop)), first)
    sources = slice(int(left[first]), int(right[last - 1]) + 1) if last > first else slice(0, 0)
    return (left, right, weight), slice(first, last), sources


def _interpolate(image: Image, along: Taps, wanted: slice, start: int) -> Image:
    """Interpolate between rows.

    Args:
        image: (h, w) rows from `start` on.
        along: the taps of all rows of the whole image.
        wanted: the rows to compute.
        start: the first row of the image in the whole image.
    """
    left, right, weight = along[0][wanted], along[1][wanted], along[2][wanted]
    share = weight[:, None].astype(image.dtype)
    found = image.take(left - start, axis=0)
    step = image.take(right - start, axis=0)
    step -= found
    step *= share
    found += step  # a + w (b - a): equal neighbours give themselves, to the last bit
    return found
