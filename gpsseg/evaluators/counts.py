"""Per-image pixel counts: the one thing every overlap protocol is made of.

A mask gives four counts (TP, FP, FN, TN). A probability map gives a 256-bin histogram split by
the truth, and the histogram gives the four counts at every threshold k / 255 at once.

What is exact:

* An 8-bit map holds the probabilities v / 255; a threshold on it is a threshold on integers.
* A float map is compared in float64: bin ``floor(255 p)`` is the number of the largest
  threshold k / 255 with ``p >= k / 255`` for every float64 ``p`` (multiplication rounds
  monotonically, and tests/evaluators/test_counts.py checks both sides of all 256 boundaries).
* Min-max normalisation is done in float64, in the order of PySODMetrics. Where a normalised
  value lies on a threshold in exact arithmetic, float64 may put it just below (a quarter of all
  pairs of extremes have such a level; never 0 and 255); we keep the reference's side.
* Quantising a float map to 8 bits first is *not* the same as sweeping it: up to half a level of
  probability moves across a threshold. Only `quantise` does that, for calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

LEVELS = 256


@dataclass(frozen=True)
class Counts:
    """Pixel counts of one prediction against one truth.

    Attributes:
        tp: true positives; predicted and true.
        fp: false positives; predicted, not true.
        fn: false negatives; true, not predicted.
        tn: true negatives.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def prediction(self) -> int:
        """Predicted foreground pixels."""
        return self.tp + self.fp

    @property
    def truth(self) -> int:
        """True foreground pixels."""
        return self.tp + self.fn


def count_pixels(prediction: Mask, truth: Mask) -> Counts:
    """Count the four outcomes of a mask; shapes are not checked here, see `Scorer.add`.

    Args:
        prediction: bool, any shape.
        truth: bool, the same shape.

    >>> count_pixels(np.array([True, True, False, False]), np.array([True, False, True, False]))
    Counts(tp=1, fp=1, fn=1, tn=1)
    """
    tp = int(np.count_nonzero(prediction & truth))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return Counts(tp, fp, fn, truth.size - tp - fp - fn)


@dataclass(frozen=True)
class Histogram:
    """How many true and untrue pixels a map gives each of its 256 levels.

    Attributes:
        foreground: (256,) int64, pixels of the truth by level.
        background: (256,) int64, the other pixels by level.
    """

    foreground: npt.NDArray[np.int64]
    background: npt.NDArray[np.int64]

    def __add__(self, other: Histogram) -> Histogram:
        """Pool two images, or two data sets."""
        return Histogram(self.foreground + other.foreground, self.background + other.background)

    def at_least(self, level: int) -> Counts:
        """Counts of the mask ``map >= level`` (level 0..256)."""
        tp, fp = int(self.foreground[level:].sum()), int(self.background[level:].sum())
        truth, rest = int(self.foreground.sum()), int(self.background.sum())
        return Counts(tp, fp, truth - tp, rest - fp)

    def sweep(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """True and false positives at the thresholds 255, 254, ..., 0 with ``>=``.

        Returns:
            Two (256,) int64 arrays, TP and FP, both rising.
        """
        return np.cumsum(self.foreground[::-1]), np.cumsum(self.background[::-1])


def histogram(levels: npt.NDArray[np.uint8], truth: Mask) -> Histogram:
    """Histogram an 8-bit map by level and truth, in one pass.

    Args:
        levels: (...) uint8, 0..255.
        truth: (...) bool.
    """
    code = np.multiply(truth, LEVELS, dtype=np.uint16)
    code += levels
    both = np.bincount(code.ravel(), minlength=2 * LEVELS)
    return Histogram(foreground=both[LEVELS:], background=both[:LEVELS])


def quantise(probability: Array) -> npt.NDArray[np.uint8]:
    """Round a map to the nearest of the 256 levels k / 255.

    Args:
        probability: (...) float in [0, 1] or bool; or uint8 (returned as it is).

    Returns:
        (...) uint8, 0..255.
    """
    if probability.dtype == np.uint8:
        return probability
    return np.rint(probability * 255.0).astype(np.uint8)


def normalised(raw: Histogram) -> Histogram:
    """Min-max normalise an 8-bit map through its histogram.

    Gives exactly the histogram of ``sweep_levels(min_max(map))``, from 256 values.
    """
    used = np.flatnonzero(raw.foreground + raw.background).astype(np.uint8)
    level = sweep_levels(min_max(used))
    return Histogram(
        np.bincount(level, raw.foreground[used], LEVELS).astype(np.int64),
        np.bincount(level, raw.background[used], LEVELS).astype(np.int64),
    )


def bounding_box(mask: Mask) -> tuple[slice, slice]:
    """The smallest box that holds a mask (H, W), in pixels; empty slices where it is empty."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def grown(box: tuple[slice, slice], margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """A box with a margin in pixels, cut off at the image's border.

    Args:
        box: rows and columns, in pixels.
        margin: on each side.
        shape: (H, W) of the image.
    """
    rows, columns = (
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, length in zip(box, shape, strict=True)
    )
    return rows, columns


def min_max(probability: Array) -> npt.NDArray[np.float64]:
    """Stretch a map to [0, 1]; a constant map stays as it is.

    Args:
        probability: (...) float in [0, 1], or uint8 read as v / 255.

    Returns:
        (...) float64 in [0, 1].
    """
    if probability.dtype == np.uint8:
        return stretching(int(probability.min()), int(probability.max())).take(probability)
    scaled = probability.astype(np.float64)
    low, high = scaled.min(), scaled.max()
    if high > low:
        scaled -= low
        scaled /= high - low
    return scaled


def stretching(low: int, high: int) -> npt.NDArray[np.float64]:
    """(256,) float64: what `min_max` makes of each level of an 8-bit map from `low` to `high`.

    Levels outside are meaningless unless the map is constant.
    """
    levels = np.arange(LEVELS) / 255.0
    return (levels - levels[low]) / (levels[high] - levels[low]) if high > low else levels


def sweep_levels(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """The largest k with ``probability >= k / 255``, for every pixel; exact in float64.

    Args:
        probability: (...) float64 in [0, 1].

    Returns:
        (...) uint8, 0..255.
    """
    return (probability * 255.0).astype(np.uint8)
