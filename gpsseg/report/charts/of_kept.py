"""The charts of what tuning gained on its own set against what it kept elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.errors import counted
from gpsseg.evaluators.words import UNTUNED, interval_text
from gpsseg.report.charts.plot import Chart, Plot, drawing
from gpsseg.report.kept import KeptRows

Json = Mapping[str, Any]
Point = tuple[float, Sequence[float] | None]  # a score or a difference, and its interval


def kept_charts(tables: Sequence[KeptRows]) -> list[Chart]:
    """A chart for each training size and each place but the usual one."""
    return [
        _chart(kept, i)
        for kept in tables
        for i, place in enumerate(kept.places)
        if not place["usual"]
    ]


def _chart(kept: KeptRows, place: int) -> Chart:
    """A point a method, its intervals as cross hairs; what the untuned network does is at 0, 0."""
    usual = next(i for i, each in enumerate(kept.places) if each["usual"])
    less = UNTUNED in kept.places[place]
    points = [
        (row["method"], _point(row["kept"][usual], less), _point(row["kept"][place], less))
        for row in kept.rows
    ]
    of_size = counted(kept.size, "training image")
    words = "; ".join(f"{name}: {_text(x, less)} and {_text(y, less)}" for name, x, y in points)
    axes = "mDice less the untuned network's" if less else "mDice"
    in_words = f"{axes}, on {kept.names[usual]} and on {kept.names[place]}: {words}."
    x_label = "gained: mDice - untuned, where tuned for" if less else "mDice where tuned for"
    y_label = "kept: mDice - untuned" if less else "kept: mDice"
    title = f"Gained against kept: {kept.names[place]}, {of_size}"
    with drawing(title, in_words, x_label, y_label) as plot:
        if less:
            plot.rule(x=0)
            plot.rule(y=0, text="as untuned")
        _draw(plot, points, less)
    return plot.chart


def _draw(plot: Plot, points: Sequence[tuple[str, Point, Point]], less: bool) -> None:
    for name, (x, across), (y, up) in points:
        if across:
            plot.line(across, [y, y], "faint")
        label = f"{name}: {_text((x, across), less)} where tuned for, {_text((y, up), less)} here"
        plot.points([x], [y], [label], intervals=[up], names=[name])
    plot.axes.set(
        xlim=_limits([point for _, point, _ in points], less),
        ylim=_limits([point for _, _, point in points], less),
    )
    plot.axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}".replace("0.", "."))


def _limits(points: Sequence[Point], less: bool) -> tuple[float, float]:
    """The ends of an axis around points and intervals; around 0 too, where that is the untuned."""
    least, most = (-1.0, 1.0) if less else (0.0, 1.0)
    values = [end for value, ends in points for end in (value, *(ends or ()))]
    values += [0.0] if less else []
    margin = 0.08 * (max(values) - min(values) or 1)
    return max(least, min(values) - margin), min(most, max(values) + margin)


def _point(entry: Json, less: bool) -> Point:
    if less:
        return entry[UNTUNED]["difference"], entry[UNTUNED]["ci95"]
    return entry["dice"], entry["dice_ci95"]


def _text(point: Point, less: bool) -> str:
    form = "+.3f" if less else ".3f"
    return f"{point[0]:{form}} {interval_text(point[1], form)}"
