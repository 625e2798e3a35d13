"""What is no fault of a set's masks but worth a line, in the same words in every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.data.formats.levels import Marked
from gpsseg.errors import counted, few

FULL = 0.98  # share of foreground from which on a mask marks everything
FRAMED = 0.5  # share of the border from which on foreground and ground may be swapped


@dataclass(frozen=True)
class Seen:
    """What one mask is like.

    Attributes:
        name: of its file.
        share: of its pixels that are foreground.
        border: share of the pixels at its border that are.
        grey: share that were neither of its two levels.
        turned: whether its image is turned by its EXIF orientation.
        classes, level: as in ``Marked``.
    """

    name: str
    share: float
    border: float
    grey: float = 0.0
    turned: bool = False
    classes: frozenset[int] = frozenset()
    level: float | None = None


def look(path: Path, marked: Marked, turned: bool = False) -> Seen:
    """What is worth knowing of a mask: (H, W), or (D, H, W), whose slices have the borders."""
    mask = marked.mask
    sides = [mask[..., 0, :], mask[..., -1, :], mask[..., :, 0], mask[..., :, -1]]
    border = float(np.concatenate([side.ravel() for side in sides]).mean())
    return Seen(
        path.name, float(mask.mean()), border, marked.grey, turned, marked.classes, marked.level
    )


def notices(seen: Sequence[Seen], anonymous: bool = False) -> list[str]:
    """One line for each thing worth knowing: how many masks, and the first few names.

    Args:
        seen: of all masks.
        anonymous: whether to leave out the names.
    """
    most = max((each.grey for each in seen), default=0)
    kinds: list[tuple[str, Callable[[Seen], bool]]] = [
        ("all black, which counts as an image without lesion", lambda s: s.share == 0),
        ("all foreground, or nearly", lambda s: s.share >= FULL),
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
    levels = Counter(each.level for each in seen if each.level is not None)
    if len(levels) > 1:
        listed = ", ".join(f"{level:g} in {count}" for level, count in sorted(levels.items())[:8])
        lines.append(f"note: the foreground's value is {listed} of the masks; are these classes?")
    return lines


def lone_notice(names: Sequence[str], anonymous: bool = False, what: str = "image") -> list[str]:
    """The line for masks without partner; no line where there are none."""
    text = counted(
        len(names), f"mask has no {what} and is not used", f"masks have no {what} and are not used"
    )
    return [_line(text, names, anonymous)] if names else []


def _line(text: str, names: Sequence[str], anonymous: bool) -> str:
    return f"note: {text}{'.' if anonymous else f' ({few(names)}).'}"
