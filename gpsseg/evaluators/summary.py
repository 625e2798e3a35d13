"""From one row an image to one summary a protocol: means or pooled ratios, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpsseg.evaluators.statistics import (
    Floats,
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
