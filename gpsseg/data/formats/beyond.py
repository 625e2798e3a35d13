"""Images of another scale than a run was trained on: its range shows them all white, or all black.

Or it has no range for them, as it was trained on 8 bits: then each is shown by its own. Nothing is
changed for it, as what an image is shown like must not depend on its neighbours; but it is said,
since the masks may then be worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpsseg.data.formats.greys import TOPS, Depth, Greys, Range, depth_of
from gpsseg.errors import counted, few

DARK = 8  # images that stay below this part of the range are nearly black


@dataclass(frozen=True)
class Reach:
    """How far the values of an image go, beside the range that it is shown by.

    Attributes:
        name: of the file.
        trained: what is black and what is white; None where the run does not say.
        top: the largest value.
        middle: the median.
    """

    name: str
    trained: Range | None
    top: float
    middle: float

    @property
    def above(self) -> bool:
        """Whether it goes above: by one value where the range is one of bits, else by half."""
        if self.trained is None:
            return False
        low, high = self.trained
        return (self.top if low == 0 and high in TOPS else self.middle) > high

    @property
    def below(self) -> bool:
        """Whether all of it is nearly black."""
        if self.trained is None:
            return False
        low, high = self.trained
        return self.top < low + (high - low) / DARK


@dataclass
class Reaches:
    """Gathers what the images of more than 8 bits hold while they are read, by their files.

    Attributes:
        greys: of the run.
        found: of each file; of several pages the last brightest.
    """

    greys: Greys
    found: dict[Path, Reach] = field(default_factory=dict)

    def add(self, path: Path, values: np.ndarray) -> None:
        """Take an image as it is stored, (H, W) or (H, W, 3)."""
        reach = reach_of(path.name, depth_of(values), self.greys)
        known = self.found.get(path)
        if reach is not None and (known is None or known.top <= reach.top):
            self.found[path] = reach

    def notes(self) -> list[str]:
        """What is worth a line."""
        return range_notes([self.found[path] for path in sorted(self.found)])


def reach_of(name: str, seen: Depth | None, greys: Greys) -> Reach | None:
    """How far an image goes; None of 8 bits, and where version 0.1 shows each alone."""
    if seen is None or greys.old:
        return None
    trained = greys.real if seen.real else greys.whole
    return Reach(name, trained, seen.ends[1], float(np.median(seen.sample)))


def range_notes(reaches: Iterable[Reach | None], anonymous: bool = False) -> list[str]:
    """A line where images reach above their run's range, all stay far below it, or have none.

    Args:
        reaches: of all images.
        anonymous: whether to leave out the names.
    """
    kinds: dict[Range | None, list[Reach]] = {}
    for each in reaches:
        if each is not None:
            kinds.setdefault(each.trained, []).append(each)
    lines = []
    for trained, same in kinds.items():
        if trained is None:
            lines.append(_line_of_own(same, anonymous))
        elif above := [each for each in same if each.above]:
            lines.append(_line(above, trained, "what lies above is shown white", anonymous))
        elif all(each.below for each in same):
            lines.append(_line(same, trained, "they are shown nearly black", anonymous))
    return lines


def _line_of_own(reaches: Sequence[Reach], anonymous: bool) -> str:
    holds = counted(len(reaches), "image holds", "images hold")
    return (
        f"note: {holds} more than 8 bits, and no training image holds such numbers: each is shown "
        "by its own range (whole numbers from 0 on by the fewest of 8, 10, 12, 14 and 16 bits that "
        "hold it, others by its percentiles), so one value may be of another brightness in each. "
        f"Save all as 8 bits, by one scale{_names(reaches, anonymous)}"
    )


def _names(reaches: Sequence[Reach], anonymous: bool) -> str:
    return "" if anonymous else f": {few(each.name for each in reaches)}"


def _line(reaches: Sequence[Reach], trained: Range, how: str, anonymous: bool) -> str:
    low, high = trained
    return (
        f"note: {counted(len(reaches), 'image holds', 'images hold')} values up to "
        f"{max(each.top for each in reaches):g}, the run was trained on {low:g} to {high:g}: "
        f"{how}. Bring them to the scale of the training images{_names(reaches, anonymous)}"
    )
