"""The training of a run: its batches, its rates, and what its log and its delta tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.console import say
from gpsseg.data.cache import cache_folder
from gpsseg.data.case import Case
from gpsseg.data.loader import CaseDataset, default_workers, make_loader
from gpsseg.engine.history import History
from gpsseg.engine.machine import Machine
from gpsseg.engine.stops import Deadline
from gpsseg.engine.train import train
from gpsseg.errors import TrainingDivergedError, counted, size_text
from gpsseg.files import is_main_process, log_to
from gpsseg.gps import Selection
from gpsseg.memory import memory_for
from gpsseg.processes import wait_for_all
from gpsseg.runs.data import Data
from gpsseg.runs.method import decays_back, learning_rates
from gpsseg.runs.refreshed import Refreshed
from gpsseg.runs.trained import training_of


def train_run(
    backbone: Backbone,
    selection: Selection,
    data: Data,
    config: SettledConfig,
    machine: Machine,
    run: RunFolder,
    base: dict[str, Any],
    validate: Callable[[], float],
    deadline: Deadline | None = None,
    on_line: Callable[[Mapping[str, Any]], None] | None = None,
    first: Mapping[str, Tensor] | None = None,
) -> tuple[History, dict[str, Any]]:
    """Train the prepared network, and leave its delta, however the training ends.

    Args:
        backbone: prepared, see ``gpsseg.gps.sparsify``.
        selection: what trains in it.
        data: whose training images it sees.
        config: rates, epochs, batches.
        machine: where to compute.
        run: takes log.jsonl, the resume point and delta.safetensors.
        base: the delta's metadata: names the network before training, see
            ``gpsseg.runs.method.identify_base`` and ``gpsseg.runs.delta_facts``.
        validate: scores the network as it is on the validation images; the best epoch is kept.
        deadline: by when the run must be scored, if there is a limit.
        on_line: sees every line of the log, if anybody does.
        first: values that the training starts from, where these are not the base's, see ``train``.

    Returns:
        How it went; and the counts of what has ever trained, where it was selected anew.

    Raises:
        TrainingDivergedError: the loss or a weight became NaN or infinite.
    """
    batches_of = training_batches(data, config, machine)
    again = Refreshed(backbone, selection, data, config, machine, run) if config.refresh else None
    refresh = again.every(config.refresh) if again and config.refresh else None

    def keep(history: History) -> None:
        """Write what the training made; also after Ctrl-C or a diverged loss."""
        if not is_main_process():
            return
        training = training_of(history, config.epochs)
        facts: dict[str, Any] = {**base, **training.metadata, **(again.facts if again else {})}
        delta = gps.extract(backbone, **facts)
        delta.save(run.delta)
        if training.sentence:
            say(f"delta.safetensors: {training.sentence}", style="bold yellow")
        if training.ended:
            say(f"The training {training.ended}; the weights are those of epoch {training.best}.")

    log_dense(gps.with_dense_gradient(backbone), run)
    rates = learning_rates(backbone, selection, config)
    try:
        with memory_for("training", config):
            back = decays_back(backbone, rates, config)
            history = train(
                *(backbone, batches_of, validate, rates, config, machine, run.path),
                *(keep, back, deadline, on_line, first or {}, refresh),
            )
    except TrainingDivergedError:  # all processes know of it; the first to end would end the others
        wait_for_all()
        raise
    finally:
        machine.accelerator.free_memory()  # it holds network and optimiser while others are tested
    say_waiting([row["waiting"] for row in history.epochs], _workers(config))
    if is_main_process():
        say(f"result: delta.safetensors, {size_text(run.delta.stat().st_size)}")
    return history, again.counts if again else {}


def training_batches(
    data: Data, config: SettledConfig, machine: Machine
) -> Callable[[range], DataLoader[Any]]:
    """Return: epochs (from 1) -> the loader of their batches, one epoch after the other."""
    cache = data.held or cache_folder(config.cache)

    def batches_of(epochs: range) -> DataLoader[Any]:
        dataset = CaseDataset(
            *(data.split.train, data.card, config.image_size, True, config.seed),
            *(epochs[0], cache, len(epochs)),
        )
        return make_loader(dataset, config.batch_size, _workers(config), True, machine.part)

    return batches_of


def steps_of(images: Sequence[Case], config: SettledConfig) -> int:
    """How many batches an epoch has."""
    return -(-len(images) // config.batch_size)


def _workers(config: SettledConfig) -> int:
    return default_workers() if config.workers is None else config.workers


def say_few_updates(images: Sequence[Case], config: SettledConfig) -> None:
    """Say so if there are too few batches for ``accumulate``, or updates for ``refresh``."""
    batches = steps_of(images, config)
    updates = config.epochs * -(-batches // config.accumulate)
    if config.refresh and config.refresh >= updates and not config.resume:
        say(
            f"--refresh {config.refresh} selects nothing anew: the training has "
            f"{counted(updates, 'update')} in all. Lower it, or leave it out.",
            style="bold yellow",
        )
    if config.accumulate > batches:
        say(
            f"--accumulate {config.accumulate} is more than the {batches} batches of an epoch, so "
            "that there are very few steps. Lower it, or take smaller batches.",
            style="bold yellow",
        )


def log_dense(weights: Sequence[str], run: RunFolder) -> None:
    """Name in log.jsonl the weights for which training saves no memory."""
    if weights:
        log_to(run.log)({"event": "dense gradients", "weights": list(weights)})


def say_waiting(shares: Sequence[float], workers: int) -> None:
    """Say so if training spent more than a tenth of its time waiting for images."""
    share = sum(shares) / max(1, len(shares))
    if share > 0.1:
        say(
            f"Training waited for images {share:.0%} of its time. More --workers (now {workers}) "
            "prepare them on idle cores meanwhile.",
            style="yellow",
        )
