"""The charts of a comparison: score against what trains, against training size, and against K."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpsseg.report.charts.plot import Chart, Plot, drawing

Row = Mapping[str, Any]
Series = Mapping[str, Sequence[tuple[float, Row]]]


def charts(rows: Sequence[Row], curves: Sequence[Row] = ()) -> list[Chart]:
    """All charts for which there are two points or more.

    Args:
        rows: of compare.json.
        curves: of compare.json, where it has some.
    """
    sizes = sorted({row["train_size"] for row in rows})
    found = [score_against_share([r for r in rows if r["train_size"] == n], n) for n in sizes]
    return [
        chart
        for chart in (*found, score_against_size(rows, curves), score_against_k(rows, sizes[-1]))
        if chart
    ]


def score_against_share(rows: Sequence[Row], size: int) -> Chart | None:
    """MDice against the share that trains, on a logarithmic axis: see ``share_drawn``."""
    share, whose = share_drawn(rows)
    shown = [row for row in rows if row[share] > 0]
    if len(shown) < 2:
        return None
    series = {row["method"]: [(row[share], row)] for row in shown}
    left_out = [row["method"] for row in rows if not row[share]]
    also = f" Not drawn: {', '.join(left_out)}, which leaves the encoder." if left_out else ""
    return _chart(
        f"mDice against the share that trains, {size} training images",
        f"{_described(series, lambda share: f'{share:.2%}')}.{also}",
        f"share of the {whose} that trains",
        series,
        base=10,
        tick_text=lambda share: f"{100 * share:g} %",
    )


def share_drawn(rows: Sequence[Row]) -> tuple[str, str]:
    """The key of the share that tells these rows apart, and of what it is one.

    Where all train the same in the decoder, such as all of it, only the encoder counts.
    """
    decoders = {row.get("decoder") for row in rows}
    same = len(decoders) == 1 and None not in decoders
    return ("share_of_encoder", "encoder") if same else ("share_of_total", "network")


def score_against_size(rows: Sequence[Row], curves: Sequence[Row] = ()) -> Chart | None:
    """MDice against the number of training images, one line a method; its curve where it has one.

    A curve goes on to twice the largest size, with its interval from there on.
    """
    by_size = sorted(rows, key=lambda row: int(row["train_size"]))
    series = {
        method: [(float(row["train_size"]), row) for row in by_size if row["method"] == method]
        for method in dict.fromkeys(row["method"] for row in rows)
    }
    if max(len(points) for points in series.values()) < 2:
        return None
    return _chart(
        "mDice against the number of training images",
        f"{_described(series, lambda size: f'{size:g} images')}.{_expected(curves)}",
        "training images",
        series,
        base=2,
        tick_text=lambda size: f"{size:g}",
        least=1,
        curves={curve["method"]: curve["points"] for curve in curves if "points" in curve},
    )


def _expected(curves: Sequence[Row]) -> str:
    """What the curves go on to, in words."""
    ends = [(curve["method"], curve["points"][-1]) for curve in curves if "points" in curve]
    return "".join(
        f" The curve of {method} goes on to {end['dice']:.3f} at {end['train_size']:g} images, its "
        f"80 % interval to {end['dice_ci80'][0]:.3f} and {end['dice_ci80'][1]:.3f}."
        for method, end in ends
    )


def score_against_k(rows: Sequence[Row], size: int) -> Chart | None:
    """MDice against K at the largest training size, one line for what else is the same."""
    series: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        if row["top_k"] and row["train_size"] == size:
            others = [f"{k}={v}" for k, v in row["options"].items() if k != "top_k"]
            name = ":".join([row["kind"], *([",".join(others)] if others else [])])
            series.setdefault(name, []).append((float(row["top_k"]), row))
    series = {name: sorted(p, key=lambda point: point[0]) for name, p in series.items()}
    if max((len(points) for points in series.values()), default=0) < 2:
        return None
    return _chart(
        f"mDice against K, {size} training images",
        f"{_described(series, lambda k: f'K = {k:g}')}.",
        "K, inputs of each neuron that train",
        series,
        base=2,
        tick_text=lambda k: f"{k:g}",
        least=1,
    )


def _fitted(plot: Plot, name: str, points: Sequence[Row], last: float) -> None:
    """A fitted curve with its name at its end, and its interval beyond the last size."""
    x, y = [point["train_size"] for point in points], [point["dice"] for point in points]
    plot.line(x, y, name=name)
    beyond = [point for point in points if point["train_size"] >= last]
    low, high = ([point["dice_ci80"][end] for point in beyond] for end in (0, 1))
    plot.band([point["train_size"] for point in beyond], low, high)


def _described(series: Series, of_x: Callable[[float], str]) -> str:
    return "; ".join(
        f"{name}: {row['dice']:.3f} at {of_x(x)}"
        for name, points in series.items()
        for x, row in points
    )


def _interval(row: Row) -> Sequence[float]:
    """A row's interval; where it has none, its point."""
    ends: Sequence[float] = row["dice_ci95"] or (row["dice"], row["dice"])
    return ends


def _chart(
    title: str,
    description: str,
    x_label: str,
    series: Series,
    base: int,
    tick_text: Callable[[float], str],
    least: float = 0,
    curves: Mapping[str, Sequence[Row]] | None = None,
) -> Chart:
    """Points with their intervals, joined where a series has several, named near their last point.

    No tick is below ``least``. ``curves`` are the points of a fitted line, which stands for the
    joined points of the series of its name.
    """
    curves = curves or {}
    points = [point for each in series.values() for point in each]
    drawn = [point for each in curves.values() for point in each]
    ends = [
        *(_interval(row) for _, row in points),
        *(each[-1]["dice_ci80"] for each in curves.values()),
    ]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    margin = 0.05 * (high - low or 1)
    sizes = [*(x for x, _ in points), *(point["train_size"] for point in drawn)]
    joined = any(len(each) > 1 for each in series.values())
    powers = math.log(max(sizes) / min(sizes), base) + 1
    with drawing(title, description, x_label, "mDice on the test images") as plot:
        for name, each in series.items():
            x, y = [x for x, _ in each], [row["dice"] for _, row in each]
            labels = [f"{row['method']}: {row['dice']:.3f}" for _, row in each]
            names = [""] * (len(each) - 1) + ["" if name in curves else name]
            intervals = [row["dice_ci95"] for _, row in each]
            if name in curves:
                _fitted(plot, name, curves[name], x[-1])
            elif joined:
                plot.line(x, y)
            plot.points(x, y, labels, intervals=intervals, names=names)
        plot.powers(sizes, base, tick_text, least, room=0.3 + (0.35 * powers if joined else 0))
        plot.between(max(0.0, low - margin), min(1.0, high + margin))
    return plot.chart
