"""Which stored values of a mask are foreground: one rule for every format and every command.

Two levels: the higher is foreground, whatever they are (0 and 1, 0 and 255, 1 and 2, 254 and 255).
One level: foreground, unless it is 0. More levels are a map of classes, and refused, unless all but
two of them only occur at the edge between two others: those are the greys of a smooth or resized
mask, which is cut in the middle of its two levels. JPEG, and masks of more than 16 values, are cut
in the middle of the range; levels that differ by what JPEG adds are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from gpsseg.errors import UserError

FEW = 16  # distinct values; what has more is a shade, or JPEG
SMALL = 64  # below, values are numbers of classes and no greys
NEAR = 1e-3  # how far from a whole number a float is that number
NOISE = 8  # JPEG adds up to this to either end of the range
APART = 6  # grey levels between two clusters of levels
WORTH = 0.005  # share of the pixels that makes a cluster of shades a level
BLOCK = 1 << 20  # values that are counted at a time
ADVICE = (
    "Save one mask per class; or list the classes in a data card (`python -m gpsseg.datasets new`) "
    "and choose some with --classes."
)
BY_LABELS = (  # of commands without data cards
    "Name the foreground's values, such as --labels 1, or save one mask per class."
)


@dataclass(frozen=True)
class Marked:
    """A mask as it is used.

    Attributes:
        mask: bool, of any shape; True is foreground.
        grey: share of its pixels that were neither of its two levels.
        classes: numbers of the chosen classes that are there, where classes were chosen.
        level: the value that is foreground, where there are two.
    """

    mask: np.ndarray
    grey: float = 0.0
    classes: frozenset[int] = frozenset()
    level: float | None = None


def mark(values: np.ndarray, path: Path, lossy: bool = False) -> Marked:
    """Find the foreground of stored values.

    Args:
        values: (H, W) or (D, H, W), as stored.
        path: names the file in errors.
        lossy: whether they were compressed as JPEG is.

    Raises:
        UserError: as ``checked``, or there are several classes.
    """
    values = checked(values, path)
    if values.dtype == bool:
        return Marked(values)
    found, counts = _distinct(values)
    if len(found) == 1:
        return Marked(np.full(values.shape, found[0].item() > 0))
    if len(found) == 2:
        return Marked(values == found[1].item(), level=found[1].item())
    if lossy or len(found) > FEW:
        return _shaded(values, path, lossy, found, counts)
    if _counts_classes(values, found) or _levels(values, found):
        _refuse_classes(values, path, found, counts)
    low, top = found[0].item(), found[-1].item()
    outer = counts[0] + counts[-1]
    return Marked(values > (low + top) / 2, 1 - float(outer) / values.size)


def checked(values: np.ndarray, path: Path, negative: bool = False) -> np.ndarray:
    """A mask's values, validated: bool, or integers, or floats that are not all whole.

    Floats that are nearly whole become whole; if all do, they become integers.

    Raises:
        UserError: there is NaN, infinity, anything but numbers, or (unless ``negative`` values are
            asked for) something below 0.
    """
    if values.dtype.kind not in "buif":
        raise UserError(f"{path} holds {values.dtype}, expected whole numbers or floats.")
    refuse_not_finite(values, path, "a mask such as 0 and 255")
    if values.dtype.kind == "f":
        values = _whole(values)
    if not negative and values.dtype.kind in "if" and (low := values.min()) < 0:
        share = np.count_nonzero(values < 0) / values.size
        byte = " In a signed byte -1 stands for 255." if values.dtype == np.int8 else ""
        raise UserError(
            f"{path} holds {low:g}, expected a mask such as 0 and 255; {percent(share)} of its "
            f"values lie below 0.{byte} Save it with values from 0 on."
        )
    return values


def whole(values: np.ndarray, path: Path, negative: bool = False) -> np.ndarray:
    """The values of a map of classes, validated: bool or integers.

    Raises:
        UserError: as ``checked``, or a value is no whole number.
    """
    values = checked(values, path, negative)
    if values.dtype.kind == "f":
        odd = values[values != np.rint(values)][0]
        raise UserError(
            f"{path} holds {odd:g}, expected whole numbers, one for each class. Was it resized or "
            "resampled? Do that with the nearest value."
        )
    return values


def refuse_not_finite(values: np.ndarray, path: Path, expected: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        UserError: there is one; the text says what was expected.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        raise UserError(
            f"{path} holds NaN or infinity in {bad} of {values.size} values, expected "
            f"{expected}. Look for a division by zero where it was made."
        )


def few_values(values: np.ndarray) -> tuple[float, ...] | None:
    """The distinct values, sorted; None where there are more than 16."""
    found = _distinct(values.view(np.uint8) if values.dtype == bool else values)[0]
    return tuple(found.tolist()) if len(found) <= FEW else None


def solid_values(values: np.ndarray) -> tuple[float, ...]:
    """Of three to sixteen values the least, the largest and what occurs away from edges."""
    found = _distinct(values)[0]
    return (found[0].item(), *_levels(values, found), found[-1].item())


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.5), percent(0.00002)
    ('50.0 %', 'under 0.1 %')
    """
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def _whole(values: np.ndarray) -> np.ndarray:
    """Floats with those that are nearly whole made whole; integers, if they all are."""
    top = float(values.max(initial=0))
    if top < 0.5:  # 0 and 1/255: rounding would empty the mask
        return np.maximum(values, 0) if values.min(initial=0) > -NEAR else values
    rounded = np.rint(values)
    near = np.abs(values - rounded) <= NEAR + 1e-6 * np.abs(rounded)
    if near.all() and np.abs(rounded).max() < 2**31:
        return rounded.astype(np.int32)
    return np.where(near, rounded, values)


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, sorted, and how often each occurs; of fractions the first few blocks."""
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


def _counts_classes(values: np.ndarray, found: np.ndarray) -> bool:
    """Whether the values are too small to be greys."""
    return found[-1] < SMALL and (values.dtype.kind != "f" or found[-1] > 1)


def _window(values: np.ndarray, side: int) -> tuple[int, ...]:
    """A square window in the plane of the two longest axes."""
    longest = sorted(range(values.ndim), key=lambda axis: values.shape[axis])[-2:]
    return tuple(side if axis in longest else 1 for axis in range(values.ndim))


def _levels(values: np.ndarray, found: np.ndarray) -> list[float]:
    """Which of a few values, but for the least and the largest, occur away from edges.

    A pixel lies at an edge where something lower and something higher are two pixels away or
    nearer. A value is a level where it fills a square of three pixels away from edges, or (thin
    structures, in a mask of a handful of values) where most of its pixels are no edge.
    """
    from scipy import ndimage

    low, top = found[0], found[-1]
    inner = found[1:-1]
    if (found[1] - low) <= NOISE < top - low and (top - found[-2]) <= NOISE < top - low:
        inner = inner[(inner > low + NOISE) & (inner < top - NOISE)]  # a JPEG, saved again
    if not len(inner):
        return []
    near, wide = _window(values, 3), _window(values, 5)
    lowest, highest = ndimage.minimum_filter(values, wide), ndimage.maximum_filter(values, wide)
    away = ~((lowest < values) & (values < highest))
    flat = ndimage.minimum_filter(values, near) == ndimage.maximum_filter(values, near)
    solid = set(np.unique(values[flat & away]).tolist())
    thin = len(found) <= 4  # halving a picture makes five levels of two
    return [
        value
        for value in inner.tolist()
        if value in solid or (thin and away[values == value].mean() >= 0.5)
    ]


def _shaded(
    values: np.ndarray, path: Path, lossy: bool, found: np.ndarray, counts: np.ndarray
) -> Marked:
    """The foreground of a mask of many values, or of a JPEG."""
    if not lossy and (_counts_classes(values, found) or _even_levels(values) > 2):
        _refuse_classes(values, path, found, counts)
    top = found[-1].item()
    outer = counts[0] + counts[-1]
    grey = 1 - float(outer) / max(int(counts.sum()), 1)
    middle = 127 if 127 < top <= 255 else top / 2
    scale = 255 / (255 if 1 < top <= 255 else top)
    ends = (found * scale < 32) | (found * scale >= 224)
    if top * scale >= 224 and counts[ends].sum() >= 0.98 * counts.sum():
        return Marked(values > middle, grey)
    levels = _clusters((values * scale).astype(np.uint8))
    if len(levels) > 2:
        listed = ", ".join(f"{level / scale:g} ({percent(share)})" for level, share in levels[:FEW])
        raise UserError(
            f"{path} holds areas of {len(levels)} levels, about {listed}: a mask of several "
            f"classes? Expected two values, such as 0 and 255. {ADVICE}"
        )
    if len(levels) == 2:
        return Marked(values > (levels[0][0] + levels[1][0]) / 2 / scale, grey)
    if 1 < top <= 127:
        _refuse_classes(values, path, found, counts)
    return Marked(values > middle, grey)


def _even_levels(values: np.ndarray) -> int:
    """How many values fill exactly even areas that are worth it."""
    from scipy import ndimage

    near = _window(values, 3)
    even = ndimage.minimum_filter(values, near) == ndimage.maximum_filter(values, near)
    counts = _distinct(values[even])[1] if even.any() else np.zeros(1)
    return int((counts >= WORTH * values.size).sum())


def _clusters(values: np.ndarray) -> list[tuple[int, float]]:
    """The levels of the even areas of uint8 values, and the share of each.

    Levels that run into one another are one.
    """
    from scipy import ndimage

    near = _window(values, 3)
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


def _refuse_classes(
    values: np.ndarray, path: Path, found: np.ndarray, counts: np.ndarray
) -> NoReturn:
    """Refuse a map of classes, with its values and their shares."""
    pairs = list(zip(found.tolist(), counts.tolist(), strict=True))
    listed = ", ".join(f"{v:g} ({percent(n / values.size)})" for v, n in pairs[:FEW])
    more = f" and {len(pairs) - FEW} more" if len(pairs) > FEW else ""
    raise UserError(
        f"{path} holds {len(pairs)} different values from {found[0]:g} to {found[-1]:g}: {listed}"
        f"{more}: a mask of several classes? Expected two values, such as 0 and 255. {ADVICE}"
    )
