"""What training steps take: they are made, and change nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from torch import nn

from gpsseg.config.shared import Loss
from gpsseg.engine.loss import batch_loss
from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.optimizer import adamw
from gpsseg.engine.prepare import tuning_mode
from gpsseg.engine.prompts import drawn_for_each, from_truth


def steps_timed(
    model: nn.Module, machine: Machine, batches: Iterable[Batch], prompt: str | None, loss: Loss
) -> Iterator[float]:
    """Yield the seconds of training steps with a rate of 0, waiting for their batches included.

    Args:
        model: on its device; all that has a gradient trains.
        machine: where to compute.
        batches: one a step.
        prompt: what the network is told.
        loss: its kind.
    """
    loss_of = batch_loss(machine, drawn_for_each(from_truth(prompt, varied=True), 0), loss)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = adamw([{"params": trained, "lr": 0.0}], 0.0, machine.device)
    tuning_mode(model)
    started = time.perf_counter()
    for batch in batches:
        found = loss_of(model, batch)
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.item()  # when a GPU has done all of it
        yield time.perf_counter() - started
        started = time.perf_counter()
