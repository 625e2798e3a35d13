"""Distances between the boundaries of two masks: HD95, ASSD and NSD, in 2-D and 3-D.

A mask's boundary is its pixels with a neighbour along an axis outside the mask; outside the
image counts as outside the mask. Work is done in the masks' joint bounding box only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from gpsseg.evaluators.counts import Mask

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """Distance from every boundary pixel of one mask to the other mask's boundary.

    All are in one unit: in mm, or in pixels where no spacing was given.

    Attributes:
        from_prediction: (n,) float64; empty where the prediction is.
        from_truth: (m,) float64; empty where the truth is.
        diagonal: length of the image's diagonal, in the same unit.
    """

    from_prediction: Floats
    from_truth: Floats
    diagonal: float

    @property
    def empty_masks(self) -> int:
        """How many of the two masks are empty: 0, 1 or 2."""
        return int(self.from_prediction.size == 0) + int(self.from_truth.size == 0)


def surface_distances(
    prediction: Mask, truth: Mask, spacing: Sequence[float] | None = None
) -> SurfaceDistances:
    """Measure both boundaries against each other; shapes are not checked here, see `Scorer.add`.

    Args:
        prediction: (H, W) or (D, H, W) bool.
        truth: the same shape, bool.
        spacing: mm a pixel along each axis, in the order of the axes; None: pixels.

    Returns:
        Distances in mm, or in pixels without a spacing. Where one mask is empty, the other's
        distances are all the diagonal.
    """
    step = np.ones(truth.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    diagonal = float(np.linalg.norm(np.asarray(truth.shape) * step))
    box = joint_box(prediction, truth)
    edges = outline(prediction[box]), outline(truth[box])
    points = tuple(np.argwhere(edge) * step for edge in edges)
    if len(points[0]) == 0 or len(points[1]) == 0:
        away = tuple(np.full(len(side), diagonal) for side in points)
        return SurfaceDistances(away[0], away[1], diagonal)
    return SurfaceDistances(
        _nearest(edges[0], edges[1], points[0], points[1]),
        _nearest(edges[1], edges[0], points[1], points[0]),
        diagonal,
    )


def _nearest(edge: Mask, other: Mask, points: Floats, targets: Floats) -> Floats:
    """Distance from each point to the closest target; shared boundary pixels are 0 unasked."""
    apart = ~other[edge]
    distance = np.zeros(len(points))
    if apart.any():
        tree = cKDTree(targets, leafsize=32, balanced_tree=False, compact_nodes=False)
        distance[apart] = tree.query(points[apart])[0]
    return distance


def joint_box(first: Mask, second: Mask) -> tuple[slice, ...]:
    """The smallest box that holds two bool masks (...): a slice of pixels for each of their axes.

    The slices are empty where both masks are.
    """
    either = first | second
    box = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        used = np.flatnonzero(either.any(axis=others))
        box.append(slice(used[0], used[-1] + 1) if used.size else slice(0, 0))
    return tuple(box)


def outline(mask: Mask) -> Mask:
    """The pixels of a mask (...) with a face neighbour outside it (the array's outside included).

    Equal to ``mask & ~scipy.ndimage.binary_erosion(mask)``.
    """
    inner = mask.copy()
    for axis in range(mask.ndim):
        along, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        kept[1:] &= along[:-1]
        kept[:-1] &= along[1:]
        kept[:1] = False
        kept[-1:] = False
    return mask & ~inner


def hausdorff95(distances: SurfaceDistances) -> float:
    """HD95: the larger of the two directed 95th percentiles (linear interpolation).

    Both masks empty: 0. One empty: the image diagonal.

    Returns:
        In the distances' unit, mm or pixels.

    Source:
        Maier-Hein et al., Metrics reloaded, Nature Methods 2024.
    """
    if distances.empty_masks:
        return 0.0 if distances.empty_masks == 2 else distances.diagonal
    return float(
        max(np.percentile(distances.from_prediction, 95), np.percentile(distances.from_truth, 95))
    )


def average_distance(distances: SurfaceDistances) -> float:
    """ASSD: mean over the pixels of both boundaries.

    Both masks empty: 0. One empty: the image diagonal.

    Returns:
        In the distances' unit, mm or pixels.

    Source:
        Heimann et al., Comparison and evaluation of methods for liver segmentation, IEEE TMI 2009.
    """
    if distances.empty_masks:
        return 0.0 if distances.empty_masks == 2 else distances.diagonal
    total = distances.from_prediction.sum() + distances.from_truth.sum()
    return float(total / (distances.from_prediction.size + distances.from_truth.size))


def surface_dice(distances: SurfaceDistances, tolerance: float) -> float:
    """NSD: share of the pixels of both boundaries within `tolerance` of the other boundary.

    Both masks empty: 1. One empty: 0.

    Args:
        distances: from `surface_distances`.
        tolerance: in the distances' unit (pixels or mm); a distance equal to it is within.

    Returns:
        0..1.

    Source:
        Nikolov et al., arXiv:1809.04430; counted in pixels as in Seidlitz et al.,
        arXiv:2111.05408 (MONAI's default).
    """
    if distances.empty_masks:
        return 1.0 if distances.empty_masks == 2 else 0.0
    within = np.count_nonzero(distances.from_prediction <= tolerance)
    within += np.count_nonzero(distances.from_truth <= tolerance)
    return float(within / (distances.from_prediction.size + distances.from_truth.size))


def boundary_scores(
    prediction: Mask,
    truth: Mask,
    spacing: Sequence[float] | None = None,
    tolerance: float = 2.0,
) -> dict[str, float]:
    """HD95, ASSD and NSD of one 2-D image, by the `boundary` protocol.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        spacing: mm a pixel along (row, column). HD95 and ASSD are in mm where it is given, in
            pixels where it is not.
        tolerance: of NSD, always in pixels.

    Returns:
        hd95 and assd (mm or pixels), nsd (0..1), and empty_masks (0, 1 or 2).
    """
    pixels = surface_distances(prediction, truth)
    lengths = pixels if spacing is None else surface_distances(prediction, truth, spacing)
    return {
        "hd95": hausdorff95(lengths),
        "assd": average_distance(lengths),
        "nsd": surface_dice(pixels, tolerance),
        "empty_masks": pixels.empty_masks,
    }
