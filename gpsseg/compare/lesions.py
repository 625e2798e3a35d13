"""Lesions that the seeds of a method found and missed, with what images and seeds may change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.evaluators.per_image import read_per_image
from gpsseg.evaluators.statistics import Estimate, Floats, estimates
from gpsseg.evaluators.summary import DISTANCE, SHARE

COUNTS = ("true", "predicted", "found")


def lesion_columns(tables: Sequence[Path]) -> dict[str, Any]:
    """The columns of a comparison's row that count lesions.

    Args:
        tables: per_image.csv of each seed, of the same images.

    Returns:
        "lesions" in the truth, "lesions_found" (mean over seeds), "lesion_sensitivity" and
        "false_finds_per_image", each of these two with its interval over images (or groups) and
        seeds; empty where a table does not count lesions, and no sensitivity without a lesion.
    """
    seeds = [sorted(read_per_image(table)[1], key=lambda row: row.id) for table in tables]
    cells = [[[row.number(f"lesions_{name}") for name in COUNTS] for row in of] for of in seeds]
    counts = np.array(cells, dtype=float)  # (seeds, images, 3); what is not there is no number
    if not np.isfinite(counts).all():
        return {}
    groups = [row.group for row in seeds[0]]
    some = np.flatnonzero(counts[0, :, 0])
    result: dict[str, Any] = {
        "lesions": int(counts[0, :, 0].sum()),
        "lesions_found": float(counts[:, :, 2].sum(1).mean()),
    }
    if len(some):
        found = estimates(
            counts[:, some],
            lambda sums: {"": sums[:, 2] / sums[:, 0]},
            [groups[i] for i in some],
            {"": SHARE},
        )
        result |= _with_ends("lesion_sensitivity", found)
    false = estimates(counts, _false_finds, groups, {"": DISTANCE})
    return result | _with_ends("false_finds_per_image", false)


def _false_finds(sums: Floats) -> dict[str, Floats]:
    return {"": (sums[:, 1] - sums[:, 2]) / sums[:, -1]}


def _with_ends(name: str, found: dict[str, Estimate]) -> dict[str, Any]:
    return {name: found[""].value, f"{name}_ci95": found[""].ci95()}
