"""Which of a mask's values are levels, and which only soften the border between two others.

A border is softened by resizing or averaging a mask. That leaves several values between the two
levels, which lie beside one another in any order, and which of them a pixel gets changes wherever
the border turns; along a straight border it stays the same. So a value that follows a border around
its corners, alone or in rings from level to level, is a class, however thin it is. What cannot be
told from a softened border: a class in one or two straight lines.
"""

from __future__ import annotations

import numpy as np

from gpsseg.data.formats.distinct import distinct, window

NOISE = 8  # JPEG adds up to this to either end of the range
APART = 6  # grey levels between two clusters of levels
WORTH = 0.005  # share of the pixels that makes a cluster of shades a level
SHADES = 3  # so many values between two levels may soften any border; fewer only straight ones
NESTED = (
    0.15  # of real masks that were resized, at most 0.08 of a value's pixels are; of rings 0.23
)
LINES = 2  # so many straight lines of one single value may be softened borders,
LINES_OF_TWO = 8  # and so many of each of two
SPECK = 2  # pixels; fewer than three do not tell a line from a corner


def inner_levels(values: np.ndarray, found: np.ndarray) -> list[float]:
    """Which of a few values, but for the least and the largest, are levels and no shades.

    A pixel lies at a border where something lower and something higher are two pixels away or
    nearer. A value is a level where it fills a square of three pixels away from borders, or (thin
    structures, in a mask of a handful of values) where most of its pixels are at no border, or
    where it follows a border around corners.

    Args:
        values: (H, W) or (D, H, W).
        found: (n,) the distinct values, sorted.
    """
    from scipy import ndimage

    low, top = found[0], found[-1]
    inner = found[1:-1]
    if (found[1] - low) <= NOISE < top - low and (top - found[-2]) <= NOISE < top - low:
        inner = inner[(inner > low + NOISE) & (inner < top - NOISE)]  # a JPEG, saved again
    if not len(inner):
        return []
    near, wide = window(values, 3), window(values, 5)
    lowest, highest = ndimage.minimum_filter(values, wide), ndimage.maximum_filter(values, wide)
    away = ~((lowest < values) & (values < highest))
    least, most = ndimage.minimum_filter(values, near), ndimage.maximum_filter(values, near)
    solid = set(np.unique(values[(least == most) & away]).tolist())
    thin = len(found) <= 4  # halving a picture makes five levels of two
    levels = []
    for value in inner.tolist():
        there = values == value
        below, above = found[found < value][-1], found[found > value][0]
        between = (least[there] >= below) & (most[there] <= above)
        is_level = value in solid or (thin and away[there].mean() >= 0.5)
        if is_level or _follows_borders(there, len(inner), float(between.mean())):
            levels.append(value)
    return levels


def _follows_borders(there: np.ndarray, inner: int, nested: float) -> bool:
    """Whether the pixels of one value are lines or rings that turn, as no softened border does.

    Args:
        there: (H, W) or (D, H, W) bool.
        inner: how many values lie between the two levels.
        nested: share of the pixels beside which there are the next values only.
    """
    if nested >= NESTED or inner == 1:
        turns, lines = _lines(there, corners=True)
        return turns or (inner == 1 and lines > LINES)
    if inner >= SHADES:
        return False
    # Sides of a softened rectangle touch across its corners, which have another value.
    turns, lines = _lines(there, corners=False)
    return turns or lines > LINES_OF_TWO


def _lines(there: np.ndarray, corners: bool) -> tuple[bool, int]:
    """Whether a connected area of these pixels turns, and how many areas are no specks.

    Args:
        there: (H, W) or (D, H, W) bool.
        corners: whether pixels are connected that share a corner only.
    """
    from scipy import ndimage

    steps = np.abs(np.indices((3,) * there.ndim) - 1)
    across = steps[[side == 1 for side in window(there, 3)]].sum(axis=0)  # to another slice
    neighbours = (across == 0) & (steps.sum(axis=0) <= (2 if corners else 1))
    named, count = ndimage.label(there, neighbours)
    sizes = np.bincount(named.ravel(), minlength=count + 1)[1:].tolist()
    boxes = ndimage.find_objects(named)
    turns = any(_turns(box, size) for box, size in zip(boxes, sizes, strict=True))
    return turns, sum(size > SPECK for size in sizes)


def _turns(box: tuple[slice, ...], size: int) -> bool:
    """Whether a connected area of so many pixels is no straight line, upright or diagonal."""
    sides = sorted(part.stop - part.start for part in box)
    if size <= SPECK or sides[-2] == 1:
        return False
    return not (sides[-2] == sides[-1] == size)


def even_levels(values: np.ndarray) -> int:
    """How many values of a picture (H, W) or volume (D, H, W) fill even areas that are worth it."""
    from scipy import ndimage

    near = window(values, 3)
    even = ndimage.minimum_filter(values, near) == ndimage.maximum_filter(values, near)
    counts = distinct(values[even])[1] if even.any() else np.zeros(1)
    return int((counts >= WORTH * values.size).sum())


def clusters(values: np.ndarray) -> list[tuple[int, float]]:
    """The levels 0..255 of the even areas of uint8 values (H, W) or (D, H, W), and their shares.

    Levels that run into one another are one.
    """
    from scipy import ndimage

    near = window(values, 3)
    lowest, highest = ndimage.minimum_filter(values, near), ndimage.maximum_filter(values, near)
    counts = np.bincount(values[highest - lowest <= NOISE], minlength=256)
    there = np.flatnonzero(counts > counts.sum() * 1e-4)
    if not len(there):
        return []
    parts = np.split(there, np.flatnonzero(np.diff(there) > APART) + 1)
    shares = [
        (int(part[counts[part].argmax()]), counts[part].sum() / values.size) for part in parts
    ]
    return [(level, float(share)) for level, share in shares if share >= WORTH]
