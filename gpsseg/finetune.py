"""`python -m gpsseg.finetune`: the whole method, from images to a report.

A run is opened (`_open`: network, data, settings, folder), tuned (`_tune`: selected, made sparse,
trained) and tested (`_test`: scored on images that nothing before has seen, and reported).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.finetune import FinetuneConfig, SettledConfig, require_gradient, require_tracker
from gpsseg.config.folder import RunFolder
from gpsseg.console import NETWORKS, clock, run_command, say
from gpsseg.runs.stopwatch import Stopwatch
from gpsseg.scope import part_of_scoped, scoped

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone
    from gpsseg.engine.history import History
    from gpsseg.engine.machine import Machine
    from gpsseg.engine.stops import Deadline
    from gpsseg.gps import Selection
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
    with contextlib.ExitStack() as stack:
        return _test(_tune(*_open(config, None, stack, Stopwatch(passed), in_memory=True)))


@part_of_scoped
def finetune_beside(config: FinetuneConfig, salt: str | None = None) -> Path:
    """The same for one of several runs side by side, as ``tune``: a study's have its ``salt``."""
    with contextlib.ExitStack() as stack:
        return _test(_tune(*_open(config, salt, stack, Stopwatch(), in_memory=False)))


@part_of_scoped
def tune(config: FinetuneConfig, salt: str | None = None) -> TunedRun:
    """Load, select, sparsify and train: all of ``finetune`` that comes before the test split.

    A comparison's runs have its ``salt``; any other nameless run has one of its own. Of several
    side by side none holds prepared images in memory.
    """
    with contextlib.ExitStack() as stack:
        return _tune(*_open(config, salt, stack, Stopwatch(), in_memory=False))


@dataclass(frozen=True)
class OpenRun:
    """A run that has its folder and its data, and nothing selected or trained yet.

    Attributes:
        run: its folder.
        config, data, machine: what it is made with.
        start: what it starts from, if it does not select.
        leaks: as in metrics.json, where they were asked for before the training.
        deadline: by when it must be scored, if there is a limit of time.
        tracking: takes losses and scores.
        stopwatch: seconds of each stage.
    """

    run: RunFolder
    config: SettledConfig
    data: Data
    machine: Machine
    start: Start | None
    leaks: dict[str, Any] | None
    deadline: Deadline | None
    tracking: Tracking
    stopwatch: Stopwatch


@dataclass(frozen=True)
class TunedRun:
    """A finished training, before any test image was looked at.

    The folder has config.json, split.json, the selection, delta.safetensors and log.jsonl.

    Attributes:
        opened: the run as it began.
        trainable: counts as in metrics.json.
        history: of the epochs.
    """

    opened: OpenRun
    trainable: dict[str, Any]
    history: History


def _open(
    config: FinetuneConfig,
    salt: str | None,
    stack: contextlib.ExitStack,
    stopwatch: Stopwatch,
    in_memory: bool,
) -> tuple[Backbone, OpenRun]:
    """Load the network and the data, settle what the options leave open, and begin the folder."""
    from gpsseg.engine.machine import join_processes, make_machine
    from gpsseg.engine.prepare import prepare
    from gpsseg.processes import by_main
    from gpsseg.runs.data import open_card, open_data
    from gpsseg.runs.folder import open_run, settings_to_resume
    from gpsseg.runs.leaks import check_leaks
    from gpsseg.runs.method import load_base, refuse_without_effect, require_backbone
    from gpsseg.runs.prepared import preparation
    from gpsseg.runs.salt import salt_of
    from gpsseg.runs.settle import settle
    from gpsseg.runs.start_from import open_start
    from gpsseg.runs.tracking import Tracking
    from gpsseg.runs.training import steps_of

    require_tracker(config.tracker)
    join_processes(config.device)
    config = by_main(lambda: settings_to_resume(config))
    salt = salt_of(config, salt)
    require_backbone(config)
    card, before = open_card(config, salt), stopwatch.passed
    backbone = load_base(config, card)
    loading = stopwatch.passed - before
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
    given = start.selection if start else None
    settled, words, deadline = _settle_by_trying(
        *(backbone, config, settled, data, machine, given, loading, lambda: stopwatch.passed)
    )
    prepare(backbone, machine, config.checkpoint_activations)
    _say_few_images(settled, data)
    run = open_run(settled, data, machine.precision, stack, start.facts if start else None, words)
    tracking = Tracking(config.tracker, run, steps_of(data.split.train, settled))
    stack.callback(tracking.finish)
    stopwatch.lap("loading")
    made_with = settled, data, machine, start
    return backbone, OpenRun(run, *made_with, leaks, deadline, tracking, stopwatch)


