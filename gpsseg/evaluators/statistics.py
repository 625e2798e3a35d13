"""Uncertainty: bootstrap intervals, paired comparisons and strata.

Everything resamples *units*: images, or groups of images (all frames of a patient together)
where groups are known. A unit enters only through its totals, so a mean (sum / images) and a
pooled ratio (sum of TP / ...) use the same few lines, and no result depends on the order in
which images came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError

Floats = npt.NDArray[np.float64]
Groups = Sequence[str | None] | None


def unit_totals(columns: npt.ArrayLike, groups: Groups = None) -> Floats:
    """Sum columns over each independent unit.

    Args:
        columns: (images, C) finite numbers.
        groups: (images,) names; images of one name are one unit, an image named None is its
            own unit. None: every image is its own unit.

    Returns:
        (units, C + 1) float64: the sums and the number of images, in an order of their own.

    Raises:
        UserError: no image, a value that is not finite, or as many groups as there are not images.
    """
    table = np.asarray(columns, dtype=np.float64)
    if len(table) == 0:
        raise UserError("Got no images, expected at least one. Check the folder or the split.")
    if groups is not None and len(groups) != len(table):
        raise UserError(f"Got {len(groups)} groups for {len(table)} images, expected one each.")
    if not np.isfinite(table).all():
        raise UserError("Got a score that is not a finite number; cannot average or resample it.")
    table = np.column_stack([table, np.ones(len(table))])
    order = np.lexsort(table.T[::-1])
    table = table[order]
    if groups is not None:
        table = _sum_groups(table, [groups[i] for i in order])
        table = table[np.lexsort(table.T[::-1])]
    return table


def _sum_groups(table: Floats, groups: Sequence[str | None]) -> Floats:
    """Add up the rows of each group; a row without a group stays alone."""
    units: dict[object, int] = {}
    label = [units.setdefault(i if g is None else (g,), len(units)) for i, g in enumerate(groups)]
    totals = np.zeros((len(units), table.shape[1]))
    np.add.at(totals, label, table)
    return totals


def resample_totals(totals: Floats, draws: int = 2000, seed: int = 0) -> Floats:
    """Bootstrap the sum of the units' totals.

    Args:
        totals: (units, C).
        draws: bootstrap samples, each of as many units as there are, with replacement.
        seed: the same seed gives the same samples.

    Returns:
        (draws, C) float64. Memory is bounded: draws are made in blocks.
    """
    units = len(totals)
    rng = np.random.default_rng(seed)
    block = max(1, 2_000_000 // units)
    sums = []
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        picks = rng.integers(0, units, size=(rows, units))
        picks += np.arange(rows)[:, None] * units
        times = np.bincount(picks.ravel(), minlength=rows * units).reshape(rows, units)
        sums.append(times.astype(np.float64) @ totals)
    return np.concatenate(sums)


def percentile_interval(samples: Floats, level: float = 0.95) -> tuple[float, float]:
    """The central `level` share of bootstrap samples, as (low, high)."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return float(low), float(high)


def bootstrap_interval(
    values: npt.ArrayLike,
    groups: Groups = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over images.

    Args:
        values: (images,) finite scores.
        groups: (images,) group names or None, see `unit_totals`. Groups are resampled whole.
        draws: bootstrap samples.
        level: coverage, between 0 and 1.
        seed: the same seed gives the same interval.

    Returns:
        (low, high). With a single unit there is nothing to resample and both are the mean.

    Raises:
        UserError: see `unit_totals`.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> bootstrap_interval([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    totals = unit_totals(np.asarray(values, dtype=np.float64).reshape(-1, 1), groups)
    sums = resample_totals(totals, draws, seed)
    return percentile_interval(sums[:, 0] / sums[:, 1], level)


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same images.

    Attributes:
        difference: mean of a - b over images.
        interval: its 95 % bootstrap interval.
        p_value: two-sided Wilcoxon signed-rank test over units; 1.0 where no unit differs.
        images: images compared.
        units: independent units, groups or images.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    images: int
    units: int


def paired_comparison(
    a: npt.ArrayLike, b: npt.ArrayLike, groups: Groups = None, seed: int = 0
) -> Comparison:
    """Compare two runs image by image.

    Args:
        a: (images,) scores of the first run.
        b: (images,) scores of the second, in the same order.
        groups: see `unit_totals`; the test then sees one mean difference a group.
        seed: for the interval.

    Raises:
        UserError: a and b differ in length; or see `unit_totals`.

    Source:
        Wilcoxon, Individual comparisons by ranking methods (1945).
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise UserError(
            f"Got {first.size} scores against {second.size}, expected the same images in both "
            "runs. Score both runs on one split."
        )
    difference = first - second
    totals = unit_totals(difference.reshape(-1, 1), groups)
    sums = resample_totals(totals, seed=seed)
    return Comparison(
        difference=float(difference.mean()),
        interval=percentile_interval(sums[:, 0] / sums[:, 1]),
        p_value=_wilcoxon(totals[:, 0] / totals[:, 1]),
        images=difference.size,
        units=len(totals),
    )


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p; zero differences are dropped, and if all are zero there is nothing to test."""
    from scipy import stats  # slow to import

    changed = differences[differences != 0]
    return 1.0 if changed.size == 0 else float(stats.wilcoxon(changed).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust several p-values together (Holm, 1979); the order is kept.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Stratum:
    """The images whose lesion covers a share of the image in [low, high).

    Attributes:
        low: smallest share, 0..1.
        high: largest share; the last stratum includes it.
        images: how many images.
        mean: their mean score; nan where there is no image.
        interval: its 95 % bootstrap interval; nan where there is no image.
    """

    low: float
    high: float
    images: int
    mean: float
    interval: tuple[float, float]


def by_stratum(
    values: npt.ArrayLike,
    sizes: npt.ArrayLike,
    edges: Sequence[float] = (0.0, 0.01, 0.05, 0.15, 1.0),
    groups: Groups = None,
    seed: int = 0,
) -> list[Stratum]:
    """Mean score by lesion size.

    Args:
        values: (images,) scores.
        sizes: (images,) lesion share of the image, truth pixels / pixels.
        edges: rising; n + 1 edges make n strata.
        groups: see `unit_totals`.
        seed: for the intervals.

    Raises:
        UserError: a size lies outside the edges, or lengths differ.
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
    return [
        _stratum(scores, np.flatnonzero(bins == i), edges[i], edges[i + 1], groups, seed)
        for i in range(len(edges) - 1)
    ]


def _stratum(
    scores: Floats,
    members: npt.NDArray[np.intp],
    low: float,
    high: float,
    groups: Groups,
    seed: int,
) -> Stratum:
    """Summarise one stratum."""
    if members.size == 0:
        return Stratum(low, high, 0, float("nan"), (float("nan"), float("nan")))
    chosen = None if groups is None else [groups[i] for i in members]
    interval = bootstrap_interval(scores[members], chosen, seed=seed)
    return Stratum(low, high, members.size, float(scores[members].mean()), interval)
