"""How every chart looks: its frame, its colours, and matplotlib's settings."""

from __future__ import annotations

from typing import Any

from matplotlib import rcParamsDefault

WIDTH, HEIGHT = 400, 250  # SVG units
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 42  # from the frame to the axes
RADIUS = 3.0  # of a point
LETTERS = 11.5  # height, as `.chart svg` of report.css has it

# matplotlib draws in these stand-ins; the page's own variables (report.css) take their places
INKS = {
    name: f"#fe00{i:02x}"
    for i, name in enumerate(
        ("ink", "muted", "blue", "bar", "faint", "band", "grid", "axis", "rule", "rule-text", "c")
    )
}


def settings() -> Any:
    """RcParams for one drawing, which nobody's own matplotlibrc changes.

    Fonts are only measured: the page sets its own, and text stays text.
    """
    return {
        **{k: v for k, v in dict(rcParamsDefault).items() if k != "backend"},
        "svg.fonttype": "none",
        "svg.hashsalt": "gpsseg",
        "font.family": "DejaVu Sans",
        "font.size": LETTERS,
        "figure.dpi": 72,
        "figure.frameon": False,
        "axes.edgecolor": INKS["axis"],
        "axes.labelcolor": INKS["muted"],
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.linewidth": 1,
        "axes.spines.left": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": INKS["grid"],
        "grid.linewidth": 1,
        "lines.linewidth": 2,
        "lines.solid_capstyle": "round",
        "xtick.color": INKS["axis"],
        "xtick.labelcolor": INKS["muted"],
        "ytick.labelcolor": INKS["muted"],
        "xtick.major.size": 4,
        "xtick.major.width": 1,
        "xtick.major.pad": 5,
        "ytick.major.size": 0,
        "ytick.major.pad": 6,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
    }