def _settle_by_trying(
    backbone: Backbone,
    config: FinetuneConfig,
    settled: SettledConfig,
    data: Data,
    machine: Machine,
    given: Selection | None,
    loading: float,
    passed: Callable[[], float],
) -> tuple[SettledConfig, dict[str, Any], Deadline | None]:
    """Settle what only trials of the network tell: its word, its batch size and its epochs.

    Returns the settings, how the word was chosen as in metrics.json, and the deadline, if any.
    """
    from gpsseg.report.thumbnails import collect
    from gpsseg.runs.batch_size import with_batch_size
    from gpsseg.runs.time_limit import settle_epochs
    from gpsseg.scoring.network import few_scored
    from gpsseg.scoring.words import choose_word

    train, card = data.split.train, data.card
    settled, words = choose_word(backbone, settled, train, card, machine, data.held)
    settled = with_batch_size(backbone, config, settled, len(train), machine, given)
    score = few_scored(card, settled, machine, collect(len(data.split.test))[1], data.held)
    settled, deadline = settle_epochs(
        *(backbone, settled, config.epochs, data, machine, score, loading, passed, given)
    )
    return settled, words, deadline


def _say_few_images(config: SettledConfig, data: Data) -> None:
    """Say so where the training images are too few for what is asked."""
    from gpsseg.report.caveats import chance_as_good
    from gpsseg.runs.training import say_few_updates

    say_few_updates(data.split.train, config)
    images = len(data.split.train)
    if not config.resume and (chance := chance_as_good(vars(config), images)):
        say(f"note: {chance}", style="yellow")


def _tune(backbone: Backbone, opened: OpenRun) -> TunedRun:
    """Select what trains, make the network sparse, and train it; the run gets its delta."""
    from gpsseg import gps
    from gpsseg.runs.delta_facts import facts_of_delta
    from gpsseg.runs.method import identify_base, select_or_take_up
    from gpsseg.runs.training import train_run
    from gpsseg.scoring.network import validation

    run, config, data, machine = opened.run, opened.config, opened.data, opened.machine
    start = opened.start
    given = start.selection if start else None
    base = identify_base(backbone, config, given)
    selection, trainable = select_or_take_up(backbone, config, data, machine, run, given)
    facts = facts_of_delta(config, backbone.facts, data, selection, trainable, machine.precision)
    if start and start.facts.get("what") == "delta":
        facts["started_from"] = start.facts["sha256"]
    opened.stopwatch.lap("selection")

    gps.sparsify(backbone, selection, halves=machine.precision == "bf16")
    validate = validation(backbone, data.split.val, data.card, config, machine, data.held)
    history, ever_trained = train_run(
        *(backbone, selection, data, config, machine, run, base | facts, validate),
        deadline=opened.deadline,
        on_line=opened.tracking.line,
        first=start.values if start else None,
    )
    opened.stopwatch.lap("training")
    return TunedRun(opened, trainable | ever_trained, history)


def _test(tuned: TunedRun) -> Path:
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

    opened, history = tuned.opened, tuned.history
    run, config, data, machine = opened.run, opened.config, opened.data, opened.machine
    split, card, held = data.split, data.card, data.held
    leaks = opened.leaks or check_leaks(split.seen, split.test, strict=False)
    model = load_base(config, card)
    test = model, split.test, card, config, machine
    before = score_cases(*test, "testing the base", held=held)
    apply_delta(run.delta, model, config, untrained=True)
    thumbnails, picture = collect(len(split.test))
    after = score_cases(*test, "testing the result", picture=picture, pool=True, held=held)
    thumbnails = gathered(thumbnails)
    if not is_main_process():
        return run.path
    rows = with_labels(after.rows, labels_by(config.by, split, data.salt))
    write_rows(run.per_image, rows)
    metrics = metrics_of(card, split, config, model.facts, after, before) | {
        **by_metrics(rows),
        **words_of(run.path),
        **facts_of(training_of(history, config.epochs)),
        "trainable": tuned.trainable,
        "best_epoch": history.best_epoch,
        "leaks": leaks,
    }
    say_before_and_after(metrics)
    opened.tracking.scores(metrics, len(history.epochs))
    opened.stopwatch.lap("evaluation")
    add_scores(run.delta, metrics)  # first: a run with metrics.json is finished
    write_json(run.metrics, {**metrics, "seconds": opened.stopwatch.laps})
    report = write_report(run.path, thumbnails, leak_pictures(leaks, split.seen, split.test))
    say("report:", "bold", report)
    if config.time_limit:
        say(f"{clock(opened.stopwatch.passed)} of --time-limit {config.time_limit} have passed.")
    return run.path


def _from_the_start(config: FinetuneConfig) -> Path:
    """The command: libraries were imported before."""
    import psutil

    return finetune(config, time.time() - psutil.Process().create_time())


if __name__ == "__main__":
    run_command(_from_the_start, FinetuneConfig, "finetune", NETWORKS, shared_out=True)
