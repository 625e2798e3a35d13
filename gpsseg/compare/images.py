"""The images of a comparison: all are looked at once, before the first of many runs."""

from __future__ import annotations

from collections.abc import Sequence

from gpsseg.compare.cells import Cell, run_of
from gpsseg.config.compare import CompareConfig
from gpsseg.console import say, working
from gpsseg.data.cards.own import card_of
from gpsseg.data.checks.readable import say_notes
from gpsseg.data.splits.leftovers import file_notes
from gpsseg.data.splits.split import make_split
from gpsseg.runs.skipped import leave_out


def check_images(config: CompareConfig, trials: Sequence[Cell]) -> None:
    """Read every image and mask of the split, and say what is worth saying of the set.

    A run looks at the images that it draws, which may be few of them: a mask that cannot be read
    would end the comparison at whatever seed draws it.

    Args:
        config: of the comparison.
        trials: all of its trials; where each is finished, nothing is looked at again.

    Raises:
        UserError: as ``gpsseg.data.checks.readable.check_cases``, or ``make_split``.
    """
    if all(run_of(cell, config).cell.is_file() for cell in trials):
        return
    card = card_of(config)
    with working("looking for images"):
        split = make_split(
            card, config.data_root, None, config.val_share, config.seeds[0], config.split
        )
    for note in file_notes(card, config.data_root, config.anonymous_ids):
        say(note, style="yellow")
    cases, skip = [*split.train, *split.val, *split.test], config.on_bad_image == "skip"
    found = zip(cases, say_notes(cases, config.anonymous_ids, skip), strict=True)
    if bad := {case: each.error for case, each in found if each.error}:
        leave_out(split, bad, config.anonymous_ids)
