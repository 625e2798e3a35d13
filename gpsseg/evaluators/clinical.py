"""What a clinic asks of each image: how much of the lesion, how much beside it, how large.

A measure whose denominator is 0 is not there: an image without a lesion has no sensitivity, one on
which nothing is predicted no precision. Means are over the images that have the measure, which are
counted beside them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gpsseg.evaluators.agreement import agreement
from gpsseg.evaluators.sample import Sample
from gpsseg.evaluators.statistics import Floats
from gpsseg.evaluators.summary import DISTANCE, Row, Table, mean_of_column, named

MEANS = ("sensitivity", "specificity", "precision")


def clinical(sample: Sample, least_pixels: int = 3) -> dict[str, float | None]:
    """Sensitivity, specificity and precision of the pixels; None where undefined.

    Also "false_lesions", predicted lesions of an image without a lesion (None of one with), and
    "pixel_mm", square (cubic) millimetres of a pixel (voxel), None where they are not known; and
    "axes", 2 of an image, 3 of a volume.
    """
    counts = sample.counts
    spacing = sample.spacing
    lesions = None
    if not counts.truth:
        lesions = len(sample.lesions.of_at_least(least_pixels).predicted)
    return {
        "sensitivity": _share(counts.tp, counts.truth),
        "specificity": _share(counts.tn, counts.tn + counts.fp),
        "precision": _share(counts.tp, counts.prediction),
        "false_lesions": lesions,
        "pixel_mm": None if spacing is None else float(np.prod(spacing)),
        "axes": sample.truth.ndim,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def clinical_summary(table: Table, prefix: str) -> dict[str, Any]:
    """Means over the images that have a measure, false finds where no lesion is, and agreement.

    "false_find_share" is the share of the images without a lesion on which something is predicted,
    "false_lesions_per_image" how many lesions are predicted on one of them. "agreement" has an
    entry for pixels (voxels), and one in mm² (ml) where the spacing of all images is known, or else
    in percent of the image.
    """
    found: list[tuple[str, Any]] = []
    for name in MEANS:
        known = table.where(partial(_has, prefix + name))
        found += named(name, known.one(prefix, (name,), mean_of_column))
    clear = table.where(lambda row: row["truth_pixels"] == 0)
    false = Table([{"any": row["prediction_pixels"] > 0} for row in clear.rows], clear.groups)
    found += named("false_find_share", false.one("", ("any",), mean_of_column))
    per_image = clear.one(prefix, ("false_lesions",), mean_of_column, DISTANCE)
    found += named("false_lesions_per_image", per_image)
    return {**dict(found), "agreement": _agreement(table, prefix), "images": len(table.rows)}


def _has(column: str, row: Row) -> bool:
    return row[column] is not None


def _agreement(table: Table, prefix: str) -> list[dict[str, Any]]:
    rows = table.rows
    volumes = any(row[prefix + "axes"] == 3 for row in rows)
    scales = {"voxels" if volumes else "pixels": np.ones(len(rows))}
    if all(row[prefix + "pixel_mm"] is not None for row in rows):
        of_pixel: Floats = table.columns(prefix, ("pixel_mm",))[:, 0]
        scales["ml" if volumes else "mm²"] = of_pixel / (1000 if volumes else 1)
    else:  # images of several sizes have no other unit in common
        scales["% of the image"] = 100 / table.columns("", ("pixels",))[:, 0]
    return [agreement(table, scale, unit) for unit, scale in scales.items()]
