"""S-measure, E-measure, weighted F and MAE: the polyp field's measures of a soft map.

They come from salient object detection and are what PySODMetrics computes, to 1e-6, in fewer
passes. One place differs: where the lesion's centroid lies on the last row or column,
PySODMetrics averages an empty quadrant and its S-measure is nan; here it has no weight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from gpsseg.evaluators.counts import Histogram, Mask
from gpsseg.evaluators.surface import joint_box

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]
Box = tuple[slice, ...]

EPSILON = float(np.spacing(1.0))


def mean_absolute_error(stretched: Floats, truth: Mask) -> float:
    """Mean of |map - truth| over pixels.

    Args:
        stretched: (H, W) float64 in [0, 1], the min-max normalised map.
        truth: (H, W) bool.
    """
    both = float(np.vdot(stretched, truth.astype(np.float64)))
    return (float(stretched.sum()) + int(np.count_nonzero(truth)) - 2.0 * both) / truth.size


def s_measure(stretched: Floats, truth: Mask, alpha: float = 0.5) -> float:
    """Structure measure: alpha x object similarity + (1 - alpha) x region similarity.

    Args:
        stretched: (H, W) float64 in [0, 1], the min-max normalised map.
        truth: (H, W) bool. Empty: 1 - mean of the map. Full: mean of the map.
        alpha: weight of the object part.

    Returns:
        0..1.

    Source:
        Fan et al., Structure-measure, ICCV 2017.
    """
    pixels, positive = truth.size, int(np.count_nonzero(truth))
    if positive in (0, pixels):
        mean = float(stretched.mean())
        return mean if positive else 1.0 - mean
    solid = truth.astype(np.float64)
    inside, square = stretched * solid, stretched * stretched
    first, second = float(inside.sum()), float(np.vdot(inside, stretched))
    rest = pixels - positive
    outside = rest - float(stretched.sum()) + first
    outside_square = float(square.sum()) - second + 2.0 * outside - rest
    share = positive / pixels
    objects = share * _object_score(positive, first, second)
    objects += (1.0 - share) * _object_score(rest, outside, outside_square)
    regions = _region_score(stretched, solid, inside, square)
    return max(0.0, alpha * objects + (1.0 - alpha) * regions)


def _object_score(pixels: int, first: float, second: float) -> float:
    """How close to 1, and how even, the map is on one object (eq. 4 of the paper).

    Args:
        pixels: of the object.
        first: sum of the map over it (outside the truth: of 1 - map).
        second: sum of its squares.
    """
    mean = first / pixels
    spread = np.sqrt(max(second - first * mean, 0.0) / max(pixels - 1, 1))
    return float(2.0 * mean / (mean**2 + 1.0 + spread + EPSILON))


def _region_score(stretched: Floats, solid: Floats, inside: Floats, square: Floats) -> float:
    """SSIM of the four quadrants around the truth's centroid, weighted by area.

    Args:
        stretched: (H, W) the map.
        solid: the truth as 0 and 1.
        inside: their product.
        square: the map's square.
    """
    height, width = solid.shape
    rows, columns = solid.sum(axis=1), solid.sum(axis=0)
    row = int(np.round(rows @ np.arange(height) / rows.sum())) + 1
    column = int(np.round(columns @ np.arange(width) / columns.sum())) + 1
    top = (np.arange(height) < row) == np.array([[True], [False]])
    left = (np.arange(width) < column) == np.array([[True], [False]])
    sums = [top.astype(float) @ image @ left.T for image in (stretched, square, solid, inside)]
    score = 0.0
    for i, vertical in enumerate((slice(0, row), slice(row, height))):
        for j, horizontal in enumerate((slice(0, column), slice(column, width))):
            part, mask = stretched[vertical, horizontal], solid[vertical, horizontal]
            if part.size:
                ssim = _ssim(part, mask, *(float(total[i, j]) for total in sums))
                score += part.size / solid.size * ssim
    return score


def _ssim(
    part: Floats, mask: Floats, first: float, second: float, positive: float, both: float
) -> float:
    """Structural similarity of a map and a mask (eq. 7 of the paper).

    Args:
        part: (h, w) of the map; looked at only where it is almost constant.
        mask: (h, w) of the truth, 0 and 1; likewise.
        first: sum of the map.
        second: sum of its squares.
        positive: sum of the mask.
        both: sum of their product.
    """
    pixels, divisor = part.size, part.size - 1 + EPSILON
    x, y = first / pixels, positive / pixels
    variance = (second - first * x) / divisor
    covariance = 0.0 if y in (0.0, 1.0) else (both - first * y) / divisor
    if variance < 1e-9:  # the sums cancel: subtract the mean first, as the published code does
        x = float(part.mean())
        variance = float(np.sum((part - x) ** 2)) / divisor
        covariance = float(np.sum((part - x) * (mask - y))) / divisor
    top = 4.0 * x * y * covariance
    bottom = (x**2 + y**2) * (variance + positive * (1.0 - y) / divisor)
    if top != 0:
        return top / (bottom + EPSILON)
    return 1.0 if bottom == 0 else 0.0


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
    """Enhanced alignment of two mean-free values (eqs. 3 and 4 of the paper)."""
    alignment = 2.0 * prediction * truth / (prediction**2 + truth**2 + EPSILON)
    return (alignment + 1.0) ** 2 / 4.0


def weighted_f(stretched: Floats, truth: Mask, beta_squared: float = 1.0) -> float:
    """Weighted F-measure: errors count by where they lie.

    Args:
        stretched: (H, W) float64 in [0, 1], the min-max normalised map.
        truth: (H, W) bool; empty: 0.
        beta_squared: weight of precision.

    Returns:
        0..1.

    Source:
        Margolin et al., How to evaluate foreground maps?, CVPR 2014.
    """
    if not truth.any():
        return 0.0
    box = _grown(joint_box(truth, stretched > 0), 3, truth.shape)
    truth = truth[box]
    error = np.abs(stretched[box] - truth.astype(np.float64))
    nearest = distance_transform_edt(~truth, return_distances=False, return_indices=True)
    missed = float(_forgiven(error, truth, nearest).sum())
    positive = int(np.count_nonzero(truth))
    found = positive - missed
    false = _false_weight(error, truth, nearest)
    recall, precision = 1.0 - missed / positive, found / (found + false + EPSILON)
    top = (1.0 + beta_squared) * recall * precision
    return float(top / (recall + beta_squared * precision + EPSILON))


def _grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    """A box with a margin, cut off at the image's border."""
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, length in zip(box, shape, strict=True)
    )


