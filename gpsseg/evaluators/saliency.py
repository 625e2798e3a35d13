"""E-measure and weighted F: the polyp field's measures of a soft map, beside `structure`'s.

They come from salient object detection and are what PySODMetrics computes, to 1e-6, in fewer
passes. One place differs: where the lesion's centroid lies on the last row or column,
PySODMetrics averages an empty quadrant and its S-measure is nan; here it has no weight.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gpsseg.evaluators.counts import Array, Histogram, Mask, bounding_box, grown
from gpsseg.evaluators.structure import EPSILON

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

ROOM = 4  # the longest step back to the truth, from 3 pixels down and 3 across, along one axis


def e_measure(sweep: Histogram) -> float:
    """Enhanced-alignment measure, mean over the 256 thresholds.

    Divides by pixels - 1 as the published code does, so a perfect mask scores just above 1.

    Args:
        sweep: histogram of the min-max normalised map.

    Source:
        Fan et al., Enhanced-alignment measure, IJCAI 2018.
    """
    tp, fp = sweep.sweep()
    positive, pixels = int(tp[-1]), int(tp[-1] + fp[-1])
    predicted = tp + fp
    if positive == 0:
        aligned: Floats = (pixels - predicted).astype(np.float64)
    elif positive == pixels:
        aligned = predicted.astype(np.float64)
    else:
        fn, tn = positive - tp, pixels - positive - fp
        x, y = predicted / pixels, positive / pixels
        aligned = tp * _alignment(1 - x, 1 - y) + fp * _alignment(1 - x, -y)
        aligned += fn * _alignment(-x, 1 - y) + tn * _alignment(-x, -y)
    return float(aligned.mean() / (pixels - 1 + EPSILON))


def _alignment(prediction: Floats, truth: float) -> Floats:
    """Enhanced alignment of two mean-free values, (256,) in [0, 1]."""
    alignment = 2.0 * prediction * truth / (prediction**2 + truth**2 + EPSILON)
    return (alignment + 1.0) ** 2 / 4.0


def weighted_f(stretched: Array, truth: Mask, beta_squared: float = 1.0) -> float:
    """Weighted F-measure: errors count by where they lie.

    Args:
        stretched: (H, W) float in [0, 1], the min-max normalised map; float32 is enough.
        truth: (H, W) bool; empty: 0.
        beta_squared: weight of precision.

    Returns:
        0..1.

    Source:
        Margolin et al., How to evaluate foreground maps?, CVPR 2014.
    """
    if not truth.any():
        return 0.0
    box = grown(bounding_box((stretched > 0) | truth), 3, truth.shape)
    stretched = np.asarray(stretched[box], dtype=np.float32, order="C")
    truth = np.ascontiguousarray(truth[box])
    outside = 1 - truth.view(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = grown(bounding_box(truth), 3, truth.shape)
    positive = int(np.count_nonzero(truth))
    missed = _missed(stretched[near], truth[near], distance[near])
    found, false = positive - missed, _false_weight(stretched * outside, distance)
    recall, precision = 1.0 - missed / positive, found / (found + false + EPSILON)
    top = (1.0 + beta_squared) * recall * precision
    return float(top / (recall + beta_squared * precision + EPSILON))


def _missed(stretched: Array, truth: Mask, distance: Array) -> float:
    """Sum of the errors inside the truth, each eased to its 7 x 7 Gaussian mean if that is less.

    Neighbours outside the truth take the error of the nearest pixel inside.

    Args:
        stretched: (h, w), the truth's box and 3 pixels around, where the image has them.
        truth: the same part.
        distance: to the truth, the same part.
    """
    inside = np.ascontiguousarray(truth).view(np.uint8)
    error = (1.0 - stretched) * inside
    assert error.flags.c_contiguous  # _carry writes through a flat view
    _carry(error, inside, distance)
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / 50.0)
    kernel /= kernel.sum()
    eased = cv2.sepFilter2D(error, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    least = np.minimum(error, eased, out=eased)
    least *= inside
    return float(cv2.sumElems(least)[0])  # adds up in float64


def _carry(error: Array, inside: npt.NDArray[np.uint8], distance: Array) -> None:
    """Give the pixels within a 7 x 7 square of the truth the error of their nearest true pixel.

    Of equally near ones the leftmost counts, then the topmost: the choice of SciPy's transform.
    """
    ring = np.flatnonzero(cv2.dilate(inside, np.ones((7, 7), np.uint8)) > inside)
    if ring.size == 0:
        return
    width, wide = inside.shape[1], inside.shape[1] + 2 * ROOM
    padded = np.pad(inside, ROOM).ravel()
    start = ring + (ring // width) * 2 * ROOM + ROOM * (wide + 1)
    squared = np.rint(distance.ravel().take(ring) ** 2).astype(np.intp)
    down, across = _steps()
    candidates = (down * wide + across).take(squared, axis=0)
    candidates += start[:, None]
    nearest = padded.take(candidates).argmax(axis=1)
    flat = error.reshape(-1)
    flat[ring] = flat.take(ring + (down * width + across)[squared, nearest])


@lru_cache(maxsize=1)
def _steps() -> tuple[Indices, Indices]:
    """Steps (down, across) to the pixels at a squared distance: two (19, 8) tables.

    In the order in which equally near pixels count; where there are fewer than 8, the first again.
    """
    reach = range(-ROOM, ROOM + 1)
    table = np.zeros((2, 19, 8), np.intp)
    for squared in range(19):
        steps = [(y, x) for x in reach for y in reach if y * y + x * x == squared]
        if steps:
            table[:, squared] = np.array((steps + steps[:1] * 8)[:8]).T
    return table[0], table[1]


def _false_weight(error: Array, distance: Array) -> float:
    """Errors outside the truth, weighted 1 at its border rising to 2 far from it."""
    distance *= np.float32(np.log(0.5) / 5.0)
    weight = 2.0 - cv2.exp(distance, dst=distance)
    weight *= error
    return float(cv2.sumElems(weight)[0])
