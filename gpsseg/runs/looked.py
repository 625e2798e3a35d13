"""The images of many runs are looked at once, before the first of them."""

from __future__ import annotations

from gpsseg.config.shared import PreparationConfig
from gpsseg.console import say
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import say_notes
from gpsseg.data.splits.leftovers import file_notes
from gpsseg.data.splits.split import Split
from gpsseg.runs.skipped import leave_out


def look_at_all(config: PreparationConfig, card: Card, split: Split) -> dict[Case, str]:
    """Read every image and mask of a split, and say what is worth saying of the set.

    A run looks at the images that it draws, which may be few of them: a mask that cannot be read
    would end a command at whichever of its runs draws it.

    Args:
        config: of the command.
        card: of the set.
        split: all images of the runs.

    Returns:
        What cannot be used, and why; empty unless ``--on-bad-image skip``.

    Raises:
        UserError: as ``gpsseg.data.checks.readable.check_cases``; or more than half of a part
            cannot be used.
    """
    for note in (*split.notes, *file_notes(card, config.data_root, config.anonymous_ids)):
        say(note, style="yellow")
    cases, skip = [*split.seen, *split.test], config.on_bad_image == "skip"
    found = zip(cases, say_notes(cases, config.anonymous_ids, skip), strict=True)
    bad = {case: each.error for case, each in found if each.error}
    if bad:
        leave_out(split, bad, config.anonymous_ids)
    return bad
