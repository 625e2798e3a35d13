"""How many images a batch has where the user leaves it to what is measured here."""

from __future__ import annotations

import copy
import dataclasses

import torch

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.console import say, working
from gpsseg.engine.batch_size import find_batch_size, sizes_to_try, step_timer, worth_it
from gpsseg.engine.machine import Machine
from gpsseg.engine.prepare import prepare
from gpsseg.memory import memory_for
from gpsseg.processes import by_main, processes_here
from gpsseg.runs.method import add_layers


def with_batch_size(
    backbone: Backbone,
    config: FinetuneConfig,
    settled: SettledConfig,
    images: int,
    machine: Machine,
) -> SettledConfig:
    """A run's settings with the batch size that was measured, if ``config`` asks for that.

    Args:
        backbone: plain, and not prepared yet; it stays what it is.
        config: as the user gave it.
        settled: the same with all else in place.
        images: of the training.
        machine: where it will train.

    Raises:
        OutOfMemoryError: see ``measure_batch_size``.
    """
    if config.batch_size != "auto":
        return settled
    processes = machine.part[1]
    size = by_main(lambda: measure_batch_size(backbone, settled, images // processes, machine))
    return dataclasses.replace(settled, batch_size=size * processes)


def measure_batch_size(
    backbone: Backbone, config: SettledConfig, images: int, machine: Machine
) -> int:
    """The number of images in a batch from which on more hardly make it faster, or do not fit.

    What is measured is a stand-in that takes as much memory as any way to tune: the method's own
    layers, and everything trains. Nothing random is drawn that a run would miss.

    Raises:
        OutOfMemoryError: not even one image goes.
    """
    devices = [machine.device] if machine.device.type == "cuda" else []
    one = dataclasses.replace(config, batch_size=1)
    with (
        torch.random.fork_rng(devices),
        memory_for("measuring", one),
        working("measuring how many images a batch is to have"),
    ):
        model = copy.deepcopy(backbone).to(machine.device)
        add_layers(model, config)
        model.to(machine.device).requires_grad_(True)
        prepare(model, machine, config.checkpoint_activations)
        here = processes_here() if machine.device.type == "cpu" else 1
        timer = step_timer(model, machine, config.image_size, config.prompt, here)
        tried = find_batch_size(sizes_to_try(images, config.accumulate), timer)
    size = worth_it(tried)
    rates = [f"{n}: {n / taken:.3g}" if taken else f"{n}: memory" for n, taken in tried]
    say(f"--batch-size auto: {size} (images a second by batch size: {', '.join(rates)})")
    return size
