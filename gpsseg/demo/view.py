"""What the page's controls say, and what it is to show for it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from gpsseg.errors import UserError
from gpsseg.faults import is_out_of_memory

UNFORESEEN = "This could not be done. The console of the demo says why."


@dataclass(frozen=True)
class Asked:
    """What the controls say.

    Attributes:
        task: its place among the tasks.
        slice: counted from 1.
        threshold: of the probability of foreground.
        opacity: of the tint inside of a mask.
    """

    task: int = 0
    slice: int = 1
    threshold: float = 0.5
    opacity: float = 0.25


@dataclass(frozen=True)
class View:
    """What the page is to show; as it stands here, nothing.

    Attributes:
        name: of what was dropped.
        before: picture of what the base finds.
        after: picture of what the tuned network finds.
        before_says: how much the former marks.
        after_says: how much the latter marks.
        slices: how many there are.
        slice: that is shown, counted from 1.
        mask: file to download.
        overlay: file to download.
        hint: what the visitor is to do next, or to know.
        error: what went wrong, in a sentence.
        of_all: whether all slices can be segmented at once.
    """

    name: str = ""
    before: Path | None = None
    after: Path | None = None
    before_says: str = ""
    after_says: str = ""
    slices: int = 0
    slice: int = 1
    mask: Path | None = None
    overlay: Path | None = None
    hint: str = ""
    error: str = ""
    of_all: bool = False


def sentence_of(error: Exception) -> str:
    """What a visitor is told of an error; what nobody foresaw is on the console alone."""
    if isinstance(error, UserError):
        return str(error)
    if is_out_of_memory(error):
        return "This does not fit into memory. Drop a smaller one."
    traceback.print_exception(error)
    return UNFORESEEN
