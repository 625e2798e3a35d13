"""One chart, drawn by matplotlib in data coordinates.

A new chart is a function that returns a ``Chart``, or None where there is too little to see::

    def bland_altman(means: Sequence[float], differences: Sequence[float], ...) -> Chart | None:
        if len(means) < 2:
            return None
        with drawing("Agreement of areas", in_words, "mean of both", "difference") as plot:
            plot.points(means, differences, [f"{id}: {d:+.2f}" for ...], faded=True)
            plot.rule(y=bias, text=f"bias {bias:+.2f}")
            plot.rule(y=low, text=f"lower limit {low:+.2f}")
            plot.rule(y=high, text=f"upper limit {high:+.2f}")
        return plot.chart

``plot.axes`` is matplotlib's, for limits and whatever else a chart needs. Text that comes from
outside (names of images, groups, runs) goes in only as texts and labels of ``Plot``'s methods.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import IdentityTransform

from gpsseg.report.charts.names import place_names
from gpsseg.report.charts.style import INKS, LETTERS, PAGE, RADIUS, ChartFrame, settings
from gpsseg.report.charts.svg import Mark, for_the_page

Numbers = Sequence[float]
UNIT = [0, 0.2, 0.4, 0.6, 0.8, 1]  # ticks of scores
PAD = 5  # SVG units from a rule to its text
NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True)
class Chart:
    """What a page prints.

    Attributes:
        title: heading.
        description: what is to be seen, in words, for those who cannot see it.
        svg: the drawing, which says title and description to screen readers.
    """

    title: str
    description: str
    svg: Markup


@contextmanager
def drawing(
    title: str, description: str, x_label: str, y_label: str, frame: ChartFrame = PAGE
) -> Iterator[Plot]:
    """Draw in this context; ``chart`` of what it gives is there after it."""
    with rc_context(settings()):
        plot = Plot(x_label, y_label, frame)
        yield plot
        plot.finish(title, description)


@dataclass
class Plot:
    """Axes and what is on them. All positions are data coordinates."""

    x_label: str
    y_label: str
    frame: ChartFrame = PAGE
    figure: Figure = field(init=False)
    axes: Axes = field(init=False)
    chart: Chart = field(init=False)
    _marks: dict[str, Mark] = field(default_factory=dict)
    _dots: list[tuple[PathCollection, list[str], str]] = field(default_factory=list)
    _names: list[tuple[float, float, str]] = field(default_factory=list)
    _rules: list[tuple[float | None, float | None, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """An empty frame."""
        of, width, height = self.frame, self.frame.width, self.frame.height
        self.figure = Figure(figsize=(width / 72, height / 72))
        place = (of.left / width, of.bottom / height, of.across / width, of.up / height)
        self.axes = self.figure.add_axes(place)
        self.axes.patch.set_visible(False)
        for axis, text in ((self.axes.xaxis, self.x_label), (self.axes.yaxis, self.y_label)):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axis.set_major_formatter("{x:g}")
            self._mark(axis.set_label_text("."), [text])
        middle = (of.left + of.across / 2) / width, (of.bottom + of.up / 2) / height
        self.axes.xaxis.set_label_coords(middle[0], 16 / height, self.figure.transFigure)
        self.axes.yaxis.set_label_coords(14 / width, middle[1], self.figure.transFigure)

    def bars(self, edges: Numbers, heights: Numbers, labels: Sequence[str]) -> None:
        """Bars from one edge to the next, with what each says when pointed at."""
        gap = 1.5 / self.frame.across * (edges[-1] - edges[0])
        for left, right, height, label in zip(edges, edges[1:], heights, labels, strict=False):
            if height:
                bar = self.axes.bar(left + gap / 2, height, right - left - gap, align="edge")
                bar[0].set_color(INKS["bar"])
                self._mark(bar[0], [label])

    def line(self, x: Numbers, y: Numbers, ink: str = "blue", name: str = "", at: int = -1) -> None:
        """A line; of ink "faint" a thin one, of "run0" to "run7" a run's.

        A name stands beside the point of index ``at``, the last one.
        """
        run = ink.startswith("run")
        (line,) = self.axes.plot(x, y, color=INKS["c" if run else ink])
        line.set_linewidth(1 if ink == "faint" else 2)
        if run:
            self._mark(line, (), ink)
        if name:
            self._names.append((x[at], y[at], name))

    def band(self, x: Numbers, low: Numbers, high: Numbers) -> None:
        """The area between two lines, such as an interval."""
        self.axes.fill_between(x, low, high, color=INKS["band"], linewidth=0)

    def points(
        self,
        x: Numbers,
        y: Numbers,
        labels: Sequence[str],
        *,
        ink: str = "blue",
        faded: bool = False,
        intervals: Sequence[Sequence[float] | None] = (),
        names: Sequence[str] = (),
    ) -> None:
        """Points with what each says when pointed at; those beyond the axes are left out.

        Args:
            x: where they are.
            y: where they are.
            labels: one each.
            ink: as a line's.
            faded: see through them, where many lie on each other.
            intervals: low and high end of an upright line through each, or None.
            names: what is written beside each.
        """
        there = [i for i, at in enumerate(zip(x, y, strict=True)) if all(map(math.isfinite, at))]
        for i in there if len(intervals) else ():
            if (ends := intervals[i]) is not None:
                self.line([x[i], x[i]], ends, "faint")
        run = ink.startswith("run")
        size, colour = (2 * RADIUS) ** 2, INKS["c" if run else ink]
        across, up = [x[i] for i in there], [y[i] for i in there]
        dots = self.axes.scatter(across, up, size, colour, linewidths=0)
        dots.set(alpha=0.45 if faded else None, clip_on=False, zorder=3)
        self._dots.append((dots, [labels[i] for i in there], ink if run else ""))
        self._names += [(x[i], y[i], names[i]) for i in there if len(names) and names[i]]

    def rule(self, *, x: float | None = None, y: float | None = None, text: str = "") -> None:
        """An upright line at ``x`` or a level one at ``y``, with a text beside it."""
        self._rules.append((x, y, text))
        looks: Any = {"color": INKS["rule"], "linewidth": 1.5, "linestyle": (0, (2.7, 2))}
        if x is not None:
            self.axes.axvline(x, **looks)
        if y is not None:
            self.axes.axhline(y, **looks)

    def scores(self, axis: str = "y") -> None:
        """An axis from 0 to 1."""
        self.axes.set(**{f"{axis}lim": (0, 1)})
        self._axis(axis).set_major_locator(FixedLocator(UNIT))

    def between(self, low: float, high: float) -> None:
        """A y axis from ``low`` to ``high``."""
        self.axes.set_ylim(low, high if high > low else low + 1)

    def counts(self, axis: str, most: float, parts: int = 5) -> None:
        """An axis from 0 to ``most`` whose ticks are whole numbers."""
        self.axes.set(**{f"{axis}lim": (0, most or 1)})
        whole = MaxNLocator(parts, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        self._axis(axis).set_major_locator(whole)

    def powers(
        self,
        values: Numbers,
        base: int,
        text: Callable[[float], str] = "{:g}".format,
        least: float = 0,
        room: float = 0,
    ) -> None:
        """A logarithmic x axis from power to power, around all values.

        Args:
            values: what it must show, above 0.
            base: of the powers.
            text: of a tick.
            least: no tick is below.
            room: free powers on the right, for names; a little is free on the left, too.
        """
        powers = [math.log(value, base) for value in values]
        first = math.floor(min(powers) + (-0.1 if room else 1e-9))
        last = max(first + 1, math.ceil(max(powers) - 1e-9))
        ticks = [float(base) ** power for power in range(first, last + 1)]
        self.axes.set_xscale("log", base=base)
        self.axes.set_xlim(ticks[0], float(base) ** (last + room))
        self.axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick >= least]))
        self.axes.xaxis.set_minor_locator(NullLocator())
        self.axes.xaxis.set_major_formatter(lambda tick, _: text(tick))

    def finish(self, title: str, description: str) -> None:
        """Write names and texts where the axes now leave room, and make the chart."""
        self.axes.set(xlim=self.axes.get_xlim(), ylim=self.axes.get_ylim())  # now they stay
        for dots, labels, style in self._dots:
            places = np.asarray(dots.get_offsets())
            inside = [i for i, (x, y) in enumerate(places) if self._inside(x, y)]
            dots.set_offsets(places[inside])
            self._mark(dots, [labels[i] for i in inside], style)
        self._write_names()
        for x, y, text in self._rules:
            if text:
                self._write_rule(x, y, text)
        buffer = io.StringIO()
        FigureCanvasSVG(self.figure).print_svg(buffer, metadata=NOTHING)
        spoken = f"{title}. {description}"
        svg = for_the_page(buffer.getvalue(), spoken, self._marks, self.frame)
        self.chart = Chart(title, description, svg)

    def _write_names(self) -> None:
        """Each name beside its point, with a line to it where it had to move away."""
        seen = [
            self._place(x, y) for dots, *_ in self._dots for x, y in np.asarray(dots.get_offsets())
        ]
        shown = [(self._place(x, y), text) for x, y, text in self._names if self._inside(x, y)]
        at, texts = [place for place, _ in shown], [text for _, text in shown]
        names = place_names(texts, at, seen, self.frame)
        for (dot_x, dot_y), (x, y, end, text) in zip(at, names, strict=True):
            if y != dot_y:
                up = [self.frame.height - dot_y, self.frame.height - y]
                still = IdentityTransform()
                self.axes.plot([dot_x, x], up, color=INKS["faint"], linewidth=1, transform=still)
            self._write(text, x, y, "left" if end == "start" else "right", "ink")

    def _write_rule(self, x: float | None, y: float | None, text: str) -> None:
        """Beside the top of an upright rule, over the end of a level one."""
        (across, down), of = self._place(x or 0, y or 0), self.frame
        if x is None:
            under = down < of.top + 2 * LETTERS
            self._write(
                text, of.width - of.right, down + (9 if under else -7), "right", "rule-text"
            )
        else:
            right = across < of.width / 2
            side = "left" if right else "right"
            self._write(text, across + (PAD if right else -PAD), of.top + 2, side, "rule-text")

    def _axis(self, name: str) -> Axis:
        return self.axes.xaxis if name == "x" else self.axes.yaxis

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """A point in SVG units."""
        across, up = self.axes.transData.transform((x, y))
        return round(float(across), 1), round(self.frame.height - float(up), 1)

    def _inside(self, x: float, y: float) -> bool:
        """Whether a point is on the axes, or at their edge."""
        (across, down), of = self._place(x, y), self.frame
        inside = of.left - 1 <= across <= of.left + of.across + 1
        return inside and of.top - 1 <= down <= of.top + of.up + 1

    def _write(self, text: str, x: float, y: float, side: str, ink: str) -> None:
        """A text whose middle is at ``y`` and whose ``side`` is at ``x``, in SVG units."""
        place = (x, self.frame.height - y - 4)
        written = self.axes.annotate(".", place, xycoords="figure points", ha=side, color=INKS[ink])
        self._mark(written, [text], "halo")

    def _mark(self, artist: Artist, words: Sequence[str], style: str = "") -> None:
        """Remember what an artist says, and its class in the style sheet."""
        name = f"mark{len(self._marks)}"
        artist.set_gid(name)
        self._marks[name] = Mark(style, words)
