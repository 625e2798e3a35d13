"""The images of a comparison: all are looked at once, before the first of many runs."""

from __future__ import annotations

from collections.abc import Sequence

from gpsseg.compare.cells import Cell, run_of
from gpsseg.config.compare import CompareConfig
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.parts import Wanted, carve_parts
from gpsseg.data.splits.split import uncarved
from gpsseg.runs.looked import look_at_all


def check_images(config: CompareConfig, trials: Sequence[Cell]) -> None:
    """Look at every image and mask of the split, and draw each seed's, unless that was done.

    Args:
        config: of the comparison.
        trials: all of its trials; where each is finished, nothing is looked at again.

    Raises:
        UserError: as ``gpsseg.data.checks.readable.check_cases``, or ``make_split``; or a seed has
            fewer training images than the largest run is to have.
    """
    if all(run_of(cell, config).cell.is_file() for cell in trials):
        return
    card = card_of(config)
    with working("looking for images"):
        of, rule, parts = uncarved(card, config.data_root, config.split)
        most, share = max(config.train_sizes, default=None), config.val_share
        for seed in config.seeds:
            carve_parts(of, card, rule, parts, Wanted(most, share, seed, option="--train-sizes"))
        split = carve_parts(of, card, rule, parts, Wanted(None, share, config.seeds[0]))
    look_at_all(config, card, split)
