"""Which stored values of a mask are foreground: one rule for every format and every command.

Two levels: the higher is foreground, whatever they are (0 and 1, 0 and 255, 1 and 2, 254 and 255).
One level: foreground, unless it is 0 or other masks of the set have it as their lower one. More
levels are a map of classes, and refused, unless all but two of them only soften the border between
two others (see ``gpsseg.data.formats.areas``): such a mask is cut in the middle of its two levels.
JPEG, and masks of more than 16 values, are cut in the middle of the range; levels that differ by
what JPEG adds are one. Where the foreground's values are named (``--labels``), these count.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from gpsseg.data.formats.areas import NOISE, clusters, even_levels, inner_levels
from gpsseg.data.formats.distinct import FEW, distinct, percent
from gpsseg.errors import UserError

SMALL = 64  # below, values are numbers of classes and no greys
NEAR = 1e-3  # how far from a whole number a float is that number
ADVICE = (
    "Save one mask per class; or list the classes in a data card (`python -m gpsseg.datasets new`) "
    "and choose some with --classes."
)
BY_LABELS = (  # of commands without data cards
    "Name the foreground's values, such as --labels {value:g}, or save one mask per class."
)


@dataclass(frozen=True)
class Marked:
    """A mask as it is used.

    Attributes:
        mask: bool, of any shape; True is foreground.
        grey: share of its pixels that were neither of its two levels.
        classes: numbers of the chosen classes that are there, where classes were chosen.
        level: the value that is foreground, where there are two.
        ground: the lower of two values, or the only one; None where that says nothing.
        shade: the value between the two levels, where there is exactly one.
        held: all values that are there, where labels were chosen.
    """

    mask: np.ndarray
    grey: float = 0.0
    classes: frozenset[int] = frozenset()
    level: float | None = None
    ground: float | None = None
    shade: float | None = None
    held: frozenset[float] = frozenset()


def mark(
    values: np.ndarray,
    path: Path,
    lossy: bool = False,
    grounds: Collection[float] = (),
    choice: str = "",
) -> Marked:
    """Find the foreground of stored values.

    Args:
        values: (H, W) or (D, H, W), as stored.
        path: names the file in errors.
        lossy: whether they were compressed as JPEG is.
        grounds: values that other masks of the set have as background: a mask of one of these
            alone is empty.
        choice: a sentence that says how else several classes can be read, where they are whole
            numbers; "{value:g}" in it is one of them.

    Raises:
        UserError: as ``checked``, or there are several classes.
    """
    values = checked(values, path)
    if values.dtype == bool:
        return Marked(values)
    found, counts = distinct(values)
    low, top = found[0].item(), found[-1].item()
    if len(found) == 1:
        return Marked(np.full(values.shape, low > 0 and low not in grounds), ground=low)
    if len(found) == 2:
        return Marked(values == top, level=top, ground=low)
    if lossy or len(found) > FEW:
        return _shaded(values, path, lossy, (found, counts), choice)
    if len(levels_of(values)) > 2:
        _refuse_classes(values, path, (found, counts), choice)
    grey = 1 - float(counts[0] + counts[-1]) / values.size
    shade = found[1].item() if len(found) == 3 else None
    return Marked(values > (low + top) / 2, grey, shade=shade)


def levels_of(values: np.ndarray) -> tuple[float, ...]:
    """Of up to 16 distinct values (...), as ``checked`` gives them, those that are levels."""
    found = distinct(values.view(np.uint8) if values.dtype == bool else values)[0]
    if len(found) <= 2 or _counts_classes(values, found):
        return tuple(found.tolist())
    return (found[0].item(), *inner_levels(values, found), found[-1].item())


def grounds_of(pairs: Sequence[Sequence[float]]) -> frozenset[float]:
    """What is background in masks of two levels, (lower, higher), and foreground in none."""
    return frozenset(low for low, _ in pairs) - frozenset(high for _, high in pairs)


def by_labels(values: np.ndarray, labels: Collection[int], path: Path) -> Marked:
    """Where a map of classes holds one of the chosen values; a mask of one bit is that already.

    Args:
        values: of any shape, as stored; nearly whole floats are whole numbers.
        labels: the values that are foreground.
        path: names the file in errors.

    Raises:
        UserError: as ``whole``.
    """
    numbers = whole(values, path, negative=True)
    if numbers.dtype == bool:
        return Marked(numbers)
    held = frozenset(distinct(numbers)[0].tolist())
    there = frozenset(label for label in labels if label in held)
    return Marked(np.isin(numbers, list(labels)), classes=there, held=held)


def checked(values: np.ndarray, path: Path, negative: bool = False) -> np.ndarray:
    """A mask's values (...), validated: bool, or integers, or floats that are not all whole.

    Floats that are nearly whole become whole; if all do, they become integers.

    Raises:
        UserError: there is NaN, infinity, anything but numbers, or (unless ``negative`` values are
            asked for) something below 0.
    """
    if values.dtype.kind not in "buif":
        raise UserError(f"{path} holds {values.dtype}, expected whole numbers or floats.")
    refuse_not_finite(values, path, "a mask such as 0 and 255")
    if values.dtype.kind == "f":
        values = _whole(usual_float(values))
    if not negative and values.dtype.kind in "if" and (low := values.min()) < 0:
        share = np.count_nonzero(values < 0) / values.size
        byte = " In a signed byte -1 stands for 255." if values.dtype == np.int8 else ""
        raise UserError(
            f"{path} holds {low:g}, expected a mask such as 0 and 255; {percent(share)} of its "
            f"values lie below 0.{byte} Save it with values from 0 on."
        )
    return values


def usual_float(values: np.ndarray) -> np.ndarray:
    """Floats (...) of a width that everything computes with: float32 or float64."""
    if values.dtype.kind != "f" or values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float32 if values.dtype == np.float16 else np.float64)


def whole(values: np.ndarray, path: Path, negative: bool = False) -> np.ndarray:
    """The values (...) of a map of classes, validated: bool or integers.

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
    """Refuse NaN and infinity in values (...).

    Raises:
        UserError: there is one; the text says what was expected.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        raise UserError(
            f"{path} holds NaN or infinity in {bad} of {values.size} values, expected "
            f"{expected}. Look for a division by zero where it was made."
        )


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


def _counts_classes(values: np.ndarray, found: np.ndarray) -> bool:
    """Whether the values are too small to be greys."""
    return found[-1] < SMALL and (values.dtype.kind != "f" or found[-1] > 1)


def _shaded(
    values: np.ndarray,
    path: Path,
    lossy: bool,
    held: tuple[np.ndarray, np.ndarray],
    choice: str,
) -> Marked:
    """The foreground of a mask of many values, or of a JPEG; ``held`` is what it holds, counted."""
    found, counts = held
    if not lossy and (_counts_classes(values, found) or even_levels(values) > 2):
        _refuse_classes(values, path, held, choice)
    top = found[-1].item()
    outer = counts[0] + counts[-1]
    grey = 1 - float(outer) / max(int(counts.sum()), 1)
    middle = 127 if 127 < top <= 255 else top / 2
    if _has_two_ends(held):
        return Marked(values > middle, grey)
    scale = _scale(top)
    levels = clusters((values * scale).astype(np.uint8))
    if len(levels) > 2:
        listed = ", ".join(f"{level / scale:g} ({percent(share)})" for level, share in levels[:FEW])
        raise UserError(
            f"{path} holds areas of {len(levels)} levels, about {listed}: a mask of several "
            "classes? Expected two values, such as 0 and 255. "
            + (choice.format(value=round(levels[1][0] / scale)) if choice else ADVICE)
        )
    if len(levels) == 2:
        return Marked(values > (levels[0][0] + levels[1][0]) / 2 / scale, grey)
    if 1 < top <= 127:
        _refuse_classes(values, path, held, choice)
    return Marked(values > middle, grey)


def is_shaded(values: np.ndarray) -> bool:
    """Whether a JPEG (H, W) holds shades, as a probability map, and not areas of a few levels."""
    held = distinct(values)
    if len(held[0]) <= 2 or _has_two_ends(held, 0.9):
        return False
    scale = _scale(held[0][-1].item())
    levels = [level for level, _ in clusters((values * scale).astype(np.uint8))]
    away = np.min([np.abs(held[0] * scale - level) for level in (*levels, np.inf)], axis=0)
    return bool(held[1][away <= 2 * NOISE].sum() < 0.9 * held[1].sum())


def _has_two_ends(held: tuple[np.ndarray, np.ndarray], share: float = 0.98) -> bool:
    """Whether nearly all values lie near either end of 0..255 (or 0..65535, or 0..1)."""
    found, counts = held
    top = found[-1].item()
    scale = _scale(top)
    ends = (found * scale < 32) | (found * scale >= 224)
    return bool(top * scale >= 224 and counts[ends].sum() >= share * counts.sum())


def _scale(top: float) -> float:
    """What makes 0..255 of values up to ``top``."""
    return 255 / (255 if 1 < top <= 255 else top)


def _refuse_classes(
    values: np.ndarray, path: Path, held: tuple[np.ndarray, np.ndarray], choice: str
) -> NoReturn:
    """Refuse a map of classes, with its values and their shares."""
    found = held[0]
    pairs = list(zip(*(each.tolist() for each in held), strict=True))
    listed = ", ".join(f"{v:g} ({percent(n / values.size)})" for v, n in pairs[:FEW])
    more = f" and {len(pairs) - FEW} more" if len(pairs) > FEW else ""
    whole_numbers = values.dtype.kind in "ui"
    advice = choice.format(value=found[1]) if choice and whole_numbers else ADVICE
    raise UserError(
        f"{path} holds {len(pairs)} different values from {found[0]:g} to {found[-1]:g}: {listed}"
        f"{more}: a mask of several classes? Expected two values, such as 0 and 255. {advice}"
    )
