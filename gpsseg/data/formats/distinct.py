"""Which values an array holds, and how often: counted a part at a time, as masks may be large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

FEW = 16  # distinct values; what has more is a shade, or JPEG
BLOCK = 1 << 20  # values that are counted at a time


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values (n,) of an array (...), sorted, and how often each occurs (n,).

    Of fractions the first few blocks are looked at.
    """
    flat = values.ravel(order="K")
    blocks = [flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK)]
    if values.dtype.kind in "ui":
        narrow = values.dtype == np.uint8
        low, high = (0, 255) if narrow else (int(flat.min()), int(flat.max()))
        if high - low < BLOCK:
            counts = np.zeros(high - low + 1, np.int64)
            for block in blocks:
                counts += _counts(block, low, high)
            there = np.flatnonzero(counts)
            return there + low, counts[there]
    found: dict[float, int] = {}
    for block in blocks:
        for value, count in zip(*np.unique(block, return_counts=True), strict=True):
            found[value] = found.get(value, 0) + int(count)
        if len(found) > BLOCK // 1000:  # shades: which exactly does not matter
            found.setdefault(flat.max(), 1)
            found.setdefault(flat.min(), 1)
            break
    values_of = sorted(found)
    return np.array(values_of), np.array([found[value] for value in values_of])


def _counts(block: np.ndarray, low: int, high: int) -> np.ndarray:
    """How often each of the integers from ``low`` to ``high`` occurs."""
    if block.dtype == np.uint8:  # seven times faster than NumPy's bincount
        held: Any = np.ascontiguousarray(block).data
        picture = Image.frombuffer("L", (len(block), 1), held)
        return np.array(picture.histogram())
    return np.bincount(block.astype(np.int64) - low, minlength=high - low + 1)


def distinct_colours(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct colours (N, 3) of (..., 3) uint8 as integers, and how often each occurs."""
    flat = pixels.reshape(-1, 3)
    found = [_coded(flat[start : start + BLOCK]) for start in range(0, max(1, len(flat)), BLOCK)]
    codes, places = np.unique(np.concatenate([codes for codes, _ in found]), return_inverse=True)
    counts = np.zeros(len(codes), np.int64)
    np.add.at(counts, places, np.concatenate([each for _, each in found]))
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1), counts


def _coded(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct colours of some pixels (n, 3), a number each, and how often each occurs."""
    parts = pixels.astype(np.int32)
    return np.unique(parts[:, 0] << 16 | parts[:, 1] << 8 | parts[:, 2], return_counts=True)


def few_values(values: np.ndarray) -> tuple[float, ...] | None:
    """The distinct values of an array (...), sorted; None where there are more than 16."""
    found = distinct(values.view(np.uint8) if values.dtype == bool else values)[0]
    return tuple(found.tolist()) if len(found) <= FEW else None


def listed(levels: Sequence[float]) -> str:
    """Numbers for people: the first sixteen."""
    shown = ", ".join(f"{level:g}" for level in levels[:16])
    return shown + (f" and {len(levels) - 16} more" if len(levels) > 16 else "")


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.5), percent(0.00002)
    ('50.0 %', 'under 0.1 %')
    """
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def window(values: np.ndarray, side: int) -> tuple[int, ...]:
    """The shape of a square window in the plane of the two longest axes of an array (...)."""
    longest = sorted(range(values.ndim), key=lambda axis: values.shape[axis])[-2:]
    return tuple(side if axis in longest else 1 for axis in range(values.ndim))
