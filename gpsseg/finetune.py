"""`python -m gpsseg.finetune`: the whole method, from images to a report."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.finetune import FinetuneConfig, SettledConfig, require_gradient, require_tracker
from gpsseg.config.folder import RunFolder
from gpsseg.console import NETWORKS, clock, run_command, say
from gpsseg.scope import part_of_scoped, scoped

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone
    from gpsseg.engine.history import History
    from gpsseg.engine.machine import Machine
    from gpsseg.engine.stops import Deadline
    from gpsseg.runs.data import Data
    from gpsseg.runs.start_from import Start
    from gpsseg.runs.tracking import Tracking


@scoped
def finetune(config: FinetuneConfig, passed: float = 0.0) -> Path:
    """Adapt a backbone to a data set and return the run folder; see ``FinetuneConfig``.

    Args:
        config: what is asked for.
        passed: seconds since the command began, for its limit of time.

    Raises:
        UserError: bad input, named in one sentence; a run folder keeps what there was.
    """
    if config.resume is None:
        require_gradient(config.method, config.criterion)
    with contextlib.ExitStack() as held:
        return _test(_tune(config, None, held, in_memory=True, watch=Stopwatch(passed)))


@part_of_scoped
def finetune_beside(config: FinetuneConfig, salt: str | None = None) -> Path:
    """The same for one of several runs side by side, as ``tune``: a study's have its ``salt``."""
    with contextlib.ExitStack() as held:
        return _test(_tune(config, salt, held, in_memory=False, watch=Stopwatch()))


