"""A figure of comparisons, as an SVG of its own: mDice against share, delta, step time, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.errors import counted
from gpsseg.evaluators.words import varied_text
from gpsseg.report.charts.of_compare import share_drawn
from gpsseg.report.charts.of_costs import COLOURS, FIRST, panels
from gpsseg.report.comparisons import Group, read_groups
from gpsseg.report.page import fill_template, styles

WIDTH, EDGE = 800, 6  # SVG units
LETTER, LINE, HEAD = 6.6, 18, 40  # width of a letter, and heights of a legend's line and a heading
LONGEST = {"heading": 70, "comparison": 26, "method": 110}  # letters


def draw_figure(comparisons: Sequence[Path]) -> str:
    """The SVG: a row of four charts for each training size of each comparison, and one legend.

    Args:
        comparisons: see ``gpsseg.report.comparisons.read_groups``.

    Raises:
        UserError: one is no comparison.
    """
    groups = [group for path in comparisons for group in read_groups(path)]
    found = dict.fromkeys(row["name"] for group in groups for row in group.rows)
    names = {name: number for number, name in enumerate(found, 1)}
    legend, top = _legend(names)
    step = HEAD + FIRST.height
    context = {
        "width": WIDTH,
        "unseen": [name for name in names if _leaves_the_encoder(groups, name)],
        "edge": EDGE,
        "height": top + len(groups) * step + LINE,
        "chart_styles": styles("charts.css"),
        "legend": legend,
        "bands": [_band(group, names, top + i * step) for i, group in enumerate(groups)],
    }
    return fill_template("figure.svg", (), context)


def _leaves_the_encoder(groups: Sequence[Group], name: str) -> bool:
    """Whether a method has no point in the first column of some group, where encoders count."""
    return any(
        row["name"] == name and not row[share_drawn(group.rows)[0]]
        for group in groups
        for row in group.rows
    )


def _legend(names: Mapping[str, int]) -> tuple[list[dict[str, Any]], int]:
    """Every name's number, colour and place, in columns; and where they end."""
    wide = LETTER * max(len(f"{number} {name}") for name, number in names.items()) + 24
    columns = max(1, int((WIDTH - 2 * EDGE) / wide))
    places = [(i % columns, i // columns) for i in range(len(names))]
    width = min(wide, WIDTH / columns)
    shown = [
        {
            "x": round(EDGE + 8 + column * width),
            "y": 16 + line * LINE,
            "colour": (number - 1) % COLOURS,
            "text": f"{number} {_cut(name, LONGEST['method'])}",
        }
        for (name, number), (column, line) in zip(names.items(), places, strict=True)
    ]
    return shown, 16 + math.ceil(len(names) / columns) * LINE


def _band(group: Group, names: Mapping[str, int], top: int) -> dict[str, Any]:
    """The four charts of a group, with their places and their heading."""
    first, x, placed = group.rows[0], EDGE, []
    for chart, frame in panels(group.rows, names):
        placed.append({"chart": chart, "x": x, "frame": frame})
        x += frame.width
    images = counted(first["train_size"], "training image")
    over = dict.fromkeys(varied_text(row) for row in group.rows if row["dice_ci95"])
    return {
        "synthetic": group.synthetic,
        "heading": _cut(f"{first['backbone']} on {group.title}, {images}", LONGEST["heading"]),
        "intervals": f"95 % intervals over {' or '.join(over)}" if over else "no intervals",
        "comparison": _cut(group.comparison, LONGEST["comparison"]),
        "y": top + HEAD - 23,
        "top": top + HEAD,
        "charts": placed,
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
