"""`python -m gpsseg.finetune`: the whole method, from images to a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config import FinetuneConfig
from gpsseg.console import run_command, say

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from gpsseg.backbones import Backbone
    from gpsseg.data.cards import Card
    from gpsseg.data.cases import Split
    from gpsseg.engine import History
    from gpsseg.gps import Selection
    from gpsseg.machine import Machine
    from gpsseg.report.thumbnails import Thumbnail


def finetune(config: FinetuneConfig) -> Path:
    """Adapt a backbone to a data set and return the run folder; see ``FinetuneConfig``.

    Raises:
        UserError: bad input, named in one sentence; a run folder keeps what there was.
    """
    from gpsseg import engine, gps, runs, tuning
    from gpsseg.backbones import load_backbone
    from gpsseg.data.checks import say_notes
    from gpsseg.data.own import card_of
    from gpsseg.errors import look_up
    from gpsseg.files import is_main_process, write_json
    from gpsseg.leakage import check_leaks, leak_pictures
    from gpsseg.machine import make_machine
    from gpsseg.report import write_report
    from gpsseg.select import (
        choose,
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
    tune = look_up(config.method, {"gps": None, **tuning.METHODS}, "method")
    card = card_of(config)
    backbone = load_backbone(config.backbone, config.prompt, config.seed, weights=config.weights)
    config = settle(config, backbone.facts)
    if config.checkpoint_activations:
        engine.checkpoint_activations(backbone)
    salt = runs.salt_of(config)
    split = find_split(card, config, salt=salt)
    say_notes((*split.train, *split.val, *split.test), anonymous=salt is not None)
    seen = (*split.train, *split.val)
    leaks = check_leaks(seen, split.test, strict=True) if config.strict else None
    machine = make_machine(config.device, config.precision, config.accumulate)
    run = runs.open_run(config, card, split, machine.precision, salt)
    watch.lap("loading")

    how: dict[str, Any] = {}
    if config.resume:
        selection = gps.Selection.load(config.resume / "selection.safetensors")
    elif tune:
        selection = gps.Selection({}, {}, tuple(tune(backbone.roles())))
    else:
        batches = training_batches(card, split, config)
        selection, how = choose(backbone, batches, config, machine, config.seed)
    layers = layer_table(backbone, selection)
    if not config.resume:
        save_selection(run, selection, layers, how)
    say(describe(trainable_counts(layers)))
    watch.lap("selection")

    base = identify_base(backbone, selection, config)
    gps.sparsify(backbone, selection)
    say_dense(gps.with_dense_gradient(backbone))
    try:
        history = fit(backbone, selection, card, split, config, machine, run)
    finally:  # also after Ctrl-C or a diverged loss: the best state so far
        delta = gps.extract(backbone, **base, dataset=card.name, split_sha256=split.sha256)
        delta.save(run / "delta.safetensors")
    watch.lap("training")
    if not is_main_process():
        return run

    leaks = leaks or check_leaks(seen, split.test, strict=False)
    metrics, thumbnails = score_before_and_after(run, card, split, config, machine)
    metrics |= {
        "trainable": trainable_counts(layers),
        "best_epoch": history.best_epoch,
        "leaks": leaks,
    }
    watch.lap("evaluation")
    write_json(run / "metrics.json", {**metrics, "seconds": watch.laps})
    report = write_report(run, thumbnails, leak_pictures(leaks, seen, split.test))
    say(f"report: {report}", style="bold")
    return run


def fit(
    backbone: Backbone,
    selection: Selection,
    card: Card,
    split: Split,
    config: FinetuneConfig,
    machine: Machine,
    run: Path,
) -> History:
    """Train the prepared network; validation mDice picks the epoch it ends with."""
    from gpsseg.data.cache import cache_folder
    from gpsseg.data.loader import CaseDataset, default_workers, make_loader
    from gpsseg.engine import train
    from gpsseg.evaluate import score_cases

    size, batch_size = config.image_size, config.batch_size
    cache = cache_folder(config.cache)
    workers = default_workers() if config.workers is None else config.workers
    assert size, "settle the configuration first"
    assert batch_size, "settle the configuration first"

    def batches_of(epoch: int) -> DataLoader[Any]:
        dataset = CaseDataset(split.train, card, size, True, config.seed, epoch, cache)
        return machine.share(make_loader(dataset, batch_size, workers, shuffle=True))

    def validate() -> float:
        scorer = score_cases(backbone, split.val, card, config, machine, None, ("per-image",))
        return scorer.summary()["per-image"]["dice"]

    rates = learning_rates(backbone, selection, config)
    history = train(backbone, batches_of, validate, rates, config, machine, run)
    say_waiting([row["waiting"] for row in history.epochs], workers)
    return history


def say_dense(weights: Sequence[str]) -> None:
    """Name the weights for which training saves no memory."""
    if weights:
        say(
            f"{len(weights)} weights are of layers that gpsseg knows no sparse backward pass for; "
            f"their dense gradients are formed: {', '.join(weights[:3])}"
        )


def say_waiting(shares: Sequence[float], workers: int) -> None:
    """Say so if training spent more than a tenth of its time waiting for images."""
    share = sum(shares) / max(1, len(shares))
    if share > 0.1:
        say(
            f"Training waited for images {share:.0%} of its time. More --workers (now {workers}) "
            "prepare them on idle cores meanwhile.",
            style="yellow",
        )


def learning_rates(
    backbone: Backbone, selection: Selection, config: FinetuneConfig
) -> dict[str, float]:
    """Parameter name -> peak learning rate: the user's, or what suits the backbone and method."""
    defaults = backbone.facts.learning_rates
    if config.method != "gps":
        return dict.fromkeys(selection.dense, config.lr or defaults[config.method])
    values, dense = config.lr or defaults["values"], config.decoder_lr or defaults["decoder"]
    roles = {name: backbone.roles().get(name) for name in selection.dense}
    rates = {name: dense if roles[name] == "decoder" else values for name in selection.dense}
    return rates | {f"{name}_values": values for name in selection.indices}


