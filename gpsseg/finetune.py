"""`python -m gpsseg.finetune`: the whole method, from images to a report."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.console import NETWORKS, run_command, say, working
from gpsseg.veil import part_of_scoped, scoped

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from gpsseg.backbones import Backbone
    from gpsseg.data.cards.card import Card
    from gpsseg.data.splits.split import Case, Split
    from gpsseg.engine.machine import Machine
    from gpsseg.engine.train import History
    from gpsseg.gps import Selection
    from gpsseg.report.thumbnails import Thumbnail


@scoped
def finetune(config: FinetuneConfig) -> Path:
    """Adapt a backbone to a data set and return the run folder; see ``FinetuneConfig``.

    Raises:
        UserError: bad input, named in one sentence; a run folder keeps what there was.
    """
    with contextlib.ExitStack() as held:
        return _test(_tune(config, None, held))


def _test(tuned: Tuned) -> Path:
    """Score the test split, and write the report."""
    from gpsseg.files import is_main_process, write_json
    from gpsseg.report import write_report
    from gpsseg.runs.leaks import check_leaks, leak_pictures

    if not is_main_process():
        return tuned.run
    seen, test = (*tuned.split.train, *tuned.split.val), tuned.split.test
    leaks = tuned.leaks or check_leaks(seen, test, strict=False)
    metrics, thumbnails = score_before_and_after(tuned)
    metrics |= {
        "trainable": tuned.trainable,
        "best_epoch": tuned.history.best_epoch,
        "leaks": leaks,
    }
    tuned.watch.lap("evaluation")
    write_json(tuned.run / "metrics.json", {**metrics, "seconds": tuned.watch.laps})
    report = write_report(tuned.run, thumbnails, leak_pictures(leaks, seen, test))
    say(f"report: {report}", style="bold")
    return tuned.run


@dataclass(frozen=True)
class Tuned:
    """A finished training, before any test image was looked at.

    Attributes:
        run: its folder, with config.json, split.json, selection, delta.safetensors, log.jsonl.
        config: settled.
        card, split, machine: what it was made with.
        trainable: counts as in metrics.json.
        history: of the epochs.
        leaks: as in metrics.json, where ``strict`` asked for them before training.
        watch: seconds of each stage.
    """

    run: Path
    config: FinetuneConfig
    card: Card
    split: Split
    machine: Machine
    trainable: dict[str, Any]
    history: History
    leaks: dict[str, Any] | None
    watch: Stopwatch


@part_of_scoped
def tune(config: FinetuneConfig, salt: str | None = None) -> Tuned:
    """Load, select, sparsify and train: all of ``finetune`` that comes before the test split.

    A comparison's runs have its ``salt``; any other nameless run has one of its own.
    """
    with contextlib.ExitStack() as held:
        return _tune(config, salt, held)


def _tune(config: FinetuneConfig, salt: str | None, held: contextlib.ExitStack) -> Tuned:
    from gpsseg import gps
    from gpsseg.data.anonymous import anonymous_card
    from gpsseg.data.cards.own import card_of
    from gpsseg.engine import train as engine
    from gpsseg.engine.machine import make_machine, require_device
    from gpsseg.errors import TrainingDivergedError
    from gpsseg.runs import folder as runs
    from gpsseg.runs.greys import check_split
    from gpsseg.runs.leaks import check_leaks
    from gpsseg.runs.method import (
        add_layers,
        identify_base,
        load_base,
        refuse_without_effect,
        require_backbone,
        settle_training,
        what_trains,
    )
    from gpsseg.runs.trained import training_of
    from gpsseg.select import (
        describe,
        find_split,
        layer_table,
        save_selection,
        settle,
        trainable_counts,
        training_batches,
    )

    watch = Stopwatch()
    config = runs.resumed(config)
    salt = runs.salt_of(config, salt)
    require_device(config.device)
    require_backbone(config)
    card = card_of(config)
    backbone = load_base(config, card)
    refuse_without_effect(backbone, config)
    config = settle_training(settle(config, backbone.facts), backbone.facts)
    if config.checkpoint_activations:
        engine.checkpoint_activations(backbone)
    card = anonymous_card(card, salt)
    split = find_split(card, config, salt=salt, run=config.resume)
    kept = runs.greys_of(config.resume) if config.resume else None
    split, greys = check_split(split, kept, anonymous=salt is not None)
    seen = (*split.train, *split.val)
    leaks = check_leaks(seen, split.test, strict=True) if config.strict else None
    machine = make_machine(config.device, config.precision)
    engine.depthwise_in_float32(backbone, machine)
    say_few_updates(split.train, config)
    run = runs.open_run(config, card, split, machine.precision, salt, held, greys)
    watch.lap("loading")

    with working("noting the base network's weights"):
        base = identify_base(backbone, config)
    if config.resume:
        add_layers(backbone, config)
        selection = gps.Selection.load(config.resume / "selection.safetensors")
        layers = layer_table(backbone, selection)
    else:
        batches = functools.partial(training_batches, card, split, config)
        selection, how = what_trains(backbone, config, machine, batches)
        layers = layer_table(backbone, selection)
        save_selection(run, selection, layers, how)
    trainable = trainable_counts(layers)
    say(describe(trainable))
    watch.lap("selection")

    gps.sparsify(backbone, selection)
    log_dense(gps.with_dense_gradient(backbone), run)

    def keep(history: History) -> None:
        """Write what the training made; also after Ctrl-C or a diverged loss."""
        training = training_of(history, config.epochs)
        facts: dict[str, Any] = {"dataset": card.name, "split_sha256": split.sha256}
        facts |= training.metadata
        delta = gps.extract(backbone, **base, **facts)
        delta.save(run / "delta.safetensors")
        if training.sentence:
            say(f"delta.safetensors: {training.sentence}", style="bold yellow")

    try:
        history = fit(backbone, selection, card, split, config, machine, run, keep)
    except TrainingDivergedError:  # all processes know of it; the first to end would end the others
        machine.wait()
        raise
    watch.lap("training")
    size = (run / "delta.safetensors").stat().st_size / 2**20
    say(f"result: delta.safetensors, {size:.2f} MB")
    return Tuned(run, config, card, split, machine, trainable, history, leaks, watch)


def fit(
    backbone: Backbone,
    selection: Selection,
    card: Card,
    split: Split,
    config: FinetuneConfig,
    machine: Machine,
    run: Path,
    keep: Callable[[History], None] | None = None,
) -> History:
    """Train the prepared network; validation mDice picks the epoch it ends with.

    Where classes are told apart it is the mean over them. ``keep`` as for
    ``gpsseg.engine.train.train``.
    """
    from gpsseg.data.cache import cache_folder
    from gpsseg.data.loader import CaseDataset, default_workers, make_loader
    from gpsseg.engine.train import train
    from gpsseg.runs.method import learning_rates
    from gpsseg.scoring.network import class_table, score_cases

    size, batch_size = config.image_size, config.batch_size
    cache = cache_folder(config.cache)
    workers = default_workers() if config.workers is None else config.workers
    assert size, "settle the configuration first"
    assert batch_size, "settle the configuration first"

    def batches_of(epoch: int) -> DataLoader[Any]:
        dataset = CaseDataset(split.train, card, size, True, config.seed, epoch, cache)
        return make_loader(dataset, batch_size, workers, True, machine.part)

    def validate() -> float:
        protocols, classes = ("per-image",), class_table(card)
        scorer = score_cases(
            backbone, split.val, card, config, machine, None, protocols, classes=classes
        )
        return scorer.summary()["per-image"]["dice"] if classes is None else classes.macro_dice

    rates = learning_rates(backbone, selection, config)
    history = train(backbone, batches_of, validate, rates, config, machine, run, keep)
    say_waiting([row["waiting"] for row in history.epochs], workers)
    return history


def say_few_updates(train: Sequence[Case], config: FinetuneConfig) -> None:
    """Say so if an epoch has fewer batches than ``accumulate`` adds up for one step."""
    assert config.batch_size, "settle the configuration first"
    batches = -(-len(train) // config.batch_size)
    if config.accumulate > batches:
        say(
            f"--accumulate {config.accumulate} is more than the {batches} batches of an epoch, so "
            "that there are very few steps. Lower it, or take smaller batches.",
            style="bold yellow",
        )


def log_dense(weights: Sequence[str], run: Path) -> None:
    """Name in log.jsonl the weights for which training saves no memory."""
    from gpsseg.files import log_to

    if weights:
        log_to(run / "log.jsonl")({"event": "dense gradients", "weights": list(weights)})


def say_waiting(shares: Sequence[float], workers: int) -> None:
    """Say so if training spent more than a tenth of its time waiting for images."""
    share = sum(shares) / max(1, len(shares))
    if share > 0.1:
        say(
            f"Training waited for images {share:.0%} of its time. More --workers (now {workers}) "
            "prepare them on idle cores meanwhile.",
            style="yellow",
        )


def score_before_and_after(tuned: Tuned) -> tuple[dict[str, Any], list[Thumbnail]]:
    """Score the test split, for the first and only time: the untuned base, then base plus delta.

    The tuned network is put together from the files of the run, as a user would get it.
    """
    from gpsseg.evaluators.words import name_of_base
    from gpsseg.files import write_rows
    from gpsseg.runs.folder import apply_delta
    from gpsseg.runs.method import load_base
    from gpsseg.runs.trained import facts_of, training_of
    from gpsseg.scoring.network import (
        before_is,
        class_metrics,
        class_table,
        provenance,
        score_cases,
        with_class_scores,
    )
    from gpsseg.scoring.say import say_classes, say_scores

    run, config, card, split = tuned.run, tuned.config, tuned.card, tuned.split
    model = load_base(config, card)
    untuned, classes = class_table(card), class_table(card)
    base = score_cases(
        model, split.test, card, config, tuned.machine, "testing the base", classes=untuned
    )
    before = base.summary()
    apply_delta(run / "delta.safetensors", model, config, untrained=True)
    thumbnails: list[Thumbnail] = []
    scorer = score_cases(
        model,
        split.test,
        card,
        config,
        tuned.machine,
        "testing the result",
        thumbnails=thumbnails,
        pool=True,
        classes=classes,
    )
    after = scorer.summary()
    write_rows(run / "per_image.csv", with_class_scores(scorer.rows(), classes))
    metrics = provenance(card, split, config, model.facts)
    metrics |= {"before_is": before_is(model.facts)}
    metrics |= facts_of(training_of(tuned.history, config.epochs))
    first = name_of_base(metrics)
    say_scores(first, before, metrics["prompt"])
    say_scores("after".ljust(len(first)), after, metrics["prompt"])
    by_class = class_metrics(before=untuned, after=classes)
    say_classes(by_class.get("classes", {}), name_of_base(metrics))
    details = {"strata": scorer.strata(), "calibration": scorer.calibration(), **by_class}
    return {**metrics, "before": before, "after": after, **details}, thumbnails


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
    run_command(finetune, FinetuneConfig, "finetune", NETWORKS)
