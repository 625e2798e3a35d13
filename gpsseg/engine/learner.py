"""What learns: the parameters that train, their optimiser and their rates."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.config.finetune import SettledConfig
from gpsseg.engine.machine import Machine
from gpsseg.engine.optimizer import adamw
from gpsseg.engine.schedule import Schedule
from gpsseg.engine.state import load_state
from gpsseg.errors import TrainingDivergedError

NOTHING: Mapping[str, Tensor] = MappingProxyType({})  # of a training that has its own start


class Learner:
    """The parameters that train, their optimiser and their rates, and their best values.

    Args:
        model: prepared.
        rates: parameter name -> peak learning rate.
        back: names of parameters that decay to the value that they have now, and not to 0; a copy
            of them is kept.
        config: says how.
        machine: where to compute.
        updates: of an epoch.
        first: parameter name -> value that it starts from, of all that train; what decays ``back``
            still goes to the model's own. Empty where these are the start.

    Attributes:
        trained: parameter name -> parameter.
        ready: the network as accelerate gives it, from ``prepare`` on.
        stepper: the optimiser, as accelerate gives it.
        schedule: of the rates.
    """

    trained: dict[str, nn.Parameter]
    ready: nn.Module
    stepper: Any

    def __init__(
        self,
        model: nn.Module,
        rates: Mapping[str, float],
        back: Collection[str],
        config: SettledConfig,
        machine: Machine,
        updates: int,
        first: Mapping[str, Tensor] = NOTHING,
    ) -> None:
        model.to(machine.device)  # first, so that what a resume point holds lands there
        self.model, self.machine = model, machine
        self._rates, self._back, self._config, self._updates = rates, back, config, updates
        self.find_trained()
        pulled = [name for name in self.trained if name in back and config.weight_decay]
        self._starts = {name: self.trained[name].detach().clone() for name in pulled}
        self._make_optimizer()
        if first:
            put(self.trained, first)
        self.note_best()

    def find_trained(self) -> None:
        """See which of the network's parameters train."""
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _make_optimizer(self, done: int = 0) -> None:
        """An optimiser of what trains now, after so many updates."""
        groups = _groups(self.trained, self._rates, self._back)
        decay = self._config.weight_decay
        self.optimizer = adamw(groups, decay, self.machine.device)
        starts = {self.trained[name]: start for name, start in self._starts.items()}
        _pull_back(self.optimizer, decay, starts)
        self.schedule = Schedule(self.optimizer, self._config, self._updates)
        self.schedule.go_to(done)

    def prepare(self) -> None:
        """Let accelerate have the network and the optimiser."""
        self.ready, self.stepper = self.machine.accelerator.prepare(self.model, self.optimizer)

    def before_update(self, epoch: int, step: int) -> float:
        """Do what is due before an update's first batch. Returns the seconds that it took."""
        return 0.0

    def note_best(self) -> None:
        """Keep the present values as the best."""
        self.best = {n: copy.deepcopy(parameter.detach()) for n, parameter in self.trained.items()}

    def restore_best(self) -> None:
        """Let the network have the best values."""
        put(self.trained, self.best)

    def more(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a resume point has to hold besides: tensors, and what is added to its progress."""
        return {}, {}

    def load(self, path: Path) -> dict[str, Any]:
        """Go to where a resume point was written. Returns its ``progress``.

        Raises:
            UserError: see ``load_state``.
        """
        self.best, progress = load_state(path, self.trained, self.optimizer)
        return progress

    def refuse_not_finite(self, epoch: int, step: int) -> None:
        """Refuse to go on with values that are none.

        Raises:
            TrainingDivergedError: a value is NaN or infinite.
        """
        for name, parameter in self.trained.items():
            if not bool(torch.isfinite(parameter).all()):
                raise diverged(f"{name} is not finite", epoch, step)


def diverged(what: str, epoch: int, step: int) -> TrainingDivergedError:
    """The error for a loss or weights that are NaN or infinite, as every process finds them."""
    error = TrainingDivergedError(
        f"Training diverged: {what} at epoch {epoch}, step {step}. Try a --lr ten times smaller."
    )
    error.everywhere = True
    return error


def _groups(
    trained: Mapping[str, nn.Parameter], rates: Mapping[str, float], back: Collection[str]
) -> list[dict[str, Any]]:
    """One optimiser group a rate: on CUDA each group's update is a few kernels, however large.

    Those that decay ``back`` have groups of their own, in which AdamW itself decays nothing.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in trained.items():
        pulled = name in back
        new = {"params": [], "lr": rates[name], "pulled": pulled}
        group = groups.setdefault((rates[name], pulled), new)
        group["params"].append(parameter)
        if pulled:
            group["weight_decay"] = 0.0
    return list(groups.values())


def _pull_back(
    optimizer: torch.optim.Optimizer, decay: float, starts: Mapping[nn.Parameter, Tensor]
) -> None:
    """Before each update, pull what decays back towards its start: w -= lr decay (w - start).

    It is AdamW's decoupled decay with another end; a weight that has not moved stays bit for bit.
    """

    @torch.no_grad()
    def pull(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in (group for group in optimizer.param_groups if group["pulled"]):
            start = [starts[parameter] for parameter in group["params"]]
            torch._foreach_lerp_(group["params"], start, group["lr"] * decay)

    if starts:
        optimizer.register_step_pre_hook(pull)


@torch.no_grad()
def put(trained: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Let parameters have these values."""
    for name, parameter in trained.items():
        parameter.copy_(values[name])
