"""What each named protocol does: one function for an image, one for the data set.

`protocols` gives them their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gpsseg.errors import UserError
from gpsseg.evaluators.counts import Array, bounding_box
from gpsseg.evaluators.overlap import dice, iou, recall, sweep_scores
from gpsseg.evaluators.resize import resize_box
from gpsseg.evaluators.saliency import e_measure, weighted_f
from gpsseg.evaluators.sample import Sample
from gpsseg.evaluators.statistics import Floats
from gpsseg.evaluators.structure import mean_absolute_error, s_measure
from gpsseg.evaluators.summary import Table
from gpsseg.evaluators.surface import (
    average_distance,
    boundary_scores,
    hausdorff95,
    surface_dice,
    surface_distances,
)

Scores = Mapping[str, float | None]
Summary = Callable[[Table, str], dict[str, Any]]

GPS_REPO_WARNING = (
    "Reproduces the published GPS script, which ignores every background pixel: a prediction "
    "that is foreground everywhere scores 1. Do not report it as Dice or IoU."
)

DISTANCE_RULE = (
    "HD95 is the larger of the two directed 95th percentiles; NSD the share of both outlines "
    "within the tolerance of the other. One mask empty: HD95 and ASSD are the image's diagonal, "
    "NSD 0; both empty: 0 and 1."
)


def means_of(*names: str) -> Summary:
    """A summary that averages the named columns over images."""
    return lambda table, prefix: table.means(prefix, names)


def per_image(sample: Sample) -> Scores:
    """Dice and IoU of the mask p >= 0.5; both masks empty: 1, one empty: 0."""
    counts = sample.counts
    return {
        "dice": float(dice(counts.tp, counts.fp, counts.fn)),
        "iou": float(iou(counts.tp, counts.fp, counts.fn)),
    }


def per_image_summary(table: Table, prefix: str) -> dict[str, Any]:
    """Means, and how many images are empty (an image with both empty is in all three counts).

    Where some images have no lesion, these alone can make half of the score: so "dice_with_lesion"
    is the mean over the others, and "false_finds" counts those on which something was found.
    """
    with_lesion = table.where(lambda row: row["truth_pixels"] > 0)
    apart: dict[str, Any] = {}
    if 0 < len(with_lesion.rows) < len(table.rows):
        found = with_lesion.means(prefix, ("dice",))
        apart = {
            "dice_with_lesion": found["dice"],
            "dice_with_lesion_ci95": found.pop("dice_ci95"),
            "with_lesion": {name: found[name] for name in found if name != "dice"},
        }
    return {
        **table.means(prefix, ("dice", "iou")),
        **apart,
        "images_with_lesion": len(with_lesion.rows),
        "false_finds": table.count(
            lambda row: row["truth_pixels"] == 0 and row["prediction_pixels"] > 0
        ),
        "empty_truth": table.count(lambda row: row["truth_pixels"] == 0),
        "empty_prediction": table.count(lambda row: row["prediction_pixels"] == 0),
        "both_empty": table.count(
            lambda row: row["truth_pixels"] == 0 and row["prediction_pixels"] == 0
        ),
        "images": len(table.rows),
    }


def pranet(sample: Sample, saliency: bool = True) -> Scores:
    """Mean Dice and IoU over 256 thresholds of the min-max normalised map; S, E, wF and MAE.

    Source:
        See `overlap.sweep_scores`, `structure` and `saliency`.
    """
    swept_dice, swept_iou = sweep_scores(sample.sweep)
    if not saliency:
        return {"dice": swept_dice, "iou": swept_iou}
    return {
        "dice": swept_dice,
        "iou": swept_iou,
        "s_measure": s_measure(sample.sums, sample.truth, lambda box: sample.stretched[box]),
        "e_measure": e_measure(sample.sweep),
        "weighted_f": weighted_f(*sample.cropped),
        "mae": mean_absolute_error(sample.sums),
    }


def isic(sample: Sample) -> Scores:
    """Jaccard of the mask 255 p > 128, set to 0 below 0.65; both masks empty: 1.

    Source:
        Codella et al., 1902.03368: the ISIC challenge of 2018.
    """
    counts = sample.counts_above_128
    jaccard = float(iou(counts.tp, counts.fp, counts.fn))
    return {
        "jaccard_thresholded": jaccard if jaccard >= 0.65 else 0.0,
        "dice": float(dice(counts.tp, counts.fp, counts.fn)),
        "iou": jaccard,
    }


def micro(sample: Sample) -> Scores:
    """The counts to pool."""
    counts = sample.counts
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn}


def micro_summary(table: Table, prefix: str) -> dict[str, Any]:
    """Dice and IoU of the summed counts; an image enters through its counts."""

    def scores(sums: Floats) -> dict[str, Floats]:
        tp, fp, fn, _ = sums.T
        return {"dice": dice(tp, fp, fn), "iou": iou(tp, fp, fn)}

    return table.pooled(prefix, ("tp", "fp", "fn"), scores)


def medsam_adapter(sample: Sample, side: int = 256) -> Scores:
    """Mean over five thresholds of Dice and IoU at 256 x 256.

    Map and truth are both resized bilinearly, and both thresholded with ``>``, so that a perfect
    prediction scores 1. A margin of 1e-6 keeps the rounding of the interpolation from deciding
    ties. The published code's smoothing terms (1e-6 in IoU, 1e-4 in Dice) are left out: they
    matter only where both masks are empty, which scores 1 here and there.

    Source:
        Wu et al., Medical SAM Adapter, 2304.12620: its published code.
    """
    least = 25 if sample.is_8_bit else 0.1
    box = bounding_box((sample.probability > least) | sample.truth)
    scale = np.float32(255 if sample.is_8_bit else 1)
    levels = _passed(resize_box(sample.probability, (side, side), box) / scale)
    levels += 6 * _passed(resize_box(sample.truth, (side, side), box))
    joint = np.bincount(levels.ravel(order="K"), minlength=36).reshape(6, 6)
    at_least = joint[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
    tp = at_least.diagonal()[1:]
    fp, fn = at_least[0, 1:] - tp, at_least[1:, 0] - tp
    return {"dice": float(dice(tp, fp, fn).mean()), "iou": float(iou(tp, fp, fn).mean())}


def _passed(image: Array) -> Array:
    """How many of the five thresholds each pixel is above, uint8."""
    passed = np.zeros_like(image, dtype=np.uint8)
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        passed += image > np.asarray(threshold + 1e-6, dtype=image.dtype)
    return passed


def gps_repo(sample: Sample) -> Scores:
    """True positives and misses; the background is not looked at."""
    return {"tp": sample.counts.tp, "fn": sample.counts.fn}


def gps_repo_summary(table: Table, prefix: str) -> dict[str, Any]:
    """Recall R over the data set, called IoU = R and Dice = 2 R / (1 + R) by that script."""

    def scores(sums: Floats) -> dict[str, Floats]:
        found = recall(sums[:, 0], sums[:, 1])
        return {"dice": 2 * found / (1 + found), "iou": found}

    return {**table.pooled(prefix, ("tp", "fn"), scores), "warning": GPS_REPO_WARNING}


def boundary(sample: Sample, tolerance: float = 2.0) -> Scores:
    """HD95 and ASSD (mm where the spacing is known, else pixels), NSD at a tolerance in pixels."""
    return boundary_scores(sample.mask, sample.truth, sample.spacing, tolerance)


def boundary_summary(table: Table, prefix: str, tolerance: float = 2.0) -> dict[str, Any]:
    """Means, how many images had one or two empty masks, and by what unit, tolerance and rule.

    Raises:
        UserError: some images are in mm and others in pixels.
    """
    spaced = table.count(lambda row: row["spacing_known"])
    if 0 < spaced < len(table.rows):
        raise UserError(
            f"{spaced} of {len(table.rows)} images have a spacing in mm and the others have none; "
            "distances in mm and in pixels cannot be averaged. Give a spacing for all or for none."
        )
    return {
        **table.means(prefix, ("hd95", "assd", "nsd"), distances=("hd95", "assd")),
        "one_empty": table.count(lambda row: row[prefix + "empty_masks"] == 1),
        "both_empty": table.count(lambda row: row[prefix + "empty_masks"] == 2),
        "unit": "mm" if spaced else "pixels",
        "tolerance": tolerance,
        "tolerance_unit": "pixels",
        "rule": DISTANCE_RULE,
    }


def volume(sample: Sample, tolerance: float = 2.0) -> Scores:
    """Dice and IoU of a 3-D volume, HD95, ASSD and NSD at a tolerance, in mm.

    Raises:
        UserError: the spacing is unknown.
    """
    if sample.spacing is None:
        raise UserError(
            f"{sample.case_id}: a volume needs its spacing, got none, expected 3 numbers in mm. "
            "Read it from the header of the NIfTI or DICOM file."
        )
    distances = surface_distances(sample.mask, sample.truth, sample.spacing)
    return {
        **per_image(sample),
        "hd95": hausdorff95(distances),
        "assd": average_distance(distances),
        "nsd": surface_dice(distances, tolerance),
        "empty_masks": distances.empty_masks,
    }


def volume_summary(table: Table, prefix: str, tolerance: float = 2.0) -> dict[str, Any]:
    """Means over volumes, how many had one or two empty masks, and the tolerance (mm) and rule."""
    return {
        **table.means(prefix, ("dice", "iou", "hd95", "assd", "nsd"), distances=("hd95", "assd")),
        "one_empty": table.count(lambda row: row[prefix + "empty_masks"] == 1),
        "both_empty": table.count(lambda row: row[prefix + "empty_masks"] == 2),
        "unit": "mm",
        "tolerance": tolerance,
        "tolerance_unit": "mm",
        "rule": DISTANCE_RULE,
    }
