"""Images of another scale than a run was trained on: its range shows them all white, or all black.

Nothing is changed for it, as what an image is shown like must not depend on its neighbours; but it
is said, since the masks are then worth nothing.
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
        trained: what is black and what is white.
        top: the largest value.
        middle: the median.
    """

    name: str
    trained: Range
    top: float
    middle: float

    @property
    def above(self) -> bool:
        """Whether it goes above: by one value where the range is one of bits, else by half."""
        low, high = self.trained
        return (self.top if low == 0 and high in TOPS else self.middle) > high

    @property
    def below(self) -> bool:
        """Whether all of it is nearly black."""
        low, high = self.trained
        return self.top < low + (high - low) / DARK


@dataclass
class Reaches:
    """Gathers what the images of more than 8 bits hold while they are read, by their files.

    Attributes:
        greys: of the run.
        found: of each file that a range of the run is for; of several pages the last brightest.
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
    """How far an image goes; None where the run has no range for it."""
    if seen is None or greys.old:
        return None
    trained = greys.real if seen.real else greys.whole
    if trained is None:
        return None
    return Reach(name, trained, seen.ends[1], float(np.median(seen.sample)))


def range_notes(reaches: Iterable[Reach | None], anonymous: bool = False) -> list[str]:
    """A line where images reach above their run's range, or where all stay far below it.

    Args:
        reaches: of all images.
        anonymous: whether to leave out the names.
    """
    kinds: dict[Range, list[Reach]] = {}
    for each in reaches:
        if each is not None:
            kinds.setdefault(each.trained, []).append(each)
    lines = []
    for same in kinds.values():
        if above := [each for each in same if each.above]:
            lines.append(_line(above, "what lies above is shown white", anonymous))
        elif all(each.below for each in same):
            lines.append(_line(same, "they are shown nearly black", anonymous))
    return lines


def _line(reaches: Sequence[Reach], how: str, anonymous: bool) -> str:
    low, high = reaches[0].trained
    names = "" if anonymous else f": {few(each.name for each in reaches)}"
    return (
        f"note: {counted(len(reaches), 'image holds', 'images hold')} values up to "
        f"{max(each.top for each in reaches):g}, the run was trained on {low:g} to {high:g}: "
        f"{how}. Bring them to the scale of the training images{names}"
    )
