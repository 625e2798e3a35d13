"""How every chart looks: its frame, its colours, and matplotlib's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib import rcParamsDefault


@dataclass(frozen=True)
class ChartFrame:
    """How large a drawing is, and how far its axes are from its edges, all in SVG units."""

    width: int = 400
    height: int = 250
    left: int = 52
    right: int = 12
    top: int = 14
    bottom: int = 42

    @property
    def across(self) -> int:
        """Width of the axes."""
        return self.width - self.left - self.right

    @property
    def up(self) -> int:
        """Height of the axes."""
        return self.height - self.top - self.bottom


PAGE = ChartFrame()  # of a chart on a page
RADIUS = 3.0  # of a point
LETTERS = 11.5  # height, as `.chart svg` of charts.css has it

# matplotlib draws in these stand-ins; the page's own variables (charts.css) take their places
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
