"""What predicts: the network of a run, or those of a study's folds, which take turns in one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpsseg.backbones import Backbone, Facts
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.told import together_asked
from gpsseg.engine.inference import Views
from gpsseg.runs.words import asked_with


@dataclass(frozen=True)
class Networks:
    """What predicts.

    Attributes:
        folder: of the run or the study.
        runs: the folders of the run, or of the study's folds.
        config: the first one's settings, which all of them share as far as they decide what the
            network is.
        model: the network; the first one's values are in place, if no others take turns in it.
        members: each puts one's values in place, in the order of ``runs``; nothing of a single run
            that has its network for itself.
        base: puts the base's own values back; None of a run that has its network for itself.
        lock: of the network.
        words: that ``members`` are asked by, one each; empty where by none.
    """

    folder: Path
    runs: Sequence[Path]
    config: SettledConfig
    model: Backbone
    members: Sequence[Callable[[], None]] = ()
    base: Callable[[], None] | None = None
    lock: AbstractContextManager[Any] = field(default_factory=contextlib.nullcontext)
    words: Sequence[str] = ()

    @property
    def facts(self) -> Facts:
        """What is said of the network: folds may have chosen different words."""
        if not self.words:
            return self.model.facts
        return dataclasses.replace(self.model.facts, text=together_asked(self.words))

    @property
    def is_study(self) -> bool:
        """Whether these are the folds of a study."""
        return len(self.members) > 1

    def views(self, flips: bool = False, apart: bool = False) -> Views:
        """Over what the map of a picture is averaged, see ``Views``."""
        return Views(self.members, flips, apart, self.lock)

    def views_of_base(self, flips: bool = False) -> Views:
        """The same of the base: asked as each fold is, where these differ; else once.

        Raises:
            AssertionError: the base was not kept, see ``load_all``.
        """
        assert self.base is not None
        words = self.words if len(set(self.words)) > 1 else self.words[:1]
        asked = [asked_with(self.model, self.base, (word,)) for word in words]
        return Views(asked or (self.base,), flips, lock=self.lock)
