"""Images are prepared for the network as they are checked, so that each is decoded once."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gpsseg.backbones import Facts
from gpsseg.config.finetune import SettledConfig
from gpsseg.data.cache import cache_folder
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import Keeper
from gpsseg.data.held import Held
from gpsseg.data.loader import CaseDataset, default_workers
from gpsseg.data.splits.split import Split
from gpsseg.engine.prompts import is_prompted
from gpsseg.processes import started


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Prepares the images of a run as its network is going to see them.

    Attributes:
        card: whose steps prepare them.
        side: of the square pictures, in pixels.
        prompted: whether the network is told of each image where its foreground is.
        folder: takes them, see ``cache_folder``.
        held: takes them where none are to be kept on disk.
    """

    card: Card
    side: int
    prompted: bool
    folder: Path | None
    held: Held | None

    def keeper(self, split: Split) -> Keeper:
        """What takes the images of a split, each as the dataset that reads it later asks for it."""
        dataset = CaseDataset((), self.card, self.side, cache=self.held or self.folder)
        trained = set(split.train)

        def keeping(case: Case) -> Callable[[np.ndarray, np.ndarray | None], None]:
            seen = self.prompted or case in trained  # others are scored at their own size
            return dataset.keeping(case if seen else dataclasses.replace(case, mask=None))

        return keeping


def preparation(
    config: SettledConfig, card: Card, facts: Facts, in_memory: bool = True
) -> Prepared:
    """How the images of a run with these settings and this network are prepared.

    Where none are kept on disk, memory takes them for a run of one process that reads alone or by
    forked workers; others, and those that are not to be held ``in_memory``, decode them anew.
    """
    folder = cache_folder(config.cache)
    seen = in_memory and started() == 1 and _shares_memory(config)
    held = Held() if folder is None and seen else None
    return Prepared(card, config.image_size, is_prompted(facts.prompt), folder, held)


def _shares_memory(config: SettledConfig) -> bool:
    """Whether the workers that read images, if there are any, see what this process holds."""
    usual = multiprocessing.get_all_start_methods()[0]
    begun = multiprocessing.get_start_method(allow_none=True) or usual
    workers = default_workers() if config.workers is None else config.workers
    return not workers or begun == "fork"
