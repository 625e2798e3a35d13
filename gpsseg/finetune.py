"""`python -m gpsseg.finetune`: the whole method, from images to a report."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.console import NETWORKS, run_command, say
from gpsseg.scope import part_of_scoped, scoped

if TYPE_CHECKING:
    from gpsseg.engine.history import History
    from gpsseg.engine.machine import Machine
    from gpsseg.runs.data import Data


@scoped
def finetune(config: FinetuneConfig) -> Path:
    """Adapt a backbone to a data set and return the run folder; see ``FinetuneConfig``.

    Raises:
        UserError: bad input, named in one sentence; a run folder keeps what there was.
    """
    with contextlib.ExitStack() as held:
        return _test(_tune(config, None, held, in_memory=True))


@part_of_scoped
def finetune_beside(config: FinetuneConfig, salt: str | None = None) -> Path:
    """The same for one of several runs side by side, as ``tune``: a study's have its ``salt``."""
    with contextlib.ExitStack() as held:
        return _test(_tune(config, salt, held, in_memory=False))


@part_of_scoped
def tune(config: FinetuneConfig, salt: str | None = None) -> Tuned:
    """Load, select, sparsify and train: all of ``finetune`` that comes before the test split.

    A comparison's runs have its ``salt``; any other nameless run has one of its own. Of several
    side by side none holds prepared images in memory.
    """
    with contextlib.ExitStack() as held:
        return _tune(config, salt, held, in_memory=False)


@dataclass(frozen=True)
class Tuned:
    """A finished training, before any test image was looked at.

    Attributes:
        run: its folder, with config.json, split.json, selection, delta.safetensors, log.jsonl.
        config, data, machine: what it was made with.
        trainable: counts as in metrics.json.
        history: of the epochs.
        leaks: as in metrics.json, where ``strict`` asked for them before training.
        watch: seconds of each stage.
    """

    run: RunFolder
    config: SettledConfig
    data: Data
    machine: Machine
    trainable: dict[str, Any]
    history: History
    leaks: dict[str, Any] | None
    watch: Stopwatch


def _tune(
    config: FinetuneConfig, salt: str | None, held: contextlib.ExitStack, in_memory: bool
) -> Tuned:
    from gpsseg import gps
    from gpsseg.engine.machine import join_processes, make_machine
    from gpsseg.engine.prepare import prepare
    from gpsseg.processes import by_main
    from gpsseg.runs.batch_size import with_batch_size
    from gpsseg.runs.data import open_card, open_data
    from gpsseg.runs.folder import open_run, settings_to_resume
    from gpsseg.runs.leaks import check_leaks
    from gpsseg.runs.method import (
        identify_base,
        load_base,
        refuse_without_effect,
        require_backbone,
        select_or_take_up,
    )
    from gpsseg.runs.prepared import preparation
    from gpsseg.runs.salt import salt_of
    from gpsseg.runs.settle import settle
    from gpsseg.runs.training import say_few_updates, train_run
    from gpsseg.scoring.network import validation

    watch = Stopwatch()
    join_processes(config.device)
    config = by_main(lambda: settings_to_resume(config))
    salt = salt_of(config, salt)
    require_backbone(config)
    card = open_card(config, salt)
    backbone = load_base(config, card)
    refuse_without_effect(backbone, config)
    settled = settle(config, backbone.facts)
    prepared = preparation(settled, card, backbone.facts, in_memory)
    data = open_data(config, salt, run=config.resume, card=card, preparation=prepared)
    leaks = check_leaks(data.split.seen, data.split.test, strict=True) if config.strict else None
    machine = make_machine(config.device, config.precision)
    settled = with_batch_size(backbone, config, settled, len(data.split.train), machine)
    prepare(backbone, machine, config.checkpoint_activations)
    say_few_updates(data.split.train, settled)
    run = open_run(settled, data, machine.precision, held)
    watch.lap("loading")

    base = identify_base(backbone, settled)
    selection, trainable = select_or_take_up(backbone, settled, data, machine, run)
    watch.lap("selection")

    gps.sparsify(backbone, selection, halves=machine.precision == "bf16")
    validate = validation(backbone, data.split.val, data.card, settled, machine, data.held)
    history = train_run(backbone, selection, data, settled, machine, run, base, validate)
    watch.lap("training")
    return Tuned(run, settled, data, machine, trainable, history, leaks, watch)


def _test(tuned: Tuned) -> Path:
    """Score the test split, for the first and only time: the base, then base plus delta.

    The tuned network is put together from the files of the run, as a user would get it.
    """
    from gpsseg.files import is_main_process, write_json, write_rows
    from gpsseg.processes import gathered
    from gpsseg.report.run import write_report
    from gpsseg.report.thumbnails import collect, leak_pictures
    from gpsseg.runs.leaks import check_leaks
    from gpsseg.runs.method import load_base
    from gpsseg.runs.trained import facts_of, training_of
    from gpsseg.runs.tuned import apply_delta
    from gpsseg.scoring.network import metrics_of, score_cases
    from gpsseg.scoring.say import say_before_and_after

    run, config, data, machine = tuned.run, tuned.config, tuned.data, tuned.machine
    leaks = tuned.leaks or check_leaks(data.split.seen, data.split.test, strict=False)
    model, test, card = load_base(config, data.card), data.split.test, data.card
    held = data.held
    before = score_cases(model, test, card, config, machine, "testing the base", held=held)
    apply_delta(run.delta, model, config, untrained=True)
    thumbnails, picture = collect(len(test))
    after = score_cases(
        model,
        test,
        card,
        config,
        machine,
        "testing the result",
        picture=picture,
        pool=True,
        held=held,
    )
    thumbnails = gathered(thumbnails)
    if not is_main_process():
        return run.path
    write_rows(run.per_image, after.rows)
    metrics = metrics_of(data.card, data.split, config, model.facts, after, before) | {
        **facts_of(training_of(tuned.history, config.epochs)),
        "trainable": tuned.trainable,
        "best_epoch": tuned.history.best_epoch,
        "leaks": leaks,
    }
    say_before_and_after(metrics)
    tuned.watch.lap("evaluation")
    write_json(run.metrics, {**metrics, "seconds": tuned.watch.laps})
    report = write_report(run.path, thumbnails, leak_pictures(leaks, data.split.seen, test))
    say("report:", "bold", report)
    return run.path


class Stopwatch:
    """Seconds of each stage of a run."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name], self._since = round(now - self._since, 2), now


if __name__ == "__main__":
    run_command(finetune, FinetuneConfig, "finetune", NETWORKS, shared_out=True)
