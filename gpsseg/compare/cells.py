"""The cells of a comparison: one run each, with its settings, its folder and what it found."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.compare import CompareConfig
from gpsseg.config.compare import parse_method as parse_method
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.files import console_in, read_log, read_object, write_json, write_rows
from gpsseg.veil import scoped

if TYPE_CHECKING:
    from gpsseg.backbones import Facts


@dataclass(frozen=True)
class Cell:
    """One run of a comparison.

    Attributes:
        method: as the user wrote it, such as "gps:top_k=8".
        train_size: number of training images; None for all.
        factor: of the method's default learning rates.
        seed: of the run.
    """

    method: str
    train_size: int | None
    factor: float
    seed: int

    @property
    def name(self) -> str:
        """Its folder's name.

        >>> Cell("gps:top_k=8", 20, 3.0, 0).name
        'gps-top_k=8-n20-lr3-seed0'
        """
        size = "all" if self.train_size is None else f"n{self.train_size}"
        method = self.method.replace(":", "-").replace(",", "-")
        return f"{method}-{size}-lr{self.factor:g}-seed{self.seed}"


def settings_of(cell: Cell, config: CompareConfig, facts: Facts) -> FinetuneConfig:
    """The run of a cell, settled.

    Args:
        cell: which.
        config: of the comparison.
        facts: of the backbone.

    Raises:
        UserError: an option of the method has a value that finetune refuses.
    """
    from gpsseg.runs.method import settle_training
    from gpsseg.select import settle

    options = config.settings_of(cell.method)
    settings = FinetuneConfig(**options | {"train_size": cell.train_size, "seed": cell.seed})
    settings = settle_training(settle(settings, facts), facts)
    assert settings.lr
    assert settings.decoder_lr
    return dataclasses.replace(
        settings,
        lr=settings.lr * cell.factor,
        decoder_lr=settings.decoder_lr * cell.factor,
        output=config.output / "cells" / cell.name,
    )


@scoped
def run_cell(config: FinetuneConfig, test: bool, threads: int) -> Path:
    """Train a cell, unless it is trained, and where asked test it, unless it is tested.

    What the run prints goes into a text file beside its folder, of the same name.

    Returns:
        The folder, with cell.json; and metrics.json and per_image.csv, if tested.
    """
    import torch

    from gpsseg.data.anonymous import draw_veil, load_salt
    from gpsseg.data.loader import default_workers

    torch.set_num_threads(threads)
    if config.workers is None:  # the cores are shared with other runs
        config = dataclasses.replace(config, workers=min(default_workers(), threads // 2))
    assert config.output is not None
    config.output.parent.mkdir(exist_ok=True)
    comparison = config.output.parent.parent
    salt = load_salt(comparison) if config.anonymous_ids else None
    draw_veil(salt, config)
    with console_in(config.output.with_name(f"{config.output.name}.txt")):
        if not (config.output / "cell.json").is_file():
            _train(config, salt)
        if test and not (config.output / "metrics.json").is_file():
            _test(config, salt)
    return config.output


def _train(config: FinetuneConfig, salt: str | None) -> None:
    """Train; a run that diverges counts with its best epoch, as finetune leaves it."""
    from gpsseg.engine.machine import make_machine, peak_memory_mb
    from gpsseg.errors import TrainingDivergedError
    from gpsseg.finetune import tune

    run = config.output
    assert run is not None
    shutil.rmtree(run, ignore_errors=True)  # of a stopped comparison
    diverged = False
    try:
        tune(config, salt)
    except TrainingDivergedError:
        diverged = True
    epochs = [row for row in read_log(run / "log.jsonl") if row.get("event") == "epoch"]
    validated = [row for row in epochs if "val_dice" in row]
    best = max(validated, key=lambda row: row["val_dice"], default=None)
    selection = read_object(run / "selection.json")
    names = ("encoder", "decoder", "total", "share_of_encoder", "share_of_total")
    content = {
        "val_dice": best["val_dice"] if best else 0.0,
        "best_epoch": best["epoch"] if best else 0,
        "epochs": len(epochs),
        "diverged": diverged,
        "step_seconds": min((row["step_seconds"] for row in epochs), default=None),
        "memory_mb": peak_memory_mb(make_machine(config.device).device),
        "delta_bytes": (run / "delta.safetensors").stat().st_size,
        "lr": config.lr,
        "decoder_lr": config.decoder_lr,
        "trainable": {name: selection[name] for name in names},
    }
    shutil.rmtree(run / "state", ignore_errors=True)
    write_json(run / "cell.json", content)


def _test(job: FinetuneConfig, salt: str | None) -> None:
    """Score the test split, for the first and only time, under two protocols.

    Raises:
        UserError: the images are no longer split as they were when the cell was trained.
    """
    from gpsseg.data.anonymous import anonymous_card
    from gpsseg.data.cards.own import card_of
    from gpsseg.engine.machine import make_machine
    from gpsseg.runs.folder import greys_of, load_run
    from gpsseg.runs.greys import with_greys
    from gpsseg.runs.trained import facts_of, training_of_run
    from gpsseg.scoring.network import (
        class_metrics,
        class_table,
        provenance,
        score_cases,
        with_class_scores,
    )
    from gpsseg.select import find_split

    run = job.output
    assert run is not None
    config, model = load_run(run, untrained=True)  # that a method diverges at once is its result
    card = anonymous_card(card_of(job), salt)  # the data may have been moved since
    split = with_greys(find_split(card, job, salt=salt, run=run), greys_of(run))
    machine = make_machine(config.device, config.precision)
    classes = class_table(card)
    scorer = score_cases(
        model,
        split.test,
        card,
        config,
        machine,
        protocols=("per-image", "micro"),
        classes=classes,
    )
    write_rows(run / "per_image.csv", with_class_scores(scorer.rows(), classes))
    metrics = provenance(card, split, config, model.facts)
    metrics |= facts_of(training_of_run(run, config.epochs))
    by_class = class_metrics(after=classes)
    write_json(run / "metrics.json", {**metrics, "after": scorer.summary(), **by_class})
