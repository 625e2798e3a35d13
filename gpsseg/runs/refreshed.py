"""Selecting anew during a run: by which images and rule, and what its files tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.written import Json, Selected
from gpsseg.console import say
from gpsseg.engine.machine import Machine
from gpsseg.engine.refresh import Refresh
from gpsseg.evaluators.words import refresh_words
from gpsseg.files import is_main_process
from gpsseg.gps import Selection
from gpsseg.processes import by_main
from gpsseg.reading import read_object
from gpsseg.runs.data import Data
from gpsseg.runs.delta_facts import facts_of_selection
from gpsseg.runs.method import of_selection
from gpsseg.runs.scores import scored_images
from gpsseg.runs.selection import choose_again, save_selection, trainable_counts

SEEDS = 1_000_003  # from the seed of one selection to that of the next


class Refreshed:
    """Selects anew as the run has selected first, and keeps the union of what it selected.

    Args:
        backbone: prepared, sparse by the first selection.
        selection: that one, or the union so far where a run goes on.
        data: whose training images are scored.
        config: says how.
        machine: where to score.
        run: which has the first selection; it gets the union when the training has ended.

    Attributes:
        counts: as in metrics.json, of all that has ever trained, when the training has ended.
        facts: the same for the delta's metadata.
    """

    def __init__(
        self,
        backbone: Backbone,
        selection: Selection,
        data: Data,
        config: SettledConfig,
        machine: Machine,
        run: RunFolder,
    ) -> None:
        settings = of_selection(config)
        assert settings is not None
        self._backbone, self._settings, self._machine, self._run = backbone, settings, machine, run
        self._whole = selection.dense
        self._images = scored_images(data, config)
        self._first: Json = by_main(lambda: read_object(run.layers, Selected))
        self.counts: dict[str, Any] = {}
        self.facts: dict[str, str] = {}

    def every(self, updates: int) -> Refresh:
        """What a training has to know to select anew after so many updates."""
        return Refresh(updates, self.select, self.keep, self._machine.precision == "bf16")

    def select(self, number: int) -> Selection:
        """Select anew, for which time (from 1)."""
        seed = (self._settings.seed + SEEDS * number) % 2**32
        settings, at_once = replace(self._settings, seed=seed), self._first.get("at_once", 1)
        to = settings, self._machine, at_once, self._whole
        return choose_again(self._backbone, self._images, *to)

    def keep(self, union: Selection, times: int, at_a_time: int) -> None:
        """Let the run's files tell of all that has ever trained, see ``Refreshing``."""
        layers = with_selected(self._first["layers"], union)
        made = {"at_a_time": at_a_time, "refreshes": times}
        self.counts = trainable_counts(layers) | made
        self.facts = facts_of_selection(union, self.counts)
        total, share = self.counts["total"], self.counts["share_of_total"]
        kept = f"{total:,} have trained by the epoch that is kept ({share:.2%})"
        say(f"{refresh_words(self.counts)}: {kept}")
        if is_main_process():
            save_selection(self._run, union, layers, {**self._first, **made})


def with_selected(layers: Sequence[Json], selection: Selection) -> list[Json]:
    """The layers of selection.json with the counts of another selection."""
    found: Counter[str] = Counter()
    for name, index in selection.indices.items():
        found[name.rpartition(".")[0]] += len(index)
    return [{**row, "selected": found[row["layer"]]} for row in layers]
