"""Where the names of points stand in a chart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from gpsseg.report.charts.style import PAGE, RADIUS, ChartFrame

LINE_HEIGHT, LETTER = 11.0, 7.0  # of a name, no less than they take
GAP = 6.0  # from the middle of a point to its name

Point = tuple[float, float]
Name = tuple[float, float, str, str]  # x, y, which end of the text is at x, text


class Box(NamedTuple):
    """What a name or a point takes of a chart."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether some of this box lies on the other."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def axes_of(frame: ChartFrame) -> Box:
    """What the axes take of a drawing."""
    return Box(frame.left, frame.left + frame.across, frame.top, frame.top + frame.up)


def place_names(
    names: Sequence[str], at: Sequence[Point], points: Sequence[Point], frame: ChartFrame = PAGE
) -> list[Name]:
    """Write each name on a side of its point, as near as it covers no point and no other name.

    Where a name has no room at all, it stands on what is there.

    Args:
        names: what to write.
        at: x and y of the point that each name belongs to, in SVG units.
        points: x and y of all points.
        frame: of the drawing.

    >>> place_names(["a", "b", "c"], [(100, 50.0), (100, 52.0), (380, 50.0)], [(110, 52.0)])
    [(94.0, 50.0, 'end', 'a'), (106.0, 63.0, 'start', 'b'), (374.0, 50.0, 'end', 'c')]
    """
    axes, lines = axes_of(frame), range(math.ceil(frame.up / LINE_HEIGHT))
    shifts = sorted({sign * LINE_HEIGHT * line for line in lines for sign in (1, -1)}, key=abs)
    taken = [Box(x - RADIUS, x + RADIUS, y - RADIUS, y + RADIUS) for x, y in points]
    placed = []
    for text, (x, y) in zip(names, at, strict=True):
        sides = [(x + GAP, "start"), (x - GAP, "end")]
        tried = [(*side, shift) for shift, side in itertools.product(shifts, sides)]
        found = [(beside, y + shift, end, text) for beside, end, shift in tried]
        name = next((each for each in found if _is_free(box_of(each), axes, taken)), found[0])
        placed.append(name)
        taken.append(box_of(name))
    return placed


def box_of(name: Name) -> Box:
    """What a name takes, at most."""
    x, y, end, text = name
    left = x if end == "start" else x - LETTER * len(text)
    return Box(left, left + LETTER * len(text), y - LINE_HEIGHT / 2, y + LINE_HEIGHT / 2)


def _is_free(box: Box, axes: Box, taken: Sequence[Box]) -> bool:
    inside = axes.left < box.left and box.right < axes.right
    inside = inside and axes.top < box.top and box.bottom < axes.bottom
    return inside and not any(box.meets(other) for other in taken)
