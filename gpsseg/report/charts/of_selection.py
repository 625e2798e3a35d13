"""The charts of a selection that was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.errors import counted
from gpsseg.report.charts.plot import Chart, drawing

Row = Mapping[str, Any]


def by_images(points: Sequence[Row], chance: float) -> Chart | None:
    """How much of the selection fewer images select too.

    Args:
        points: "images" and "overlap" of each.
        chance: the overlap of selections at random.
    """
    if len(points) < 2:
        return None
    images, shares = [p["images"] for p in points], [p["overlap"] for p in points]
    labels = [
        f"{counted(count, 'image')}: {share:.1%}"
        for count, share in zip(images, shares, strict=True)
    ]
    in_words = (
        "Share of the selection by all images that the first of them select too: "
        f"{'; '.join(labels)}. Chance would give {chance:.1%}."
    )
    x_label, y_label = "images scored (logarithmic)", "share of the selection"
    with drawing("With fewer images", in_words, x_label, y_label) as plot:
        plot.line(images, shares)
        plot.points(images, shares, labels)
        plot.powers(images, 2)
        plot.scores("y")
        plot.rule(y=chance, text=f"chance {chance:.1%}")
    return plot.chart


def by_top_k(rows: Sequence[Row]) -> Chart | None:
    """What more entries of each neuron would hold of all score, and how firm they would be.

    The first line is of ink "run0", the other of "run1".

    Args:
        rows: "top_k", "score" and perhaps "halves" of each.
    """
    if len(rows) < 2:
        return None
    ks = [row["top_k"] for row in rows]
    lines = [("score", "of all score", "run0"), ("halves", "halves agree", "run1")]
    lines = [line for line in lines if all(line[0] in row for row in rows)]
    said = "; ".join(
        f"{name}: " + ", ".join(f"{row[key]:.1%} with K = {row['top_k']}" for row in rows)
        for key, name, _ in lines
    )
    with drawing(
        "With more entries a neuron", f"Shares by K. {said}.", "K (logarithmic)", "share"
    ) as plot:
        for key, name, ink in lines:
            shares = [row[key] for row in rows]
            labels = [f"K = {k}: {name} {s:.1%}" for k, s in zip(ks, shares, strict=True)]
            plot.line(ks, shares, ink)
            plot.points(ks, shares, labels, ink=ink)
        plot.powers(ks, 2)
        plot.scores("y")
    return plot.chart
