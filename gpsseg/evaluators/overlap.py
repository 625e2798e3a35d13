"""Dice and IoU from counts; every rule for an empty mask is an argument, never an accident."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpsseg.evaluators.counts import Histogram

Number = int | float | npt.NDArray[np.int64] | npt.NDArray[np.float64]
Floats = npt.NDArray[np.float64]


def dice(tp: Number, fp: Number, fn: Number, empty: float = 1.0) -> Floats:
    """Dice coefficient, 2 TP / (2 TP + FP + FN); symmetric in prediction and truth.

    Args:
        tp: true positives, a number or any array.
        fp: false positives, of the same shape.
        fn: false negatives, of the same shape.
        empty: the score where prediction and truth are both empty. One empty mask scores 0.

    Returns:
        float64 in [0, 1], of the counts' shape; (), an array too, of single numbers.

    Source:
        Dice, Measures of the amount of ecologic association between species, Ecology 1945.

    >>> float(dice(2, 1, 1))
    0.6666666666666666
    """
    return ratio(2 * np.asarray(tp), 2 * np.asarray(tp) + fp + fn, empty)


def iou(tp: Number, fp: Number, fn: Number, empty: float = 1.0) -> Floats:
    """Intersection over union (Jaccard), TP / (TP + FP + FN); arguments and result as for `dice`.

    Source:
        Jaccard, The distribution of the flora in the alpine zone, New Phytologist 1912.

    >>> float(iou(2, 1, 1))
    0.5
    """
    return ratio(np.asarray(tp), np.asarray(tp) + fp + fn, empty)


def recall(tp: Number, fn: Number, empty: float = 1.0) -> Floats:
    """Share of the truth found, TP / (TP + FN): float64 (...) of counts; `empty` without truth."""
    return ratio(np.asarray(tp), np.asarray(tp) + fn, empty)


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike, empty: float) -> Floats:
    """``part / whole``, numbers (...) both: float64 (...), `empty` where the whole is 0."""
    whole = np.asarray(whole, dtype=np.float64)
    quotient = np.full(whole.shape, empty)
    return np.divide(part, whole, out=quotient, where=whole > 0)


def sweep_scores(sweep: Histogram) -> tuple[float, float]:
    """Mean Dice and IoU over the 256 thresholds 1, 254/255, ..., 0; TP = 0 scores 0.

    A perfect binary mask of area fraction f scores (255 + 2 f / (1 + f)) / 256 in Dice, not 1:
    the threshold 0 calls every pixel foreground.

    Args:
        sweep: the histogram of a min-max normalised map.

    Returns:
        Dice and IoU, both in [0, 1].

    Source:
        PraNet's evaluation (Fan et al., MICCAI 2020), as PySODMetrics computes it.
    """
    tp, fp = sweep.sweep()
    fn = tp[-1] - tp
    return float(dice(tp, fp, fn, empty=0.0).mean()), float(iou(tp, fp, fn, empty=0.0).mean())
