"""The curves of one training or of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from gpsseg.errors import counted
from gpsseg.report.charts.plot import Chart, Plot, drawing
from gpsseg.report.contents import Json

MOST_POINTS = 300  # of a line
MOST_DOTS = 60  # that say something when pointed at
SCORE = "mDice on validation images"

Points = list[tuple[float, float]]


def loss_curve(log: Sequence[Json]) -> Chart | None:
    """Training loss of each step (averaged in groups where there are many) and of each epoch."""
    steps = [line for line in log if line.get("event") == "step"]
    per_epoch = max((line["step"] for line in steps), default=1)
    each = [(line["epoch"] - 1 + line["step"] / per_epoch, line["loss"]) for line in steps]
    each, mean = _thin(_finite(each)), _curve(log, "loss", 0.5)
    values = [value for _, value in each + mean]
    if len(values) < 2:
        return None
    last = math.ceil(max(epoch for epoch, _ in each + mean))
    in_words = (
        f"Training loss over {counted(last, 'epoch')}, from {values[0]:.3f} to "
        f"{(mean or each)[-1][1]:.3f}."
    )
    with drawing("Training loss, by step and epoch", in_words, "epoch", "loss") as plot:
        _line(plot, each, "faint")
        _line(plot, mean)
        _dots(plot, mean, [f"epoch {e + 0.5:g}: mean loss {v:.4f}" for e, v in mean])
        plot.counts("x", last, parts=8)
        plot.between(min(0, *values), max(values))
    return plot.chart


def validation_curve(log: Sequence[Json], best: int | None) -> Chart | None:
    """Validation mDice of each epoch, with the epoch that was kept."""
    points = _curve(log, "val_dice")
    if not points:
        return None
    last = max(epoch for epoch, _ in points)
    score = dict(points).get(best or 0)
    kept = f"; epoch {best} was kept, with {score:.3f}." if score is not None else "."
    in_words = f"Validation mDice over {counted(int(last), 'epoch')}{kept}"
    with drawing("Validation mDice", in_words, "epoch", SCORE) as plot:
        _line(plot, points)
        _dots(plot, points, [f"epoch {e}: mDice {v:.3f}" for e, v in points])
        if best is not None and score is not None:
            plot.rule(x=best, text=f"kept: epoch {best}")
        plot.counts("x", last, parts=8)
        plot.scores("y")
    return plot.chart


def overlaid(logs: Sequence[tuple[str, Sequence[Json]]], key: str) -> Chart | None:
    """Validation mDice ("val_dice") or mean loss ("loss") by epoch, one line a run.

    Lines are of ink "run0", "run1", ... in the order of ``logs``, runs without a curve included.
    """
    curves = [(run, f"run{i}", _curve(log, key)) for i, (run, log) in enumerate(logs)]
    curves = [(run, ink, curve) for run, ink, curve in curves if curve]
    if not curves:
        return None
    values = [value for *_, curve in curves for _, value in curve]
    ends = "; ".join(f"{run}: {c[-1][1]:.3f} after epoch {c[-1][0]:g}" for run, _, c in curves)
    title = "Validation mDice" if key == "val_dice" else "Mean training loss"
    y_label = SCORE if key == "val_dice" else "loss"
    with drawing(title, f"One line a run. {ends}.", "epoch", y_label) as plot:
        for run, ink, curve in curves:
            _line(plot, curve, ink)
            _dots(plot, curve, [f"{run}, epoch {e:g}: {v:.3f}" for e, v in curve], ink)
        plot.counts("x", max(epoch for *_, curve in curves for epoch, _ in curve), parts=8)
        if key == "val_dice":
            plot.scores("y")
        else:
            plot.between(min(0.0, *values), max(values))
    return plot.chart


def _line(plot: Plot, points: Points, ink: str = "blue") -> None:
    plot.line([x for x, _ in points], [y for _, y in points], ink)


def _dots(plot: Plot, points: Points, labels: Sequence[str], ink: str = "blue") -> None:
    first = points[:MOST_DOTS]
    plot.points([x for x, _ in first], [y for _, y in first], labels[:MOST_DOTS], ink=ink)


def _curve(log: Sequence[Json], key: str, back: float = 0) -> Points:
    """A value of each epoch that has it."""
    epochs = [line for line in log if line.get("event") == "epoch" and line.get(key) is not None]
    return _finite([(line["epoch"] - back, line[key]) for line in epochs])


def _finite(points: Sequence[tuple[Any, Any]]) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y)]


def _thin(points: Points) -> Points:
    """At most ``MOST_POINTS`` points: the means of equal groups of neighbours."""
    size = math.ceil(len(points) / MOST_POINTS) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]
