"""The learning curve of a method: what twice as many training images would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, fdtrc, stdtrit

from gpsseg.evaluators.units import Floats

LEVEL = 0.8  # of the intervals, see docs/choose.md for how often they held
FEWEST_SIZES, FEWEST_SEEDS = 4, 2  # three sizes fit any law of three parameters
LEAST_SPAN = 3  # times from the smallest to the largest size: it is carried on to twice that
FALLS = (0.0, 0.5, 1.0, 1.5)  # the variance of a training's score is as n to minus one of these
EXPONENTS = np.geomspace(0.05, 3.0, 120)
LEAST_SPREAD = 1e-4  # of a score: that seeds were alike does not make the next one alike
POOR = 0.01  # p-value below which the mean scores are no curve of this kind
POINTS = 16  # of a drawn curve, and half as many beyond the largest size


@dataclass(frozen=True)
class Expected:
    """What the curve says of one size: the mean score over as many seeds as it was fitted to.

    Attributes:
        value: on the curve.
        low, high: the interval for the mean that such a row of the comparison would show.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """The law score = a - b (n / largest size)^-c, one for each exponent c that was tried.

    Attributes:
        falls: the variance of a training's score is taken to fall as n^-falls.
        a, b: (C,) by weighted least squares, a at most 1.
        misfit: (C,) what is left of the weighted squares.
        spread: (C, 2, 2) inverse of the information on (a, -b).
        room: by how much the misfit may exceed the least one, for the interval.
        is_law: whether the mean scores leave the law by no more than seeds differ.
    """

    falls: float
    a: Floats
    b: Floats
    misfit: Floats
    spread: Floats
    room: float
    is_law: bool

    @property
    def best(self) -> int:
        """The place of the exponent that fits best."""
        return int(self.misfit.argmin())

    def at(self, times: float, seeds: int) -> tuple[float, float, float]:
        """Value and ends of the interval of a row at so many times the largest size.

        All laws count whose misfit, with the expected row added, stays within the room: the
        profile likelihood's interval, over all exponents.
        """
        x = times**-EXPONENTS
        terms = np.stack([np.ones_like(x), x], axis=1)
        value = self.a - self.b * x
        of_row = times**-self.falls / seeds
        variance = np.einsum("ci,cij,cj->c", terms, self.spread, terms) + of_row
        left = self.room + self.misfit.min() - self.misfit
        fits = left >= 0
        half = np.sqrt(np.maximum(left, 0) * variance)
        low, high = (value - half)[fits].min(), (value + half)[fits].max()
        return float(value[self.best]), float(low), float(high)


@dataclass(frozen=True)
class Curve:
    """A learning curve, by each way in which the spread of the seeds may depend on the size.

    Attributes:
        fits: the first is told; the interval holds those of all.
        largest: of the sizes.
        seeds: how many.
    """

    fits: tuple[Fit, ...]
    largest: float
    seeds: int

    @property
    def law(self) -> dict[str, float]:
        """The parameters a, b and c of a - b n^-c that fit best."""
        told = self.fits[0]
        a, b, c = (float(each[told.best]) for each in (told.a, told.b, EXPONENTS))
        return {"a": a, "b": b * self.largest**c, "c": c}

    def at(self, size: float) -> Expected:
        """What to expect at a number of training images."""
        found = [fit.at(size / self.largest, self.seeds) for fit in self.fits]
        values, lows, highs = zip(*found, strict=True)
        return Expected(*np.clip([values[0], min(lows), max(highs)], 0, 1).tolist())


@dataclass(frozen=True)
class NoCurve:
    """Why there is no curve."""

    why: str


def fit_curve(sizes: npt.ArrayLike, scores: npt.ArrayLike) -> Curve | NoCurve:
    """Fit the inverse power law of learning curves to mean scores over seeds.

    The law is that of Figueroa et al., BMC Med Inform Decis Mak 12:8 (2012). There larger sizes
    weigh more, as if the variance of a score fell as 1/n. It is asked here of the seeds: every way
    to fall counts that their spread at the sizes does not speak against. With its exponent given
    the law is a straight line, so that every exponent is tried.

    Args:
        sizes: (K,) different numbers of training images.
        scores: (seeds, K) in [0, 1].

    >>> found = fit_curve([10, 20, 40, 80], [[0.4, 0.55, 0.625, 0.6625]] * 2)  # 0.7 - 3 / n
    >>> round(found.at(160).value, 3)
    0.681
    """
    n, found = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    seeds, count = found.shape
    if count < FEWEST_SIZES:
        return NoCurve(f"it needs {FEWEST_SIZES} training sizes, got {count}")
    if seeds < FEWEST_SEEDS:
        return NoCurve(f"it needs {FEWEST_SEEDS} seeds, got {seeds}")
    if n.max() < LEAST_SPAN * n.min():
        return NoCurve(
            "its training sizes are too close together: expected the largest to be at least "
            f"{LEAST_SPAN} times the smallest"
        )
    fits = [_fit(n / n.max(), found, falls) for falls in _ways_to_fall(n / n.max(), found)]
    if fits[0].b[fits[0].best] <= 0:
        return NoCurve("mDice does not rise with the number of training images")
    if not any(fit.is_law for fit in fits):
        return NoCurve(
            "the mean scores leave the inverse power law by more than seeds differ, so that it "
            "cannot be carried on"
        )
    return Curve(tuple(fits), float(n.max()), seeds)


