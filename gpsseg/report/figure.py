"""A figure of comparisons, as an SVG of its own: mDice against share, delta, step time, memory.

Of a comparison that was also scored on other sets, what it gained against what it kept, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.errors import counted
from gpsseg.evaluators.words import varied_text
from gpsseg.report.charts.of_compare import share_drawn
from gpsseg.report.charts.of_costs import COLOURS, FIRST, panels
from gpsseg.report.charts.of_kept import kept_charts
from gpsseg.report.charts.style import PAGE
from gpsseg.report.comparisons import Group, read_groups, refuse_twice
from gpsseg.report.page import fill_template, styles

WIDTH, EDGE = 800, 6  # SVG units
LETTER, LINE, HEAD = 6.6, 18, 40  # width of a letter, and heights of a legend's line and a heading
LONGEST = {"heading": 70, "kept": 100, "comparison": 26, "method": 110}  # letters


def draw_figure(comparisons: Sequence[Path]) -> str:
    """The SVG: rows of charts for each training size of each comparison, and one legend.

    Args:
        comparisons: see ``gpsseg.report.comparisons.read_groups``.

    Raises:
        UserError: one is no comparison, or two hold the same.
    """
    read = {path: read_groups(path) for path in comparisons}
    refuse_twice(read)
    groups = [group for its in read.values() for group in its]
    found = dict.fromkeys(row["name"] for group in groups for row in group.rows)
    names = {name: number for number, name in enumerate(found, 1)}
    legend, top = _legend(names)
    bands: list[dict[str, Any]] = []
    bottom = top
    for group in groups:
        for band, height in ((_band(group, names), FIRST.height), *_kept_bands(group)):
            bands.append({**band, "y": bottom + HEAD - 23, "top": bottom + HEAD})
            bottom += HEAD + height
    context = {
        "width": WIDTH,
        "unseen": [name for name in names if _leaves_the_encoder(groups, name)],
        "edge": EDGE,
        "height": bottom + LINE,
        "chart_styles": styles("charts.css"),
        "legend": legend,
        "bands": bands,
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


def _band(group: Group, names: Mapping[str, int]) -> dict[str, Any]:
    """The four charts of a group, with their places from left to right and their heading."""
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
        "charts": placed,
    }


def _kept_bands(group: Group) -> Iterator[tuple[dict[str, Any], int]]:
    """What was gained against what was kept, a place at a time; and how high each is."""
    for kept in group.kept:
        elsewhere = [place for place in kept.places if not place["usual"]]
        for place, chart in zip(elsewhere, kept_charts([kept]), strict=True):
            yield (
                {
                    "synthetic": group.synthetic,
                    "heading": _cut(chart.title, LONGEST["kept"]),
                    "intervals": f"{counted(place['images'], 'image')}; 95 % intervals as above",
                    "comparison": "",
                    "charts": [{"chart": chart, "x": EDGE, "frame": PAGE}],
                },
                PAGE.height,
            )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
