"""How many images a batch has where the user does not say it: the usual number, or the best."""

from __future__ import annotations

import copy
import dataclasses

from gpsseg import gps
from gpsseg.backbones import Backbone, Facts
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.console import say, working
from gpsseg.device import draws_kept, give_back_freed
from gpsseg.engine.batch_size import (
    find_batch_size,
    most_images,
    sizes_to_try,
    step_timer,
    worth_it,
)
from gpsseg.engine.machine import Machine
from gpsseg.engine.prepare import let_go, prepare
from gpsseg.memory import memory_for
from gpsseg.processes import by_main, processes_here
from gpsseg.runs.method import add_layers, added_and_whole
from gpsseg.runs.scores import least_selection
from gpsseg.runs.selection import gps_trains
from gpsseg.tuning import method_of


def with_batch_size(
    backbone: Backbone,
    config: FinetuneConfig,
    settled: SettledConfig,
    images: int,
    machine: Machine,
    handed: gps.Selection | None = None,
) -> SettledConfig:
    """A run's settings with the batch size of this machine, if ``config`` has none.

    Args:
        backbone: plain, and not prepared yet; it stays what it is.
        config: as the user gave it; `auto` is measured.
        settled: the same with all else in place.
        images: of the training.
        machine: where it will train.
        handed: what trains, if that is known.

    Raises:
        OutOfMemoryError: see ``measure_batch_size``.
    """
    if isinstance(config.batch_size, int):
        return settled
    facts, processes = backbone.facts, machine.part[1]
    most = most_images(images * settled.epochs, config.accumulate, facts.batch_size)
    if config.batch_size is None:
        size = usual_batch_size(facts, machine.device.type != "cpu", most)
        return dataclasses.replace(settled, batch_size=size)
    most = min(most, images)
    share = max(1, most // processes)
    size = by_main(lambda: measure_batch_size(backbone, settled, share, machine, handed=handed))
    return dataclasses.replace(settled, batch_size=min(most, size * processes))


def usual_batch_size(facts: Facts, on_gpu: bool, most: int) -> int:
    """The backbone's own number on a device; on a GPU with as many updates as there should be."""
    return max(facts.batch_size, min(facts.batch_size_on_gpu, most)) if on_gpu else facts.batch_size


def measure_batch_size(
    backbone: Backbone,
    config: SettledConfig,
    most: int,
    machine: Machine,
    any_method: bool = False,
    handed: gps.Selection | None = None,
) -> int:
    """The number of images in a batch from which on more hardly make it faster, or do not fit.

    What is measured is a stand-in: what the method trains, where it selects one entry of each
    weight, unless the selection is ``handed``; for ``any_method`` everything, beside the layers
    that the configured one adds. Nothing random is drawn that a run would miss.

    Raises:
        OutOfMemoryError: not even one image goes.
    """
    one = dataclasses.replace(config, batch_size=1)
    with (
        draws_kept(machine.device),
        memory_for("measuring", one),
        working("measuring how many images a batch is to have"),
    ):
        model = copy.deepcopy(backbone).to(machine.device)
        _let_train(model, config, any_method, handed)
        model.to(machine.device)
        prepare(model, machine, config.checkpoint_activations)
        here = processes_here() if machine.device.type == "cpu" else 1
        timer = step_timer(model, machine, config.image_size, config.prompt, here, config.loss)
        tried = find_batch_size(sizes_to_try(most), timer)
    let_go(model)
    del model, timer
    give_back_freed(machine.device)
    size = worth_it(tried)
    rates = [f"{n}: {n / taken:.3g}" if taken else f"{n}: memory" for n, taken in tried]
    processes = machine.part[1]
    each = f", {size} in each of {processes} processes" if processes > 1 else ""
    say(
        f"--batch-size auto: {size * processes}{each} (images a second by batch size: "
        f"{', '.join(rates)})"
    )
    return size


def _let_train(
    model: Backbone, config: SettledConfig, any_method: bool, handed: gps.Selection | None
) -> None:
    if any_method:
        add_layers(model, config)
        model.requires_grad_(True)
    elif method_of(config.method).selects is not None:
        least = handed or least_selection(model, *gps_trains(model, config))
        gps.sparsify(model, least)
    else:
        gps.sparsify(model, gps.Selection({}, {}, tuple(added_and_whole(model, config))))
