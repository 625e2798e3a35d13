"""Lesions one by one: which are found, which are missed, and which are not there.

A lesion is a connected part of a mask; pixels that touch at a corner belong together (8 neighbours
in an image, 26 in a volume). A predicted lesion finds a true one where their intersection over
union is at least `least_iou`; each finds and is found once, the best overlaps first. Above 0.5 no
other choice is possible (Kirillov et al., Panoptic Segmentation, CVPR 2019).

Parts of one or two pixels are no lesions unless asked for: of the 1,206 parts of Kvasir-SEG's masks
143 are single pixels that JPEG left there, and the smallest other one has 553.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gpsseg.errors import counted
from gpsseg.evaluators.counts import Mask
from gpsseg.evaluators.overlap import Floats, ratio
from gpsseg.evaluators.summary import DISTANCE, Table, named
from gpsseg.evaluators.surface import joint_box

Ints = npt.NDArray[np.intp]
RULE = (
    "A lesion is a connected part of a mask (corners connect) of at least {pixels} (of a volume: "
    "voxels); it is found where a predicted lesion overlaps it with an IoU of at least {least:g}, "
    "each counting once. "
    "Sensitivity: found of all true lesions; precision: of all predicted ones; PQ = F1 x the mean "
    "IoU of those found."
)


@dataclass(frozen=True)
class Overlaps:
    """The lesions of a prediction and of its truth, and where they overlap.

    Attributes:
        true: (n,) pixels of each true lesion.
        predicted: (m,) pixels of each predicted lesion.
        pairs: (k, 2) indices of a true and a predicted lesion that overlap, in the order in which
            they are met in the image.
        shared: (k,) pixels in both.
    """

    true: Ints
    predicted: Ints
    pairs: Ints
    shared: Ints

    @property
    def iou(self) -> Floats:
        """(k,) intersection over union of the pairs."""
        either = self.true[self.pairs[:, 0]] + self.predicted[self.pairs[:, 1]] - self.shared
        return self.shared / either

    def of_at_least(self, pixels: int) -> Overlaps:
        """Those of so many pixels alone."""
        kept = self.true >= pixels, self.predicted >= pixels
        if kept[0].all() and kept[1].all():
            return self
        both = kept[0][self.pairs[:, 0]] & kept[1][self.pairs[:, 1]]
        renumbered = [np.cumsum(side) - 1 for side in kept]
        pairs = [new[old] for new, old in zip(renumbered, self.pairs[both].T, strict=True)]
        sizes = self.true[kept[0]], self.predicted[kept[1]]
        return Overlaps(*sizes, np.stack(pairs, axis=1), self.shared[both])


def overlaps(prediction: Mask, truth: Mask) -> Overlaps:
    """Find the lesions of both masks.

    Args:
        prediction: (H, W) or (D, H, W) bool.
        truth: the same shape, bool.

    >>> overlaps(np.array([[1, 1, 0, 1]], bool), np.array([[1, 1, 0, 0]], bool)).pairs.tolist()
    [[0, 0]]
    """
    box = joint_box(prediction, truth)
    found, found_sizes = _parts(prediction[box])
    true, true_sizes = _parts(truth[box])
    both = (true > 0) & (found > 0)
    code = (true[both].astype(np.int64) - 1) * max(1, len(found_sizes)) + found[both] - 1
    pairs, first, shared = np.unique(code, return_index=True, return_counts=True)
    met = np.argsort(first)
    split = np.stack(np.divmod(pairs[met], max(1, len(found_sizes))), axis=1)
    return Overlaps(true_sizes, found_sizes, split, shared[met])


def _parts(mask: Mask) -> tuple[npt.NDArray[np.int32], Ints]:
    """Number the connected parts from 1, and count the pixels of each."""
    if not mask.any():
        return np.zeros(mask.shape, np.int32), np.zeros(0, np.intp)
    parts, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return parts, np.bincount(parts[mask])[1:]


def lesion_scores(
    overlapping: Overlaps, least_iou: float = 0.5, least_pixels: int = 3
) -> dict[str, float]:
    """Count the lesions of an image.

    Args:
        overlapping: of an image.
        least_iou: at which a lesion is found.
        least_pixels: smaller parts are no lesions.

    Returns:
        "true" and "predicted" lesions; "found", true lesions with a predicted one of their own, and
        "iou_sum" over these; "touched", true lesions of which any pixel is predicted; "astray",
        predicted lesions without any true one; "specks", parts of the truth that are too small.
    """
    lesions = overlapping.of_at_least(least_pixels)
    iou, (true, predicted) = lesions.iou, lesions.pairs.T
    order = np.lexsort((-lesions.shared, -iou))  # stable: as met in the image where both are equal
    taken: tuple[set[int], set[int]] = (set(), set())
    ious = []
    for index in order[: np.count_nonzero(iou >= least_iou)]:
        if true[index] not in taken[0] and predicted[index] not in taken[1]:
            taken[0].add(true[index])
            taken[1].add(predicted[index])
            ious.append(float(iou[index]))
    return {
        "true": len(lesions.true),
        "predicted": len(lesions.predicted),
        "found": len(ious),
        "iou_sum": sum(ious),
        "touched": len(np.unique(true)),
        "astray": len(lesions.predicted) - len(np.unique(predicted)),
        "specks": len(overlapping.true) - len(lesions.true),
    }


def lesion_summary(
    table: Table, prefix: str, least_iou: float = 0.5, least_pixels: int = 3
) -> dict[str, Any]:
    """Counts and ratios over the data set; each ratio's PART says which images it is over.

    Sensitivity (of images with a lesion), precision, F1 (recognition quality), SQ (mean IoU of
    those found), PQ, and false finds an image: predicted lesions that find none.
    """
    counts = {
        name: int(sum(row[prefix + name] for row in table.rows))
        for name in ("true", "predicted", "found", "touched", "astray", "specks")
    }
    return {
        **counts,
        "false_finds": counts["predicted"] - counts["found"],
        **lesion_ratios(table, prefix),
        "images": len(table.rows),
        "least_iou": least_iou,
        "least_pixels": least_pixels,
        "rule": RULE.format(least=least_iou, pixels=counted(least_pixels, "pixel")),
    }


def lesion_ratios(table: Table, prefix: str) -> dict[str, Any]:
    """Sensitivity, precision, F1, SQ, PQ and false finds an image, with intervals.

    Source:
        Kirillov et al., Panoptic segmentation, CVPR 2019, of PQ and SQ.
    """

    def per_image(sums: Floats) -> Floats:
        predicted, found, images = sums.T
        return (predicted - found) / images

    found = {
        "sensitivity": _ratio(table, prefix, "found", ("true",)),
        "precision": _ratio(table, prefix, "found", ("predicted",)),
        "f1": _ratio(table, prefix, "found", ("true", "predicted"), 2),
        "pq": _ratio(table, prefix, "iou_sum", ("true", "predicted"), 2),
        "sq": _ratio(table, prefix, "iou_sum", ("found",)),
        "false_finds_per_image": table.one(prefix, ("predicted", "found"), per_image, DISTANCE),
    }
    return {key: value for name, score in found.items() for key, value in named(name, score)}


def _ratio(
    table: Table, prefix: str, part: str, whole: Sequence[str], factor: float = 1
) -> dict[str, Any]:
    """A sum over the sum of others, times a factor, over the images where these are not all 0."""
    chosen = table.where(lambda row: any(row[prefix + column] for column in whole))
    return chosen.one(
        prefix, (part, *whole), lambda sums: ratio(factor * sums[:, 0], sums[:, 1:-1].sum(1), 0.0)
    )