def _ways_to_fall(sizes: Floats, found: Floats) -> list[float]:
    """How the seeds' variance may depend on the size, the likeliest first (likelihood ratio)."""
    seeds, count = found.shape
    squares = np.maximum(((found - found.mean(0)) ** 2).sum(0), (seeds - 1) * LEAST_SPREAD**2)
    deviance = {}
    for falls in FALLS:
        pooled = (sizes**falls * squares).sum() / (count * (seeds - 1))
        deviance[falls] = (seeds - 1) * (np.log(pooled) - falls * np.log(sizes)).sum()
    least, far = min(deviance.values()), float(chdtri(1, 1 - LEVEL))
    return sorted((f for f in FALLS if deviance[f] <= least + far), key=deviance.__getitem__)


def _fit(sizes: Floats, found: Floats, falls: float) -> Fit:
    """Fit the law to (seeds, K) scores of sizes that are shares of the largest."""
    seeds, count = found.shape
    weights, means, least = sizes**falls, found.mean(0), LEAST_SPREAD**2
    a, b, misfit, spread = _lines(sizes, means, seeds * weights)
    of_seeds, degrees = float((weights * (found - means) ** 2).sum()), count * (seeds - 1)
    beyond = count - 3
    ratio = misfit.min() / beyond / max(of_seeds / degrees, least)
    variance = max((of_seeds + float(misfit.min())) / (degrees + beyond), least)
    room = variance * float(stdtrit(degrees + beyond, (1 + LEVEL) / 2)) ** 2
    return Fit(falls, a, b, misfit, spread, room, bool(fdtrc(beyond, degrees, ratio) >= POOR))


def _lines(sizes: Floats, means: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """A straight line in n^-c for each exponent: a, b, misfit and inverse information."""
    x = sizes ** -EXPONENTS[:, None]
    terms = np.stack([np.ones_like(x), x], axis=2)
    spread = np.linalg.inv(np.einsum("k,cki,ckj->cij", weights, terms, terms))
    a, slope = np.einsum("cij,k,ckj,k->ic", spread, weights, terms, means)
    over = a > 1  # no score is: there the line is held at 1, and only its slope is free
    along = (weights * x**2).sum(1)
    held = (weights * x * (means - 1)).sum(1) / along
    a, slope = np.where(over, 1.0, a), np.where(over, held, slope)
    only_slope = np.zeros_like(spread)
    only_slope[:, 1, 1] = 1 / along
    spread = np.where(over[:, None, None], only_slope, spread)
    misfit = (weights * (means - a[:, None] - slope[:, None] * x) ** 2).sum(1)
    return a, -slope, misfit, spread


def curves_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each method's learning curve, as in compare.json; none of a comparison of one size."""
    methods = dict.fromkeys(row["method"] for row in rows)
    if len({row["train_size"] for row in rows}) < 2:
        return []
    return [
        _curve(name, sorted((row for row in rows if row["method"] == name), key=_size))
        for name in methods
    ]


def _size(row: Mapping[str, Any]) -> int:
    return int(row["train_size"])


def _curve(method: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sizes = [_size(row) for row in rows]
    entry = {
        "method": method,
        "train_sizes": sizes,
        "seeds": rows[0]["seeds"],
        **{name: sum(row[name] for row in rows) for name in ("diverged", "untrained")},
    }
    found = fit_curve(sizes, np.transpose([row["dice_of_seeds"] for row in rows]))
    if isinstance(found, NoCurve):
        return {**entry, "why": found.why}
    last, shown = sizes[-1], rows[-1]["dice"]
    below, beyond = np.geomspace(sizes[0], last, POINTS), np.geomspace(last, 2 * last, POINTS // 2)
    there = _point(found, 2 * last)
    return {
        **entry,
        **found.law,
        "next": {
            "from": last,
            **there,
            "gain": there["dice"] - shown,
            "gain_ci80": [end - shown for end in there["dice_ci80"]],
        },
        "points": [_point(found, size) for size in (*below[:-1].tolist(), *beyond.tolist())],
    }


def _point(curve: Curve, size: float) -> dict[str, Any]:
    there = curve.at(size)
    return {"train_size": size, "dice": there.value, "dice_ci80": [there.low, there.high]}
