"""The charts of a figure: mDice against what trains, the delta's size, a step's time, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpsseg.errors import size_text
from gpsseg.evaluators.words import interval_text
from gpsseg.report.charts.of_compare import share_drawn
from gpsseg.report.charts.plot import Chart, drawing
from gpsseg.report.charts.style import ChartFrame

Row = Mapping[str, Any]
FRAME = ChartFrame(width=193, height=176, left=23, right=12, top=8, bottom=42)
FIRST = ChartFrame(width=216, height=176, left=46, right=12, top=8, bottom=42)  # has the y axis
COLOURS = 8  # `.run0` to `.run7` of charts.css
WIDE = 12  # largest over smallest from which a logarithmic axis goes by tens, not by twos


@dataclass(frozen=True)
class Cost:
    """What one column of a figure sets the score against.

    Attributes:
        label: of its axis.
        of: a row's number; None or 0 where it has none.
        text: a number in words.
        powers: how a tick of a logarithmic axis reads; without it the axis begins at 0.
        twos: whether such an axis goes by twos where the values are near each other.
    """

    label: str
    of: Callable[[Row], float | None]
    text: Callable[[float], str]
    powers: Callable[[float], str] | None = None
    twos: bool = False


def costs(rows: Sequence[Row]) -> list[Cost]:
    """The four columns, for the rows of one training size."""
    share, whose = share_drawn(rows)
    return [
        Cost(
            f"share of the {whose} that trains",
            lambda row: row[share],
            lambda value: f"{value:.2%} of the {whose}",
            lambda tick: f"{100 * tick:g} %",
        ),
        Cost(
            "size of the delta, MB",
            _megabytes,
            lambda mb: size_text(1e6 * mb),
            "{:g}".format,
            twos=True,
        ),
        Cost("one training step, s", lambda row: row["step_seconds"], lambda s: f"{s:.2f} s"),
        Cost("peak memory, GB", _gigabytes, lambda gb: size_text(1e9 * gb)),
    ]


def panels(rows: Sequence[Row], names: Mapping[str, int]) -> list[tuple[Chart, ChartFrame]]:
    """The four charts of one training size, for one axis of scores, and their frames.

    Args:
        rows: of compare.json, each with its "name".
        names: every name of the figure -> its number, which is written beside its points.
    """
    ends = [row["dice_ci95"] or (row["dice"], row["dice"]) for row in rows]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    margin = 0.06 * (high - low or 1)
    between = max(0.0, low - margin), min(1.0, high + margin)
    frames = (FIRST, FRAME, FRAME, FRAME)
    return [
        (_panel(rows, names, cost, between, frame), frame)
        for cost, frame in zip(costs(rows), frames, strict=True)
    ]


def _panel(
    rows: Sequence[Row],
    names: Mapping[str, int],
    cost: Cost,
    between: tuple[float, float],
    frame: ChartFrame,
) -> Chart:
    shown = [(value, row) for row in rows if (value := cost.of(row) or 0) > 0]
    told = [f"{row['name']}: {_score(row)} at {cost.text(value)}" for value, row in shown]
    drawn = [row["name"] for _, row in shown]
    left_out = [row["name"] for row in rows if row["name"] not in drawn]
    also = [f"not drawn: {', '.join(left_out)}"] if left_out else []
    title, words = f"mDice against {cost.label}", "; ".join(told + also)
    with drawing(title, words, cost.label, "mDice" if frame == FIRST else "", frame) as plot:
        for (value, row), label in zip(shown, told, strict=True):
            number = names[row["name"]]
            plot.points(
                [value],
                [row["dice"]],
                [label],
                ink=f"run{(number - 1) % COLOURS}",
                intervals=[row["dice_ci95"]],
                names=[f"{number}"],
            )
        if cost.powers and shown:
            values = [value for value, _ in shown]
            base = 2 if cost.twos and max(values) < WIDE * min(values) else 10
            plot.powers(values, base, cost.powers, room=0.01)
        else:
            plot.axes.set_xlim(0, 1.12 * max((value for value, _ in shown), default=1))
        plot.between(*between)
        plot.axes.tick_params(labelleft=frame == FIRST)
    return plot.chart


def _score(row: Row) -> str:
    return f"mDice {row['dice']:.3f} {interval_text(row['dice_ci95'])}"


def _megabytes(row: Row) -> float:
    return float(row["delta_bytes"]) / 1e6


def _gigabytes(row: Row) -> float:
    return float(row["memory_mb"]) * 2**20 / 1e9  # from MiB
