"""One epoch of the training loop: batches in windows, each one update."""

from __future__ import annotations

import contextlib
import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gpsseg.data.dealt import LENT
from gpsseg.engine.learner import Learner, diverged
from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prepare import tuning_mode


@dataclass(frozen=True)
class Step:
    """One batch of an epoch.

    Attributes:
        number: from 1.
        batch: of this process.
        waited: seconds waited for it.
        opens, closes: whether it is the first, and the last, of its window.
    """

    number: int
    batch: Any
    waited: float
    opens: bool
    closes: bool


def windows(
    batches: Iterable[tuple[int, Any, float]], steps: int, accumulate: int
) -> Iterator[Step]:
    """Cut an epoch of ``steps`` batches into windows of ``accumulate``, and a rest."""
    for number, batch, waited in batches:
        opens = (number - 1) % accumulate == 0
        yield Step(number, batch, waited, opens, number % accumulate == 0 or number == steps)


def train_epoch(
    learner: Learner,
    epoch: int,
    batches: Iterable[Step],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    machine: Machine,
    log: Callable[[Mapping[str, Any]], None],
) -> dict[str, float]:
    """Take one epoch's steps. Returns their part of the epoch's row, see ``History``.

    Gradients add up in units of the window's first step, whose number of images is known before
    its backward pass; where a window is one step, nothing needs to be scaled.

    The loss is read when all of its step is under way, since a GPU would stand still between the
    two. What a loss that is not finite has done to the weights is for the caller to undo.

    Raises:
        TrainingDivergedError: the loss became NaN or infinite.
    """
    tuning_mode(learner.ready)
    losses: list[float] = []
    counts: list[int] = []
    unit, seen, updates, waiting, started = 0, 0, 0, 0.0, time.perf_counter()
    beside = 0.0  # seconds of what is no part of a step
    for step in batches:
        waiting += step.waited
        beside += learner.before_update(epoch, step.number) if step.opens else 0.0
        own = 0 if LENT in step.batch else len(step.batch["image"])
        images = machine.total(own)
        unit, seen = (images, images) if step.opens else (unit, seen + images)
        alone = (
            contextlib.nullcontext() if step.closes else machine.accelerator.no_sync(learner.ready)
        )
        with alone:
            loss = loss_of(learner.ready, step.batch)
            # several processes' gradients are averaged, each counting as much as any other
            machine.accelerator.backward(loss * (own * machine.part[1] / unit))
        if step.closes:
            _scale_gradients(learner.stepper, unit / seen)
            learner.stepper.step()
            learner.stepper.zero_grad()
            learner.schedule.step()
            updates += 1
        mean = machine.mean(loss.item(), own)
        if not math.isfinite(mean):
            raise diverged(f"the loss is {mean}", epoch, step.number)
        losses.append(mean)
        counts.append(images)
        log({"event": "step", "epoch": epoch, "step": step.number, "loss": mean})
    seconds = time.perf_counter() - started - beside
    return {
        "epoch": epoch,
        "loss": sum(map(operator.mul, losses, counts)) / sum(counts),
        "updates": updates,
        "waiting": waiting / seconds,
        "step_seconds": (seconds - waiting) / len(losses),
        **({"selecting": beside} if beside else {}),
    }


@torch.no_grad()
def _scale_gradients(optimizer: Any, factor: float) -> None:
    """Multiply what the optimiser is about to use, in place."""
    if factor != 1:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)


def all_steps(
    batches_of: Callable[[range], DataLoader[Any]], epochs: range, steps: int
) -> Iterator[tuple[int, Any, float]]:
    """Yield (step from 1, batch, seconds waited for it) of one epoch of ``steps`` after the other.

    One loader reads them all, so that an epoch's first batches are read while the one before it
    ends and is validated.
    """
    asked = time.perf_counter()
    for number, batch in enumerate(batches_of(epochs) if epochs else ()):
        yield number % steps + 1, batch, time.perf_counter() - asked
        asked = time.perf_counter()