def identify_base(
    backbone: Backbone, selection: Selection, config: FinetuneConfig
) -> dict[str, Any]:
    """Name and hash of the network that a delta is about to be trained on.

    Whatever starts from random weights and trains whole is replaced by the delta and not hashed.
    """
    from gpsseg.gps import model_hash

    scratch = backbone.facts.scratch
    roles = backbone.roles()
    free = tuple(name for name in selection.dense if roles[name] in scratch)
    weights = f"weights {Path(config.weights).name}, " if config.weights else ""
    settings = f"{weights}prompt {backbone.facts.prompt}, seed {config.seed}"
    return {
        "base": f"{Path(config.backbone).name} ({settings})",
        "base_hash": model_hash(backbone, free),
        "free": free,
    }


def score_before_and_after(
    run: Path, card: Card, split: Split, config: FinetuneConfig, machine: Machine
) -> tuple[dict[str, Any], list[Thumbnail]]:
    """Score the test split, for the first and only time: the untuned base, then base plus delta.

    The tuned network is put together from the files of the run, as a user would get it.
    """
    from gpsseg.announce import say_scores
    from gpsseg.backbones import load_backbone
    from gpsseg.evaluate import PROTOCOLS, provenance, score_cases
    from gpsseg.files import write_rows
    from gpsseg.gps import Delta

    model = load_backbone(config.backbone, config.prompt, config.seed, weights=config.weights)
    base_scores = score_cases(model, split.test, card, config, machine, "testing the base")
    before = base_scores.summary()
    Delta.load(run / "delta.safetensors").apply(model)
    thumbnails: list[Thumbnail] = []
    scorer = score_cases(
        model, split.test, card, config, machine, "testing the result", PROTOCOLS, thumbnails, True
    )
    after = scorer.summary()
    write_rows(run / "per_image.csv", scorer.rows())
    metrics = provenance(card, split, config, model.facts)
    say_scores("before", before, metrics["prompt"])
    say_scores("after", after, metrics["prompt"])
    details = {"strata": scorer.strata(), "calibration": scorer.calibration()}
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
    run_command(finetune, FinetuneConfig, "finetune")
