"""The charts of the report as geometry: charts.html draws them as SVG with text as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from gpsseg.errors import counted
from gpsseg.report.contents import CaseRow, Json

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 42
MOST_POINTS = 300

Points = list[tuple[float, float]]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Mark:
    """A dot or a bar, in SVG units, with the text shown when pointed at; a style of its own."""

    x: float
    y: float
    width: float
    height: float
    label: str
    style: str = ""


@dataclass(frozen=True)
class Chart:
    """One chart in SVG units (``WIDTH`` x ``HEIGHT``, y downwards).

    Attributes:
        title: heading.
        description: what is to be seen, in words, for those who cannot see it.
        x_label: name of the x axis.
        y_label: name of the y axis.
        x_ticks: positions and texts on the x axis.
        y_ticks: the same on the y axis.
        lines: named "points" of polylines, each ("faint" | "strong", text).
        bars: of a histogram.
        dots: of a scatter plot.
        rule: x of a vertical line and its text, or None.
        texts: what is written beside points: x, y, which end of it is there, text.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[tuple[str, str]] = field(default_factory=list)
    bars: list[Mark] = field(default_factory=list)
    dots: list[Mark] = field(default_factory=list)
    rule: tuple[float, str] | None = None
    texts: list[tuple[float, float, str, str]] = field(default_factory=list)


def histogram(cases: Sequence[CaseRow]) -> Chart | None:
    """How many images have which Dice, in 20 bins."""
    scores = [case.dice for case in cases if case.dice is not None]
    if not scores:
        return None
    bins = [0] * 20
    for score in scores:
        bins[min(int(score * 20), 19)] += 1
    x, top = linear(0, 1, _X), max(bins)
    y = linear(0, top, _Y)
    mean = fmean(scores)
    return Chart(
        "Dice per image",
        f"Histogram of Dice over {counted(len(scores), 'image')}; the mean is {mean:.3f}.",
        "Dice",
        "images",
        [(x(tick), f"{tick:g}") for tick in (0, 0.2, 0.4, 0.6, 0.8, 1)],
        [(y(tick), f"{tick:g}") for tick in round_ticks(0, top) if tick == int(tick)],
        bars=[
            Mark(
                x(i / 20) + 0.75,
                y(count),
                (x(1) - x(0)) / 20 - 1.5,
                y(0) - y(count),
                f"Dice {i / 20:.2f} to {(i + 1) / 20:.2f}: {counted(count, 'image')}",
            )
            for i, count in enumerate(bins)
            if count
        ],
        rule=(x(mean), f"mean {mean:.3f}"),
    )


def dice_against_size(cases: Sequence[CaseRow]) -> Chart | None:
    """Dice against the lesion's share of the image, on a logarithmic axis."""
    known = [case for case in cases if case.dice is not None and case.size]
    if len(known) < 2:
        return None
    sizes = [math.log10(case.size or 1) for case in known]
    low, high = math.floor(min(sizes)), max(math.ceil(max(sizes)), math.floor(min(sizes)) + 1)
    x, y = linear(low, high, _X), linear(0, 1, _Y)
    empty = len(cases) - len(known)
    return Chart(
        "Dice against lesion size",
        f"Scatter plot of Dice against lesion size for {len(known)} images"
        + (f"; {empty} without a lesion are not drawn." if empty else "."),
        "lesion size, % of the image (logarithmic)",
        "Dice",
        [(x(power), f"{10.0**power:g}") for power in range(low, high + 1)],
        _unit_ticks(y),
        dots=[
            Mark(
                x(size),
                y(case.dice or 0),
                0,
                0,
                f"{case.id}: Dice {case.dice:.3f}, {case.size:.2f} %",
            )
            for case, size in zip(known, sizes, strict=True)
        ],
    )


def reliability(calibration: Json) -> Chart | None:
    """Share of true pixels against the predicted probability; on the diagonal they agree."""
    bins = calibration.get("bins") or []
    if not bins:
        return None
    x, y = linear(0, 1, _X), linear(0, 1, _Y)
    points = [(entry["confidence"], entry["accuracy"]) for entry in bins]
    total = sum(entry["pixels"] for entry in bins)
    return Chart(
        "Reliability of the probabilities",
        f"Share of lesion pixels against predicted probability in {len(bins)} bins; the expected "
        f"calibration error is {calibration['ece']:.3f}. The straight line is perfect agreement.",
        f"predicted probability (expected calibration error {calibration['ece']:.3f})",
        "share of lesion pixels",
        [(x(tick), f"{tick:g}") for tick in (0, 0.2, 0.4, 0.6, 0.8, 1)],
        _unit_ticks(y),
        lines=[("faint", _polyline([(0, 0), (1, 1)], x, y)), ("strong", _polyline(points, x, y))],
        dots=[
            Mark(
                x(p),
                y(a),
                0,
                0,
                f"probability {p:.3f}: {a:.3f} are lesion, {entry['pixels'] / total:.2%} of pixels",
            )
            for (p, a), entry in zip(points, bins, strict=True)
        ],
    )