@part_of_scoped
def tune(config: FinetuneConfig, salt: str | None = None) -> Tuned:
    """Load, select, sparsify and train: all of ``finetune`` that comes before the test split.

    A comparison's runs have its ``salt``; any other nameless run has one of its own. Of several
    side by side none holds prepared images in memory.
    """
    with contextlib.ExitStack() as held:
        return _tune(config, salt, held, in_memory=False, watch=Stopwatch())


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A run that has its folder and its data, and nothing selected or trained yet.

    Attributes:
        run: its folder.
        config, data, machine: what it is made with.
        leaks: as in metrics.json, where they were asked for before the training.
        deadline: by when it must be scored, if there is a limit of time.
        tracking: takes losses and scores.
        watch: seconds of each stage.
        start: what it starts from, if it does not select.
    """

    run: RunFolder
    config: SettledConfig
    data: Data
    machine: Machine
    leaks: dict[str, Any] | None
    deadline: Deadline | None
    tracking: Tracking
    watch: Stopwatch
    start: Start | None


@dataclass(frozen=True, kw_only=True)
class Tuned(Opened):
    """A finished training, before any test image was looked at.

    The folder has config.json, split.json, the selection, delta.safetensors and log.jsonl.

    Attributes:
        trainable: counts as in metrics.json.
        history: of the epochs.
    """

    trainable: dict[str, Any]
    history: History


def _tune(
    config: FinetuneConfig,
    salt: str | None,
    held: contextlib.ExitStack,
    in_memory: bool,
    watch: Stopwatch,
) -> Tuned:
    from gpsseg import gps
    from gpsseg.runs.delta_facts import facts_of_delta
    from gpsseg.runs.method import identify_base, select_or_take_up
    from gpsseg.runs.training import train_run
    from gpsseg.scoring.network import validation

    backbone, opened = _open(config, salt, held, in_memory, watch)
    run, settled, data, machine = opened.run, opened.config, opened.data, opened.machine
    watch.lap("loading")

    start = opened.start
    handed = start.selection if start else None
    base = identify_base(backbone, settled, handed)
    selection, trainable = select_or_take_up(backbone, settled, data, machine, run, handed)
    told = settled, backbone.facts, data, selection, trainable, machine.precision
    base |= facts_of_delta(*told)
    if start and start.facts.get("what") == "delta":
        base["started_from"] = start.facts["sha256"]
    watch.lap("selection")

    gps.sparsify(backbone, selection, halves=machine.precision == "bf16")
    validate = validation(backbone, data.split.val, data.card, settled, machine, data.held)
    history, ever_trained = train_run(
        *(backbone, selection, data, settled, machine, run, base, validate),
        *(opened.deadline, opened.tracking.line, start.values if start else {}),
    )
    watch.lap("training")
    return Tuned(**vars(opened), trainable=trainable | ever_trained, history=history)


def _open(
    config: FinetuneConfig,
    salt: str | None,
    held: contextlib.ExitStack,
    in_memory: bool,
    watch: Stopwatch,
) -> tuple[Backbone, Opened]:
    """Load the network and the data, settle what the options leave open, and begin the folder."""
    from gpsseg.engine.machine import join_processes, make_machine
    from gpsseg.engine.prepare import prepare
    from gpsseg.processes import by_main
    from gpsseg.report.caveats import chance_as_good
    from gpsseg.report.thumbnails import collect
    from gpsseg.runs.batch_size import with_batch_size
    from gpsseg.runs.data import open_card, open_data
    from gpsseg.runs.folder import open_run, settings_to_resume
    from gpsseg.runs.leaks import check_leaks
    from gpsseg.runs.method import load_base, refuse_without_effect, require_backbone
    from gpsseg.runs.prepared import preparation
    from gpsseg.runs.salt import salt_of
    from gpsseg.runs.settle import settle
    from gpsseg.runs.start_from import open_start
    from gpsseg.runs.time_limit import settle_epochs
    from gpsseg.runs.tracking import Tracking
    from gpsseg.runs.training import say_few_updates, steps_of
    from gpsseg.scoring.network import few_scored
    from gpsseg.scoring.words import choose_word

    require_tracker(config.tracker)
    join_processes(config.device)
    config = by_main(lambda: settings_to_resume(config))
    salt = salt_of(config, salt)
    require_backbone(config)
    card, began = open_card(config, salt), watch.passed
    backbone = load_base(config, card)
    loaded = watch.passed - began
    refuse_without_effect(backbone, config)
    start = open_start(config, backbone)
    config = start.asked_alike(config) if start else config
    settled = settle(config, backbone.facts, bool(start and start.decoder_is_whole(backbone)))
    prepared = preparation(settled, card, backbone.facts, in_memory)
    data = open_data(config, salt, run=config.resume, card=card, preparation=prepared, by=config.by)
    if start:
        start.refuse_seen_otherwise(settled, data.greys)
    leaks = None
    if config.strict or config.time_limit:  # with a limit now, so that what is left is known
        leaks = check_leaks(data.split.seen, data.split.test, strict=config.strict)
    machine = make_machine(config.device, config.precision)
    settled, words = choose_word(
        *(backbone, settled, data.split.train, data.card, machine, data.held)
    )
    handed, images = start.selection if start else None, len(data.split.train)
    settled = with_batch_size(backbone, config, settled, images, machine, handed)
    _, picture = collect(len(data.split.test))
    settled, deadline = settle_epochs(
        *(backbone, settled, config.epochs, data, machine),
        few_scored(data.card, settled, machine, picture, data.held),
        *(loaded, lambda: watch.passed, handed),
    )
    prepare(backbone, machine, config.checkpoint_activations)
    say_few_updates(data.split.train, settled)
    chance = "" if config.resume else chance_as_good(vars(settled), images)
    if chance:
        say(f"note: {chance}", style="yellow")
    facts = start.facts if start else None
    run = open_run(settled, data, machine.precision, held, facts, words)
    tracking = Tracking(config.tracker, run, steps_of(data.split.train, settled))
    held.callback(tracking.finish)
    made: dict[str, Any] = {"run": run, "config": settled, "data": data, "machine": machine}
    made |= {"leaks": leaks, "deadline": deadline, "tracking": tracking, "watch": watch}
    made["start"] = start
    return backbone, Opened(**made)


def _test(tuned: Tuned) -> Path:
    """Score the test split, for the first and only time: the base, then base plus delta.

    The tuned network is put together from the files of the run, as a user would get it.
    """
    from gpsseg.data.splits.columns import labels_by
    from gpsseg.files import is_main_process, write_json, write_rows
    from gpsseg.processes import gathered
    from gpsseg.report.run import write_report
    from gpsseg.report.thumbnails import collect, leak_pictures
    from gpsseg.runs.delta_facts import add_scores
    from gpsseg.runs.leaks import check_leaks
    from gpsseg.runs.method import load_base
    from gpsseg.runs.trained import facts_of, training_of
    from gpsseg.runs.tuned import apply_delta
    from gpsseg.runs.words import words_of
    from gpsseg.scoring.by import by_metrics, with_labels
    from gpsseg.scoring.network import metrics_of, score_cases
    from gpsseg.scoring.say import say_before_and_after

    run, config, data, machine = tuned.run, tuned.config, tuned.data, tuned.machine
    leaks = tuned.leaks or check_leaks(data.split.seen, data.split.test, strict=False)
    model, test, card = load_base(config, data.card), data.split.test, data.card
    held = data.held
    before = score_cases(model, test, card, config, machine, "testing the base", held=held)
    apply_delta(run.delta, model, config, untrained=True)
    thumbnails, picture = collect(len(test))
    result = model, test, card, config, machine, "testing the result"
    after = score_cases(*result, picture=picture, pool=True, held=held)
    thumbnails = gathered(thumbnails)
    if not is_main_process():
        return run.path
    rows = with_labels(after.rows, labels_by(config.by, data.split, data.salt))
    write_rows(run.per_image, rows)
    metrics = metrics_of(data.card, data.split, config, model.facts, after, before) | {
        **by_metrics(rows),
        **words_of(run.path),
        **facts_of(training_of(tuned.history, config.epochs)),
        "trainable": tuned.trainable,
        "best_epoch": tuned.history.best_epoch,
        "leaks": leaks,
    }
    say_before_and_after(metrics)
    tuned.tracking.scores(metrics, len(tuned.history.epochs))
    tuned.watch.lap("evaluation")
    add_scores(run.delta, metrics)  # first: a run with metrics.json is finished
    write_json(run.metrics, {**metrics, "seconds": tuned.watch.laps})
    report = write_report(run.path, thumbnails, leak_pictures(leaks, data.split.seen, test))
    say("report:", "bold", report)
    if config.time_limit:
        say(f"{clock(tuned.watch.passed)} of --time-limit {config.time_limit} have passed.")
    return run.path


class Stopwatch:
    """Seconds of each stage of a run.

    Args:
        passed: seconds that had passed before it was started.
    """

    def __init__(self, passed: float = 0.0) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()
        self._began = self._since - passed

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name], self._since = round(now - self._since, 2), now


def _from_the_start(config: FinetuneConfig) -> Path:
    """The command: libraries were imported before."""
    import psutil

    return finetune(config, time.time() - psutil.Process().create_time())


if __name__ == "__main__":
    run_command(_from_the_start, FinetuneConfig, "finetune", NETWORKS, shared_out=True)
