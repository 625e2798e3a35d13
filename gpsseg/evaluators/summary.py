"""From one row an image to one summary a protocol: means or pooled ratios, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpsseg.evaluators.statistics import (
    Floats,
    by_stratum,
    percentile_interval,
    resample_totals,
    unit_totals,
)

Row = dict[str, Any]
Pooled = Callable[[Floats], dict[str, Floats]]


@dataclass(frozen=True)
class Table:
    """All rows of a run.

    Attributes:
        rows: one flat dict an image.
        groups: each image's group; None where no image has one.
        seed: of the bootstrap.
        draws: bootstrap samples.
    """

    rows: Sequence[Row]
    groups: Sequence[str | None] | None
    seed: int
    draws: int = 2000

    def columns(self, prefix: str, names: Sequence[str]) -> Floats:
        """Columns as (images, names) float64."""
        return np.array([[row[prefix + name] for name in names] for row in self.rows], float)

    def means(self, prefix: str, names: Sequence[str]) -> dict[str, Any]:
        """Mean of each column over images, as {name: mean, name_ci95: [low, high]}."""
        return self.pooled(
            prefix,
            names,
            lambda sums: dict(zip(names, (sums[:, :-1] / sums[:, -1:]).T, strict=True)),
        )

    def pooled(self, prefix: str, names: Sequence[str], scores: Pooled) -> dict[str, Any]:
        """Scores of the columns' sums over the data set.

        Args:
            prefix: of the columns.
            names: of the columns, without it.
            scores: maps (n, names + 1) sums, the last column being the number of images, to
                {score: (n,)}.
        """
        totals = unit_totals(self.columns(prefix, names), self.groups)
        point = scores(totals.sum(axis=0, keepdims=True))
        drawn = scores(resample_totals(totals, self.draws, self.seed))
        summary: dict[str, Any] = {}
        for name, value in point.items():
            summary[name] = float(value[0])
            summary[f"{name}_ci95"] = list(percentile_interval(drawn[name]))
        return summary

    def count(self, condition: Callable[[Row], bool]) -> int:
        """Number of images that meet a condition."""
        return sum(1 for row in self.rows if condition(row))


def strata_of(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """Mean Dice per image by the share of the image that the lesion covers.

    Images without a lesion have no size and are left out, as are strata without images.

    Args:
        rows: as `Scorer.rows`; without the column "dice" there are no strata.
        seed: of the intervals.

    Returns:
        {"low", "high" (shares, 0..1), "images", "dice", "dice_ci95"}, smallest lesions first.
    """
    known = [row for row in rows if row["truth_pixels"] and "dice" in row]
    if not known:
        return []
    groups = [row["group"] for row in known]
    strata = by_stratum(
        [row["dice"] for row in known],
        [row["truth_pixels"] / row["pixels"] for row in known],
        groups=None if all(group is None for group in groups) else groups,
        seed=seed,
    )
    return [
        {
            "low": stratum.low,
            "high": stratum.high,
            "images": stratum.images,
            "dice": stratum.mean,
            "dice_ci95": list(stratum.interval),
        }
        for stratum in strata
        if stratum.images
    ]