def _forgiven(error: Floats, truth: Mask, nearest: Indices) -> Floats:
    """Errors inside the truth, each eased to its 7 x 7 Gaussian neighbourhood's if that is less.

    Neighbours outside the truth take the error of the nearest pixel inside.

    Returns:
        (truth pixels,) float64.
    """
    box = _grown(joint_box(truth, truth), 3, truth.shape)
    inside, inner = truth[box], error[box]
    padded = np.zeros((inner.shape[0] + 6, inner.shape[1] + 6))
    carried = padded[3:-3, 3:-3]
    carried[:] = inner
    ring = np.nonzero(_dilated(inside) & ~inside)
    carried[ring] = error[nearest[0][box][ring], nearest[1][box][ring]]
    return np.minimum(inner, _smooth(padded))[inside]


def _dilated(mask: Mask) -> Mask:
    """A mask grown by a 7 x 7 square."""
    for axis in (0, 1):
        wide = mask.copy()
        source, target = np.moveaxis(mask, axis, 0), np.moveaxis(wide, axis, 0)
        for step in (1, 2, 3):
            target[step:] |= source[:-step]
            target[:-step] |= source[step:]
        mask = wide
    return mask


def _smooth(padded: Floats) -> Floats:
    """7 x 7 Gaussian of standard deviation 5.

    Args:
        padded: (h + 6, w + 6), the values in a border of three zeros.

    Returns:
        (h, w) float64.
    """
    kernel = np.exp(-(np.arange(4) ** 2) / 50.0)
    kernel /= 2.0 * kernel.sum() - 1.0
    for axis in (0, 1):
        lines = np.moveaxis(padded, axis, 0)
        length = len(lines) - 6
        total = lines[3 : 3 + length] * kernel[0]
        pair = np.empty_like(total)
        for step in (1, 2, 3):
            before, after = 3 - step, 3 + step
            np.add(lines[before : before + length], lines[after : after + length], out=pair)
            pair *= kernel[step]
            total += pair
        padded = np.moveaxis(total, 0, axis)
    return padded


def _false_weight(error: Floats, truth: Mask, nearest: Indices) -> float:
    """Errors outside the truth, weighted 1 at its border rising to 2 far from it."""
    width = truth.shape[1]
    wrong = np.flatnonzero((error > 0) & ~truth)
    row, column = np.divmod(wrong, width)
    down = nearest[0].ravel()[wrong] - row
    across = nearest[1].ravel()[wrong] - column
    distance = np.sqrt(down * down + across * across)
    weight = 2.0 - np.exp(np.log(0.5) / 5.0 * distance)
    return float(error.ravel()[wrong] @ weight)
