"""From one row an image to one summary a protocol: means or pooled ratios, with intervals."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError
from gpsseg.evaluators.statistics import (
    Estimate,
    Floats,
    Groups,
    Scores,
    estimates,
    mean_estimate,
)

Row = dict[str, Any]
SHARE = (0.0, 1.0)  # what a score can be, unless it says otherwise
DISTANCE = (0.0, np.inf)


@dataclass(frozen=True)
class Table:
    """All rows of a run.

    Attributes:
        rows: one flat dict an image.
        groups: each image's group; None where no image has one.
    """

    rows: Sequence[Row]
    groups: Sequence[str | None] | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Table:
        """The table of rows that name their groups."""
        groups = [row["group"] for row in rows]
        return cls(rows, None if all(group is None for group in groups) else groups)

    def where(self, condition: Callable[[Row], bool]) -> Table:
        """The rows that meet a condition."""
        chosen = [i for i, row in enumerate(self.rows) if condition(row)]
        groups = None if self.groups is None else [self.groups[i] for i in chosen]
        return dataclasses.replace(self, rows=[self.rows[i] for i in chosen], groups=groups)

    def columns(self, prefix: str, names: Sequence[str]) -> Floats:
        """Columns as (images, names) float64."""
        return np.array([[row[prefix + name] for name in names] for row in self.rows], float)

    def means(
        self, prefix: str, names: Sequence[str], distances: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Mean of each column over images, as `pooled`.

        Args:
            prefix: of the columns.
            names: of the columns, without it.
            distances: those of ``names`` that are lengths, in mm or pixels, without an upper end.
        """
        within = dict.fromkeys(distances, DISTANCE)
        return self.pooled(
            prefix,
            names,
            lambda sums: dict(zip(names, (sums[:, :-1] / sums[:, -1:]).T, strict=True)),
            within,
        )

    def pooled(
        self,
        prefix: str,
        names: Sequence[str],
        scores: Scores,
        within: Mapping[str, tuple[float, float]] | None = None,
    ) -> dict[str, Any]:
        """Scores of the columns' sums over the data set.

        Args:
            prefix: of the columns.
            names: of the columns, without it.
            scores: maps (n, names + 1) sums, the last column being the number of images, to
                {score: (n,)}.
            within: score -> what it can be; 0 to 1 where nothing is said.

        Returns:
            {score: value, score_ci95: [low, high] or None, ..., "resampled", "units", "seeds"}; and
            "no_interval", the reason, where there is none.
        """
        columns, ends = self.columns(prefix, names), within or {}
        limits = {name: ends.get(name, SHARE) for name in scores(np.ones((1, len(names) + 1)))}
        return as_json(estimates(columns, scores, self.groups, limits))

    def one(
        self,
        prefix: str,
        names: Sequence[str],
        score: Callable[[Floats], Floats],
        within: tuple[float, float] = SHARE,
    ) -> dict[str, Any]:
        """One score of the columns' sums, see `pooled`, for `named`; empty without images."""
        if not self.rows:
            return {}
        found = self.pooled(prefix, names, lambda sums: {"": score(sums)}, {"": within})
        return {"images": len(self.rows), **found}

    def count(self, condition: Callable[[Row], bool]) -> int:
        """Number of images that meet a condition."""
        return sum(1 for row in self.rows if condition(row))


def mean_of_column(sums: Floats) -> Floats:
    """(R, 2) sums and counts -> (R,), the mean over images of one column, for `Table.one`."""
    return sums[:, 0] / sums[:, 1]


def named(name: str, found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A score from `Table.one` as metrics.json has those that are not over all images.

    Returns:
        (key, value): the score, its interval, and as NAME_over how many images it is over and what
        its interval varies; nothing where there was no image.
    """
    if not found:
        return []
    over = {key: value for key, value in found.items() if key not in ("", "_ci95")}
    return [(name, found[""]), (f"{name}_ci95", found["_ci95"]), (f"{name}_over", over)]


def as_json(found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as metrics.json has them, see `Table.pooled`."""
    summary: dict[str, Any] = {}
    for name, estimate in found.items():
        summary[name], summary[f"{name}_ci95"] = estimate.value, estimate.ci95()
    any_ = next(iter(found.values()))
    reason = {} if any_.interval else {"no_interval": any_.why}
    return {**summary, **any_.varied, **reason}


@dataclass(frozen=True)
class Stratum:
    """The images whose lesion covers a share of the image in [low, high).

    Attributes:
        low: smallest share, 0..1.
        high: largest share; the last stratum includes it.
        images: how many images.
        score: their mean score; None where there is no image.
    """

    low: float
    high: float
    images: int
    score: Estimate | None


def by_stratum(
    values: npt.ArrayLike,
    sizes: npt.ArrayLike,
    edges: Sequence[float] = (0.0, 0.01, 0.05, 0.15, 1.0),
    groups: Groups = None,
) -> list[Stratum]:
    """Mean score by lesion size.

    Args:
        values: (images,) float scores in [0, 1].
        sizes: (images,) float lesion shares of the image, truth pixels / pixels, in [0, 1].
        edges: rising; n + 1 edges make n strata.
        groups: see `unit_totals`.

    Raises:
        UserError: a size lies outside the edges, lengths differ, or see `unit_totals`.
    """
    scores, shares = np.asarray(values, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if scores.shape != shares.shape:
        raise UserError(f"Got {scores.size} scores and {shares.size} sizes, expected one each.")
    if ((shares < edges[0]) | (shares > edges[-1])).any():
        raise UserError(
            f"Got lesion sizes from {shares.min():g} to {shares.max():g}, expected shares of the "
            f"image between {edges[0]:g} and {edges[-1]:g}."
        )
    bins = np.clip(np.searchsorted(edges, shares, side="right") - 1, 0, len(edges) - 2)
    strata = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        members = np.flatnonzero(bins == i)
        chosen = None if groups is None else [groups[member] for member in members]
        score = mean_estimate(scores[members], chosen) if members.size else None
        strata.append(Stratum(low, high, members.size, score))
    return strata


def strata_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Mean Dice per image by the share of the image that the lesion covers.

    Images without a lesion have no size and are left out, as are strata without images.

    Args:
        rows: as `Scorer.rows`; without the column "dice" there are no strata.

    Returns:
        {"low", "high" (shares, 0..1), "images", "dice", "dice_ci95", "resampled", "units", ...},
        smallest lesions first.
    """
    known = [row for row in rows if row["truth_pixels"] and "dice" in row]
    if not known:
        return []
    strata = by_stratum(
        [row["dice"] for row in known],
        [row["truth_pixels"] / row["pixels"] for row in known],
        groups=Table.of(known).groups,
    )
    return [
        {
            "low": stratum.low,
            "high": stratum.high,
            "images": stratum.images,
            **as_json({"dice": stratum.score}),
        }
        for stratum in strata
        if stratum.score
    ]
