"""S-measure and MAE, from the sums of a map over the four quadrants around the lesion's centroid.

The sums of an 8-bit map come from one histogram; those of a float map from its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gpsseg.evaluators.counts import LEVELS, Array, Mask, bounding_box

Floats = npt.NDArray[np.float64]
Box = tuple[slice, slice]

EPSILON = float(np.spacing(1.0))


@dataclass(frozen=True)
class Quadrants:
    """Sums over the quadrants: top left, top right, bottom left, bottom right.

    Attributes:
        cut: (row, column) where the lower and the right quadrants begin.
        pixels: (4, 2) of each quadrant, outside the truth and inside.
        first: (4, 2) sum of the map likewise.
        second: (4, 2) sum of the map's squares.
    """

    cut: tuple[int, int]
    pixels: Floats
    first: Floats
    second: Floats


def centroid_cut(truth: Mask, offset: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Where the quadrants meet: one past the truth's rounded centroid; (0, 0) without truth.

    Args:
        truth: (h, w) bool.
        offset: (row, column) of its first pixel in the image.
    """
    solid = np.ascontiguousarray(truth).view(np.uint8)
    if solid.size == 0:
        return 0, 0
    cut = []
    for axis, start in ((1, offset[0]), (0, offset[1])):
        sums = cv2.reduce(solid, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().astype(float)
        if not sums.any():
            return 0, 0
        place = np.arange(start, start + len(sums))
        cut.append(int(np.round(sums @ place / sums.sum())) + 1)
    return cut[0], cut[1]


def quadrant_slices(cut: tuple[int, int], shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """The four quadrants, in the order of `Quadrants`."""
    for rows in (slice(0, cut[0]), slice(cut[0], shape[0])):
        for columns in (slice(0, cut[1]), slice(cut[1], shape[1])):
            yield rows, columns


def quadrant_histogram(
    levels: npt.NDArray[np.uint8], truth: Mask, box: Box, cut: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Count the pixels of an 8-bit map by level, quadrant and truth.

    Args:
        levels: (H, W) uint8.
        truth: (H, W) bool.
        box: outside it the map is constant, and the truth is empty.
        cut: see `Quadrants`.

    Returns:
        (4, 2, 256) int64.
    """
    crop, solid = levels[box], truth[box]
    row, column = (
        min(max(at - side.start, 0), length)
        for at, side, length in zip(cut, box, crop.shape, strict=True)
    )
    counts = np.zeros((4, 2, LEVELS), np.int64)
    for i, place in enumerate(quadrant_slices((row, column), crop.shape)):
        counts[i, 1] = _level_counts(crop[place], solid[place])
        counts[i, 0] = _level_counts(crop[place]) - counts[i, 1]
    for i, place in enumerate(quadrant_slices(cut, levels.shape)):
        left = levels[place].size - int(counts[i].sum())
        if left:
            counts[i, 0, _outside(levels, box)] += left
    return counts


def _level_counts(levels: npt.NDArray[np.uint8], mask: Mask | None = None) -> Array:
    """(256,) pixels of each level, in a mask if there is one."""
    if levels.size == 0:
        return np.zeros(LEVELS, np.int64)
    if levels.size >= 2**24:  # OpenCV counts in float32
        return np.bincount((levels if mask is None else levels[mask]).ravel(), minlength=LEVELS)
    within = None if mask is None else mask.view(np.uint8)
    return cv2.calcHist([levels], [0], within, [LEVELS], [0, LEVELS]).ravel().astype(np.int64)


def _outside(levels: npt.NDArray[np.uint8], box: Box) -> int:
    """The one value of a map outside a box."""
    row = 0 if box[0].start > 0 else min(box[0].stop, len(levels) - 1)
    column = 0 if box[1].start > 0 else min(box[1].stop, levels.shape[1] - 1)
    return int(levels[row, column])


def quadrants_of_histogram(
    counts: npt.NDArray[np.int64], table: Floats, cut: tuple[int, int]
) -> Quadrants:
    """Sums of an 8-bit map.

    Args:
        counts: from `quadrant_histogram`.
        table: (256,) the normalised value of each level.
        cut: see `Quadrants`.
    """
    weight = counts.reshape(8, LEVELS).astype(np.float64)
    powers = np.stack([np.ones(LEVELS), table, table * table], axis=1)
    pixels, first, second = (weight @ powers).T.reshape(3, 4, 2)
    return Quadrants(cut, pixels, first, second)


def quadrants_of_map(stretched: Floats, truth: Mask) -> Quadrants:
    """Sums of a float map, (H, W) in [0, 1]."""
    cut, box = centroid_cut(truth), bounding_box(truth)
    solid = truth[box].astype(np.float64)
    masked = stretched[box] * solid
    local = tuple(at - side.start for at, side in zip(cut, box, strict=True))
    sums = np.zeros((3, 4, 2))
    for i, place in enumerate(quadrant_slices(cut, truth.shape)):
        part = stretched[place]
        sums[:, i, 0] = part.size, part.sum(), np.einsum("ij,ij->", part, part)
    for i, place in enumerate(quadrant_slices((local[0], local[1]), solid.shape)):
        part = masked[place]
        sums[:, i, 1] = solid[place].sum(), part.sum(), np.einsum("ij,ij->", part, part)
    sums[:, :, 0] -= sums[:, :, 1]
    return Quadrants(cut, sums[0], sums[1], sums[2])


def s_measure(
    sums: Quadrants, truth: Mask, part_of: Callable[[Box], Floats], alpha: float = 0.5
) -> float:
    """Structure measure: alpha x object similarity + (1 - alpha) x region similarity.

    Args:
        sums: of the min-max normalised map.
        truth: (H, W) bool. Empty: 1 - mean of the map. Full: mean of the map.
        part_of: gives the normalised map in a box; asked where it is almost constant.
        alpha: weight of the object part.

    Returns:
        0..1.

    Source:
        Fan et al., Structure-measure, ICCV 2017.
    """
    pixels, positive = truth.size, int(sums.pixels[:, 1].sum())
    first, second = sums.first.sum(axis=0).tolist(), sums.second.sum(axis=0).tolist()
    if positive in (0, pixels):
        mean = sum(first) / pixels
        return mean if positive else 1.0 - mean
    rest, share = pixels - positive, positive / pixels
    outside = rest - first[0]  # of 1 - map, and its squares below
    outside_square = second[0] + 2.0 * outside - rest
    objects = share * _object_score(positive, first[1], second[1])
    objects += (1.0 - share) * _object_score(rest, outside, outside_square)
    return max(0.0, alpha * objects + (1.0 - alpha) * _region_score(sums, truth, part_of))


def mean_absolute_error(sums: Quadrants) -> float:
    """Mean of |map - truth| over pixels."""
    wrong = sums.first[:, 0].sum() + sums.pixels[:, 1].sum() - sums.first[:, 1].sum()
    return float(wrong / sums.pixels.sum())


def _object_score(pixels: int, first: float, second: float) -> float:
    """How close to 1, and how even, the map is on one object: the object-aware part.

    Args:
        pixels: of the object.
        first: sum of the map over it (outside the truth: of 1 - map).
        second: sum of its squares.
    """
    mean = first / pixels
    spread = np.sqrt(max(second - first * mean, 0.0) / max(pixels - 1, 1))
    return float(2.0 * mean / (mean**2 + 1.0 + spread + EPSILON))


def _region_score(sums: Quadrants, truth: Mask, part_of: Callable[[Box], Floats]) -> float:
    """SSIM of the four quadrants around the truth's centroid, weighted by area."""
    score = 0.0
    for i, place in enumerate(quadrant_slices(sums.cut, truth.shape)):
        pixels = int(sums.pixels[i].sum())
        if not pixels:
            continue
        first, second = float(sums.first[i].sum()), float(sums.second[i].sum())
        positive, both = float(sums.pixels[i, 1]), float(sums.first[i, 1])
        x, y, divisor = first / pixels, positive / pixels, pixels - 1 + EPSILON
        variance = (second - first * x) / divisor
        covariance = 0.0 if y in (0.0, 1.0) else (both - first * y) / divisor
        if second > 0 and variance < 1e-9:  # the sums cancel: as the published code does it
            part = part_of(place)
            x = float(part.mean())
            variance = float(np.sum((part - x) ** 2)) / divisor
            covariance = float(np.sum((part - x) * (truth[place] - y))) / divisor
        spread = positive * (1.0 - y) / divisor
        score += pixels / truth.size * _similarity(x, y, variance, spread, covariance)
    return score


def _similarity(x: float, y: float, x_spread: float, y_spread: float, both: float) -> float:
    """Structural similarity from means, variances and covariance: the region-aware part."""
    top = 4.0 * x * y * both
    bottom = (x**2 + y**2) * (x_spread + y_spread)
    if top != 0:
        return top / (bottom + EPSILON)
    return 1.0 if bottom == 0 else 0.0
