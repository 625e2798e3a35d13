"""Images that are left out as they cannot be used: said loudly, listed, and never most of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        split: as it was drawn, perhaps without some that were left out before.
        bad: which cases cannot be used, and why.
        anonymous: whether the reasons, which name files, are not kept.

    Raises:
        UserError: it is more than half of a part.
    """
    skipped: list[Skipped] = []
    for part in PARTS:
        cases = getattr(split, part)
        new = [case for case in cases if case in bad]
        before = [each.id for each in split.skipped if each.part == part]
        gone, of = [*before, *(case.id for case in new)], len(cases) + len(before)
        if 2 * len(gone) > of:
            faults = "" if anonymous else first_of([(case.id, bad[case]) for case in new])
            raise UserError(
                f"{len(gone)} of {counted(of, f'{part} image')} cannot be used, and "
                "--on-bad-image skip leaves out half of a part at most. Correct them.",
                *filter(None, faults.split("\n")),
            )
        if gone:
            _tell(part, gone, of)
        skipped += [Skipped(c.id, part, NAMELESS if anonymous else bad[c]) for c in new]
    return split.without(skipped)


def _tell(part: str, gone: Sequence[str], of: int) -> None:
    names = few(gone)
    say(f"skipped: {len(gone)} of {of} {part} images cannot be used: {names}", style="yellow")
    if part == "test":
        say(
            f"SCORES ARE OVER {of - len(gone)} OF {of} TEST IMAGES: the others were skipped, so "
            "that these scores are no others' to compare with.",
            style="bold yellow",
        )
