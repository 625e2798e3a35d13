"""Uncertainty: the one interval and the one test, of everything that is scored.

What is independent is a *unit*: an image, or where groups are known a group (all frames of a
patient together); and where several seeds were run, a *seed*. Units and seeds are crossed, as every
seed scores every image, and both vary. A unit enters only through its totals, so that a mean
(sum / images) and a pooled ratio (sum of TP / ...) use the same few lines.

The spread is the jackknife's: how the score changes where one unit, one seed, or both are left out.
For a mean with units of one size that is the analysis of variance of the crossed random effects
(Searle, Casella and McCulloch, Variance Components, 1992, ch. 4). A percentile bootstrap over both
rejects a true null up to four times too often with few of either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError, counted
from gpsseg.evaluators.units import Floats, Groups, unit_labels, unit_totals, what_varied

Scores = Callable[[Floats], Mapping[str, Floats]]
LEVEL = 0.95
FEWEST_UNITS, FEWEST_SEEDS = 5, 3  # for a p-value; with fewer the simulated null does not hold
ANYTHING = (-np.inf, np.inf)
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A score with what is known of its error.

    Attributes:
        value: over all images (and seeds).
        interval: 95 %, within what the score can be; None where nothing can be said.
        p_value: two-sided, of the value being 0; None likewise.
        resampled: "group" or "image": what varied.
        units: how many of these.
        seeds: how many of these; they varied too where there are two or more.
        ungrouped: of groups, how many are single images that have no group.
        why: the reason why there is no interval or no p-value; empty if there are both.
    """

    value: float
    interval: tuple[float, float] | None
    p_value: float | None
    resampled: str
    units: int
    seeds: int
    ungrouped: int = 0
    why: str = ""

    @property
    def varied(self) -> dict[str, Any]:
        """What the interval let vary, as in metrics.json: "resampled", "units" and "seeds".

        And "ungrouped", where some of the groups are single images without one.
        """
        facts = {"resampled": self.resampled, "units": self.units, "seeds": self.seeds}
        return facts | ({"ungrouped": self.ungrouped} if self.ungrouped else {})

    def ci95(self) -> list[float] | None:
        """The interval as JSON has it."""
        return None if self.interval is None else list(self.interval)


def estimates(
    columns: npt.ArrayLike,
    scores: Scores,
    groups: Groups = None,
    within: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Estimate]:
    """Scores of the columns' sums, each with its interval and its test against 0.

    Args:
        columns: (images, C) of the networks at hand: another one is not spoken of. Or
            (seeds, images, C), where every seed is a training of its own: then what another seed
            would change is in the interval, and a p-value needs three seeds.
        scores: maps (n, C + 1) sums, the last column being the number of images, to {name: (n,)}.
        groups: see `unit_totals`.
        within: name -> what the score can be, so that no interval leaves it.

    Raises:
        UserError: see `unit_totals`.
    """
    totals = unit_totals(columns, groups)
    trained_anew = totals.ndim == 3
    totals = totals if trained_anew else totals[None]
    seeds, units, _ = totals.shape
    by_unit, by_seed = totals.sum(0), totals.sum(1)
    whole = by_unit.sum(0, keepdims=True)
    both = whole[:, None] - by_seed[:, None] - by_unit[None] + totals
    point = scores(whole)
    no_unit = scores(whole - by_unit) if units > 1 else {}
    no_seed = scores(whole - by_seed) if seeds > 1 else {}
    neither = scores(both.reshape(seeds * units, -1)) if min(units, seeds) > 1 else {}
    share = by_unit[:, -1] / whole[0, -1]
    varied = what_varied(groups, units, seeds)
    found = {}
    for name, value in point.items():
        spread, of_seeds = 0.0, 0.0
        if units > 1:
            without = no_unit[name], no_seed.get(name), neither.get(name)
            spread, of_seeds = _spread(float(value[0]), *without)
        error = _Error(spread, of_seeds, seeds - 1, max(1.0, 1 / (share**2).sum() - 1))
        few_seeds = trained_anew and seeds < FEWEST_SEEDS
        limits = (within or {}).get(name, ANYTHING)
        found[name] = _estimate(float(value[0]), error, limits, varied, few_seeds)
    return found


def left_out(
    statistic: Callable[[npt.NDArray[np.bool_]], Mapping[str, float]],
    images: int,
    groups: Groups = None,
    within: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Estimate]:
    """As `estimates`, of what follows from no sums, such as ranks: it is found without each unit.

    ``statistic`` gives {name: value} of those of the images that are True; nan where it has none.
    """
    unit_of = unit_labels([None] * images if groups is None else groups)
    sizes = np.bincount(unit_of)
    varied = what_varied(groups, len(sizes))
    free = max(1.0, 1 / ((sizes / images) ** 2).sum() - 1)
    without = [statistic(unit_of != unit) for unit in range(len(sizes)) if len(sizes) > 1]
    found = {}
    for name, value in statistic(np.ones(images, bool)).items():
        values = np.array([value, *(each[name] for each in without)])
        if not np.isfinite(values).all():
            found[name] = Estimate(value, None, None, *varied, f"it hangs on one {varied[0]}")
            continue
        spread = _spread(value, values[1:], None, None)[0] if without else 0.0
        limits = (within or {}).get(name, ANYTHING)
        one = _estimate(value, _Error(spread, 0.0, 0, free), limits, varied, False)
        if without and one.interval is None:  # the images need not be alike for that
            one = replace(one, why=f"it is the same without any one {varied[0]}: no interval")
        found[name] = one
    return found