def loss_curve(log: Sequence[Json]) -> Chart | None:
    """Training loss of each step (averaged in groups where there are many) and of each epoch."""
    steps = [line for line in log if line.get("event") == "step"]
    per_epoch = max((line["step"] for line in steps), default=1)
    each = [(line["epoch"] - 1 + line["step"] / per_epoch, line["loss"]) for line in steps]
    mean = [(line["epoch"] - 0.5, line["loss"]) for line in _epochs(log, "loss")]
    each, mean = _thin(_finite(each)), _finite(mean)
    values = [value for _, value in each + mean]
    if len(values) < 2:
        return None
    last = math.ceil(max(epoch for epoch, _ in each + mean))
    low, high = min(0, *values), max(values)
    x, y = linear(0, last, _X), linear(low, high, _Y)
    return Chart(
        "Training loss, by step and epoch",
        f"Training loss over {counted(last, 'epoch')}, from {values[0]:.3f} to "
        f"{(mean or each)[-1][1]:.3f}.",
        "epoch",
        "loss",
        _epoch_ticks(x, last),
        [(y(tick), f"{tick:g}") for tick in round_ticks(low, high)],
        lines=[("faint", _polyline(each, x, y)), ("strong", _polyline(mean, x, y))],
        dots=[
            Mark(x(e), y(v), 0, 0, f"epoch {e + 0.5:g}: mean loss {v:.4f}") for e, v in mean[:60]
        ],
    )


def validation_curve(log: Sequence[Json], best: int | None) -> Chart | None:
    """Validation mDice of each epoch, with the epoch that was kept."""
    points = _finite([(line["epoch"], line["val_dice"]) for line in _epochs(log, "val_dice")])
    if not points:
        return None
    last = max(epoch for epoch, _ in points)
    x, y = linear(0, last, _X), linear(0, 1, _Y)
    score = dict(points).get(best or 0)
    return Chart(
        "Validation mDice",
        f"Validation mDice over {counted(int(last), 'epoch')}"
        + (f"; epoch {best} was kept, with {score:.3f}." if score is not None else "."),
        "epoch",
        "mDice on validation images",
        _epoch_ticks(x, last),
        _unit_ticks(y),
        lines=[("strong", _polyline(points, x, y))],
        dots=[Mark(x(e), y(v), 0, 0, f"epoch {e}: mDice {v:.3f}") for e, v in points[:60]],
        rule=(x(best), f"kept: epoch {best}") if best is not None and score is not None else None,
    )


def overlaid(logs: Sequence[tuple[str, Sequence[Json]]], key: str) -> Chart | None:
    """Validation mDice ("val_dice") or mean loss ("loss") by epoch, one line a run.

    Lines are named "run0", "run1", ... in the order of ``logs``, runs without a curve included.
    """
    curves = [
        _finite([(line["epoch"], line[key]) for line in _epochs(log, key)]) for _, log in logs
    ]
    if not any(curves):
        return None
    values = [value for curve in curves for _, value in curve]
    last = max(epoch for curve in curves for epoch, _ in curve)
    low, high = (0.0, 1.0) if key == "val_dice" else (min(0.0, *values), max(values))
    x, y = linear(0, last, _X), linear(low, high, _Y)
    name = "Validation mDice" if key == "val_dice" else "Mean training loss"
    ends = "; ".join(
        f"{run}: {curve[-1][1]:.3f} after epoch {curve[-1][0]:g}"
        for (run, _), curve in zip(logs, curves, strict=True)
        if curve
    )
    return Chart(
        name,
        f"One line a run. {ends}.",
        "epoch",
        "mDice on validation images" if key == "val_dice" else "loss",
        _epoch_ticks(x, last),
        [(y(tick), f"{tick:g}") for tick in round_ticks(low, high)],
        lines=[(f"run{i}", _polyline(curve, x, y)) for i, curve in enumerate(curves) if curve],
        dots=[
            Mark(x(e), y(v), 0, 0, f"{run}, epoch {e:g}: {v:.3f}", f"run{i}")
            for i, ((run, _), curve) in enumerate(zip(logs, curves, strict=True))
            for e, v in curve[:60]
        ],
    )


_X = (LEFT, WIDTH - RIGHT)
_Y = (HEIGHT - BOTTOM, TOP)


def linear(low: float, high: float, ends: tuple[float, float]) -> Scale:
    """Map [low, high] to the two ends of an axis, in SVG units rounded to a tenth."""
    span = (high - low) or 1.0
    return lambda value: round(ends[0] + (value - low) / span * (ends[1] - ends[0]), 1)


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers in [low, high].

    >>> round_ticks(0, 3.9)
    [0.0, 1.0, 2.0, 3.0]
    """
    rough = (high - low or 1.0) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough)
    first, last = math.ceil(low / step), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _unit_ticks(y: Scale) -> list[tuple[float, str]]:
    return [(y(tick), f"{tick:g}") for tick in (0, 0.2, 0.4, 0.6, 0.8, 1)]


def _epoch_ticks(x: Scale, last: float) -> list[tuple[float, str]]:
    return [(x(tick), f"{tick:g}") for tick in round_ticks(0, last, 8) if tick == int(tick)]


def _epochs(log: Sequence[Json], key: str) -> list[Json]:
    return [line for line in log if line.get("event") == "epoch" and line.get(key) is not None]


def _finite(points: Sequence[tuple[Any, Any]]) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y)]


def _thin(points: Points) -> Points:
    """At most ``MOST_POINTS`` points: the means of equal groups of neighbours."""
    size = math.ceil(len(points) / MOST_POINTS) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]


def _polyline(points: Points, x: Scale, y: Scale) -> str:
    return " ".join(f"{x(a)},{y(b)}" for a, b in points)
