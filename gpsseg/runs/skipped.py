"""Images that are left out as they cannot be used: said loudly, listed, and never most of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gpsseg.console import say
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import first_of
from gpsseg.data.splits.drawn import Skipped
from gpsseg.data.splits.files import PARTS
from gpsseg.data.splits.split import Split
from gpsseg.errors import UserError, counted, few

NAMELESS = "its image or its mask cannot be read, or they do not match"


def leave_out(split: Split, bad: Mapping[Case, str], anonymous: bool = False) -> Split:
    """The split without images that cannot be used; its ids and its hash stay those of the split.

    Args:
        split: as it was drawn.
        bad: which cases cannot be used, and why.
        anonymous: whether the reasons, which name files, are not kept.

    Raises:
        UserError: it is more than half of a part.
    """
    kept: dict[str, tuple[Case, ...]] = {}
    skipped: list[Skipped] = []
    for part in PARTS:
        cases = getattr(split, part)
        gone = [case for case in cases if case in bad]
        kept[part] = tuple(case for case in cases if case not in bad)
        if 2 * len(gone) > len(cases):
            faults = "" if anonymous else "\n" + first_of([(c.id, bad[c]) for c in gone])
            raise UserError(
                f"{len(gone)} of {counted(len(cases), f'{part} image')} cannot be used, and "
                f"--on-bad-image skip leaves out half of a part at most. Correct them.{faults}"
            )
        if gone:
            _tell(part, gone, len(cases))
        skipped += [Skipped(c.id, part, NAMELESS if anonymous else bad[c]) for c in gone]
    train, val, test = (kept[part] for part in ("train", "val", "test"))
    return dataclasses.replace(
        split, train=train, val=val, test=test, listed=split.ids, skipped=tuple(skipped)
    )


def _tell(part: str, gone: list[Case], of: int) -> None:
    names = few(case.id for case in gone)
    say(f"skipped: {len(gone)} of {of} {part} images cannot be used: {names}", style="yellow")
    if part == "test":
        say(
            f"SCORES ARE OVER {of - len(gone)} OF {of} TEST IMAGES: the others were skipped, so "
            "that these scores are no others' to compare with.",
            style="bold yellow",
        )