def _spread(
    value: float, no_unit: Floats, no_seed: Floats | None, neither: Floats | None
) -> tuple[float, float]:
    """The variance of a score by the jackknife, and the share of it that seeds alone bring.

    What units and seeds share is in both of their variances, and counts once. No component is
    negative.
    """
    units = len(no_unit)
    of_units = (units - 1) / units * float(((no_unit - no_unit.mean()) ** 2).sum())
    if no_seed is None or neither is None:
        return of_units, 0.0
    seeds = len(no_seed)
    of_seeds = (seeds - 1) / seeds * float(((no_seed - no_seed.mean()) ** 2).sum())
    both = value - no_seed[:, None] - no_unit + neither.reshape(seeds, units)
    of_both = (seeds - 1) * (units - 1) / (seeds * units) * float((both**2).sum())
    spread = max(of_units, of_both) + max(of_seeds, of_both) - of_both
    return spread, max(0.0, of_seeds - of_both) / max(spread, np.finfo(float).tiny)


@dataclass(frozen=True)
class _Error:
    """The error of a score: variance, the seeds' share of it, and degrees of freedom.

    Those of the units are their effective number (Kish, Survey Sampling, 1965) less one: of twelve
    patients one of whom has most of the images there are hardly two.
    """

    variance: float
    of_seeds: float
    degrees_seeds: float
    degrees_units: float

    def critical(self, tail: float) -> float:
        """Student's t that a ratio exceeds in two tails.

        Of two variances it is the weighted mean of theirs (Cochran and Cox, Experimental Designs,
        1957).
        """
        from scipy.special import stdtrit

        of_units = -stdtrit(self.degrees_units, tail / 2)
        if not self.of_seeds:
            return float(of_units)
        of_seeds = -stdtrit(self.degrees_seeds, tail / 2)
        return float(self.of_seeds * of_seeds + (1 - self.of_seeds) * of_units)

    @property
    def is_none(self) -> bool:
        """Whether nothing varies but by rounding."""
        return self.variance < 1e-24

    def p_value(self, value: float) -> float:
        """Two-sided."""
        if value == 0 or self.is_none:
            return 1.0
        from scipy.optimize import brentq

        ratio, least = abs(value) / np.sqrt(self.variance), 1e-15
        if self.critical(least) <= ratio:
            return least
        return float(brentq(lambda tail: self.critical(tail) - ratio, least, 1.0, xtol=1e-16))


def _estimate(
    value: float,
    error: _Error,
    within: tuple[float, float],
    varied: tuple[str, int, int, int],
    few_seeds: bool,
) -> Estimate:
    resampled, units, seeds, _ = varied
    if units < 2:
        return Estimate(value, None, None, *varied, f"one {resampled}: no interval")
    if error.is_none and not (value == 0 and within[0] < 0):  # equal runs differ by nothing
        return Estimate(value, None, None, *varied, f"all {units} {resampled}s alike: no interval")
    margin = error.critical(1 - LEVEL) * float(np.sqrt(error.variance))
    interval = (max(within[0], value - margin), min(within[1], value + margin))
    reasons = []
    if units < FEWEST_UNITS:
        reasons.append(f"{units} {resampled}s, and a p-value needs {FEWEST_UNITS}")
    if few_seeds:
        some = counted(seeds, "seed")
        reasons.append(f"{some}, and a p-value of what another seed may bring needs {FEWEST_SEEDS}")
    p_value = None if reasons else error.p_value(value)
    return Estimate(value, interval, p_value, *varied, "; ".join(reasons))


def mean_of(sums: Floats) -> dict[str, Floats]:
    """The mean over images of one column, (R,), of its sums and counts (R, 2)."""
    return {"mean": sums[:, 0] / sums[:, 1]}


def mean_estimate(
    values: npt.ArrayLike, groups: Groups = None, within: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """The mean over images with its interval.

    Args:
        values: (images,) finite numbers, or (seeds, images), see `estimates`.
        groups: (images,) group names or None, see `unit_totals`.
        within: what a score can be; the interval is cut off there. (0, inf) for distances.

    Raises:
        UserError: see `unit_totals`.

    >>> found = mean_estimate([0.2, 0.4, 0.6])
    >>> found.value.__round__(3), [round(end, 3) for end in found.interval]
    (0.4, [0.0, 0.897])
    """
    columns = np.asarray(values, dtype=np.float64)[..., None]
    return estimates(columns, mean_of, groups, {"mean": within})["mean"]


def paired_comparison(a: npt.ArrayLike, b: npt.ArrayLike, groups: Groups = None) -> Estimate:
    """The mean difference of two runs, or of two methods with several seeds each, image by image.

    Args:
        a: (images,) numbers in [0, 1], scores of the first network; or (seeds, images) of the
            first method.
        b: of the second, the same shape: the same images (and seeds) in the same order.
        groups: see `unit_totals`.

    Returns:
        a - b, its interval within [-1, 1]. Of two networks the test is about these two and says
        nothing of another training; of methods it lets seeds vary too.

    Raises:
        UserError: a and b differ in shape; or see `unit_totals`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise UserError(
            f"Got {first.size} scores against {second.size}, expected the same images in both "
            "runs. Score both runs on one split."
        )
    difference = first - second
    difference[np.abs(difference) < ROUNDING] = 0.0
    return mean_estimate(difference, groups, (-1.0, 1.0))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust several p-values together (Holm, 1979); the order is kept, and so is what is None.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    p = np.asarray([value for value in p_values if value is not None], dtype=np.float64)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    rest = iter(adjusted.tolist())
    return [None if value is None else next(rest) for value in p_values]
