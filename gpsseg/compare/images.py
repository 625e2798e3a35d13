"""The images of a comparison: all are looked at once, before the first of many runs."""

from __future__ import annotations

from collections.abc import Sequence

from gpsseg.compare.cells import Cell, run_of
from gpsseg.config.compare import CompareConfig
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.split import make_split
from gpsseg.runs.looked import look_at_all


def check_images(config: CompareConfig, trials: Sequence[Cell]) -> None:
    """Look at every image and mask of the split, unless that was done.

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
    look_at_all(config, card, split)
