"""What learns where the selection is made anew during the training: ``finetune --refresh N``.

The schedule goes on as if nothing had happened. What stays selected keeps its moments and its age
in AdamW, see ``gpsseg.engine.optimizer``; what leaves keeps the value that it has reached; what
comes in begins with the value that it has. The best values are those of all entries that had been
selected by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg import gps
from gpsseg.engine.learner import Learner, diverged, put
from gpsseg.engine.optimizer import carry_over, correct_by_age
from gpsseg.engine.refresh_state import read_selections, to_tensors
from gpsseg.engine.state import load_state
from gpsseg.gps import Selection, Union
from gpsseg.gps.score import NotFiniteError
from gpsseg.gps.union import write

COUNTS = ("times", "kept", "at_a_time")


@dataclass(frozen=True)
class Refresh:
    """When and how to select anew.

    Attributes:
        every: after so many updates.
        select: which time it is (from 1) -> what trains from now on, of the network as it is then,
            which is plain meanwhile; the same in every process.
        keep: is told the union of all selections by the best epoch, how often it was selected anew
            by then, and how many numbers trained at a time, when the training has ended.
        halves: see ``gpsseg.gps.sparsify``.
    """

    every: int
    select: Callable[[int], Selection]
    keep: Callable[[Selection, int, int], None]
    halves: bool = False


class Refreshing(Learner):
    """A ``Learner`` whose selection is made anew.

    Args:
        model: sparse, by the first selection, with the base's values.
        refresh: when and how.
        log: takes a line of each new selection.
        settings: of a ``Learner``: all but the network.

    Attributes:
        union: of all selections so far.
        times: how often it was selected anew.
        kept: the same by the best epoch.
        at_a_time: how many numbers train at a time, at most.
    """

    def __init__(
        self,
        model: nn.Module,
        refresh: Refresh,
        log: Callable[[Mapping[str, Any]], None],
        *settings: Any,
    ) -> None:
        self._refresh, self._log = refresh, log
        self.union = Union.of(model, gps.selected_in(model))
        self.times, self.at_a_time = 0, 0
        super().__init__(model, *settings)

    def _make_optimizer(self, done: int = 0) -> None:
        super()._make_optimizer(done)
        correct_by_age(self.optimizer)
        own = sum(parameter.numel() for parameter in self.trained.values())
        self.at_a_time = max(self.at_a_time, own)

    def before_update(self, epoch: int, step: int) -> float:
        """Select anew where that is due. Returns the seconds that it took.

        Raises:
            UserError: a gradient that selects is not finite.
        """
        done = self.schedule.done
        if not done or done % self._refresh.every:
            return 0.0
        began = time.perf_counter()
        self.refuse_not_finite(epoch, step)
        before = self._indices()
        old = {name: self.optimizer.state.get(p, {}) for name, p in self.trained.items()}
        gps.merge(self.model)
        try:
            selection = self._refresh.select(self.times + 1)
        except NotFiniteError:
            raise diverged("a gradient that selects is not finite", epoch, step) from None
        self.union = self.union.joined(self.model, selection)
        self.times += 1
        self._sparsify(selection)
        self._make_optimizer(done)
        self._take_over(old, before)
        self._prepare_again()
        seconds = time.perf_counter() - began
        self._tell(epoch, step, before, seconds)
        return seconds

    def _prepare_again(self) -> None:
        """Let accelerate have what is new; of several processes, whose wrapper has to be made anew.

        The old one has hooks on what trains whole until it is gone.
        """
        accelerator = self.machine.accelerator
        if self.machine.part[1] > 1:
            del self.ready
            accelerator.free_memory()
            self.ready = accelerator.prepare(self.model)
        self.stepper.optimizer = self.optimizer

    def _sparsify(self, selection: Selection) -> None:
        """Let this train, of a network that is plain."""
        gps.sparsify(self.model, selection, self._refresh.halves)
        self.find_trained()
        for name, index in selection.indices.items():
            values = f"{name}_values"
            self._starts.pop(values, None)
            if values in self._back and self._config.weight_decay:
                self._starts[values] = self.union.base_of(name, index)
        own = self.trained
        self._starts = {name: start for name, start in self._starts.items() if name in own}

    def _indices(self) -> dict[str, Tensor]:
        """Of what is selected now: values' name -> (n,) positions."""
        return {f"{n}_values": index for n, index in gps.selected_in(self.model).indices.items()}

    def _take_over(
        self, old: Mapping[str, dict[str, Tensor]], before: Mapping[str, Tensor]
    ) -> None:
        """Let the new optimiser have the state of the old one, as far as it has those entries."""
        now = self._indices()
        for name, parameter in self.trained.items():
            if state := old.get(name):
                if name in now:
                    state = carry_over(state, before[name], now[name], parameter)
                self.optimizer.state[parameter] = state

    def _tell(self, epoch: int, step: int, before: Mapping[str, Tensor], seconds: float) -> None:
        now = self._indices()
        new = sum(
            int((~torch.isin(index, before.get(name, index[:0]))).sum())
            for name, index in now.items()
        )
        moved = sum(map(len, self.union.selection.indices.values()))
        facts = {"selected": sum(map(len, now.values())), "new": new, "ever_selected": moved}
        line = {"event": "refresh", "epoch": epoch, "step": step, **facts}
        self._log({**line, "seconds": round(seconds, 3)})

    def note_best(self) -> None:
        """Keep the present values of all that ever trained as the best."""
        dense = set(self.union.selection.dense)
        whole = {n: p.detach().clone() for n, p in self.trained.items() if n in dense}
        entries = {f"{n}_values": v for n, v in self.union.values(self.model).items()}
        self.best, self._best_of, self.kept = whole | entries, self.union.selection, self.times

    def restore_best(self) -> None:
        """Let the network have the best values; what trains in it is all that they are of."""
        gps.merge(self.model)
        write(self.model, self.union.selection.indices, self.union.base)
        of = self._best_of
        write(self.model, of.indices, {name: self.best[f"{name}_values"] for name in of.indices})
        put({name: self.model.get_parameter(name) for name in of.dense}, self.best)
        gps.sparsify(self.model, of, self._refresh.halves)
        self.find_trained()
        self._refresh.keep(of, self.kept, self.at_a_time)

    def more(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The selections, and what all entries are that ever were in one."""
        selections = (gps.selected_in(self.model), self.union.selection, self._best_of)
        counts = {name: getattr(self, name) for name in COUNTS}
        return to_tensors(selections, self.union.values(self.model)), {"refresh": counts}

    def load(self, path: Path) -> dict[str, Any]:
        """Go to where a resume point was written. Returns its ``progress``.

        Raises:
            UserError: the file is damaged, or of another network.
        """
        gps.merge(self.model)
        dense = self.union.selection.dense
        (selected, union, self._best_of), moved = read_selections(path, self.model, dense)
        self.union = Union.of(self.model, union)
        write(self.model, union.indices, moved)
        self._sparsify(selected)
        self.at_a_time = 0  # not what trained before this was taken up
        self._make_optimizer()
        sizes: dict[str, tuple[int, ...]] = {
            f"{name}_values": (len(i),) for name, i in self._best_of.indices.items()
        }
        sizes |= {name: tuple(self.trained[name].shape) for name in dense}
        self.best, progress = load_state(path, self.trained, self.optimizer, sizes)
        counts = progress.get("refresh", {})
        for name in COUNTS:
            setattr(self, name, max(getattr(self, name), int(counts.get(name, 0))))
        return progress
