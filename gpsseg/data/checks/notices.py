"""What is no fault of a set's masks but worth a line, in the same words in every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.data.formats.levels import Marked, grounds_of
from gpsseg.errors import counted, few

FULL = 0.98  # share of foreground from which on a mask marks everything
FRAMED = 0.5  # share of the border from which on foreground and ground may be swapped


@dataclass(frozen=True)
class MaskFacts:
    """What one mask is like.

    Attributes:
        name: of its file.
        share: of its pixels that are foreground.
        border: share of the pixels at its border that are.
        grey: share that were neither of its two levels.
        turned: whether its image is turned by its EXIF orientation.
        classes, level, ground, shade, held: as in ``Marked``.
    """

    name: str
    share: float
    border: float
    grey: float = 0.0
    turned: bool = False
    classes: frozenset[int] = frozenset()
    level: float | None = None
    ground: float | None = None
    shade: float | None = None
    held: frozenset[float] = frozenset()

    @property
    def pair(self) -> tuple[float, float] | None:
        """The mask's two levels, (lower, higher), if it has two."""
        return None if self.level is None or self.ground is None else (self.ground, self.level)


def border_share(mask: np.ndarray) -> float:
    """The share of a mask's border that is foreground: (H, W), or (D, H, W), by its slices."""
    sides = [mask[..., 0, :], mask[..., -1, :], mask[..., :, 0], mask[..., :, -1]]
    return float(np.concatenate([side.ravel() for side in sides]).mean())


def mask_facts(path: Path, marked: Marked, turned: bool = False) -> MaskFacts:
    """What is worth knowing of a mask: (H, W), or (D, H, W), whose slices have the borders."""
    return MaskFacts(
        path.name,
        float(marked.mask.mean()),
        border_share(marked.mask),
        marked.grey,
        turned,
        marked.classes,
        marked.level,
        marked.ground,
        marked.shade,
        marked.held,
    )


def notices(seen: Sequence[MaskFacts], anonymous: bool = False) -> list[str]:
    """One line for each thing worth knowing: how many masks, and the first few names.

    Args:
        seen: of all masks.
        anonymous: whether to leave out the names.
    """
    grounds = grounds_of([each.pair for each in seen if each.pair])
    shades = Counter(each.shade for each in seen if each.shade is not None)
    most = max((each.grey for each in seen), default=0)
    kinds: list[tuple[str, Callable[[MaskFacts], bool]]] = [
        ("all black, which counts as an image without lesion", lambda s: s.share == 0),
        ("all foreground, or nearly", lambda s: s.share >= FULL),
        (
            "of one value that is the background in others, but read as all foreground; save all "
            "of a set with the same two levels",
            lambda s: s.level is None and s.ground in grounds and s.share > 0,
        ),
        (
            "one exact third level between the two along a border; is it a class?",
            lambda s: s.shade is not None and shades[s.shade] > 1,
        ),
        (
            "foreground (the higher level) along most of the border; are the levels swapped?",
            lambda s: s.border > FRAMED and s.share < FULL,
        ),
        (
            f"more than two levels (up to {most:.1%} of the pixels), cut in the middle",
            lambda s: s.grey > 0,
        ),
        (
            "their images are turned by their EXIF orientation; are they turned too?",
            lambda s: s.turned,
        ),
    ]
    lines = []
    for text, is_so in kinds:
        if names := [each.name for each in seen if is_so(each)]:
            lines.append(
                _line(f"{len(names)} of {counted(len(seen), 'mask')}: {text}", names, anonymous)
            )
    return lines + level_notice([each.level for each in seen if each.level is not None])


def level_notice(levels: Sequence[float], what: str = "masks") -> list[str]:
    """The line for masks whose foreground has several values; no line where it has one."""
    found = Counter(levels)
    if len(found) < 2:
        return []
    listed = ", ".join(f"{level:g} in {count}" for level, count in sorted(found.items())[:8])
    return [f"note: the foreground's value is {listed} of the {what}; are these classes?"]


def lone_notice(names: Sequence[str], anonymous: bool = False, what: str = "image") -> list[str]:
    """The line for masks without partner; no line where there are none."""
    text = counted(
        len(names), f"mask has no {what} and is not used", f"masks have no {what} and are not used"
    )
    return [_line(text, names, anonymous)] if names else []


def _line(text: str, names: Sequence[str], anonymous: bool) -> str:
    return f"note: {text}{'.' if anonymous else f' ({few(names)}).'}"
