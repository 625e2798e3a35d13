"""The cells of a comparison: one run each, with its settings, its folder and what it found."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.errors import UserError, look_up
from gpsseg.files import read_json, write_json, write_rows

if TYPE_CHECKING:
    from gpsseg.backbones import Facts

OPTIONS = (
    "top_k",
    "decoder_top_k",
    "criterion",
    "level",
    "biases",
    "selection_images",
    "rank",
    "lr",
    "decoder_lr",
    "warmup",
)


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


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Read a method with options.

    >>> parse_method("gps:top_k=8,criterion=fisher")
    ('gps', {'top_k': 8, 'criterion': 'fisher'})

    Raises:
        UserError: the method or an option is unknown, or an option has no value.
    """
    from gpsseg.tuning import METHODS

    name, _, rest = text.partition(":")
    look_up(name, METHODS, "method")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        look_up(option, dict.fromkeys(OPTIONS), f"option in --methods {text}")
        if not equals or not value:
            raise UserError(f"--methods {text}: {option} has no value. Write {option}=VALUE.")
        options[option] = _number(value)
    return name, options


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def settings_of(cell: Cell, config: CompareConfig, facts: Facts) -> FinetuneConfig:
    """The run of a cell, settled.

    Args:
        cell: which.
        config: of the comparison.
        facts: of the backbone.

    Raises:
        UserError: an option of the method has a value that finetune refuses.
    """
    from gpsseg.methods import settle_training
    from gpsseg.select import settle

    name, options = parse_method(cell.method)
    shared = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(FinetuneConfig)
        if hasattr(config, field.name)
    }
    settings = FinetuneConfig(
        **shared | options | {"method": name, "train_size": cell.train_size, "seed": cell.seed}
    )
    settings = settle_training(settle(settings, facts), facts)
    assert settings.lr
    assert settings.decoder_lr
    return dataclasses.replace(
        settings,
        lr=settings.lr * cell.factor,
        decoder_lr=settings.decoder_lr * cell.factor,
        output=config.output / "cells" / cell.name,
    )


def run_cell(config: FinetuneConfig, test: bool, threads: int) -> Path:
    """Train a cell, unless it is trained, and where asked test it, unless it is tested.

    What the run prints goes into a text file beside its folder, of the same name.

    Returns:
        The folder, with cell.json; and metrics.json and per_image.csv, if tested.
    """
    import contextlib

    import torch

    from gpsseg.data.loader import default_workers

    torch.set_num_threads(threads)
    if config.workers is None:  # the cores are shared with other runs
        config = dataclasses.replace(config, workers=min(default_workers(), threads // 2))
    assert config.output is not None
    config.output.parent.mkdir(exist_ok=True)
    console = config.output.with_name(f"{config.output.name}.txt")
    with (
        console.open("a", encoding="utf-8") as text,
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(text),
    ):
        if not (config.output / "cell.json").is_file():
            _train(config)
        if test and not (config.output / "metrics.json").is_file():
            _test(config.output)
    return config.output


def _train(config: FinetuneConfig) -> None:
    """Train; a run that diverges counts with its best epoch, as finetune leaves it."""
    from gpsseg.errors import TrainingDivergedError
    from gpsseg.finetune import tune
    from gpsseg.machine import make_machine, peak_memory_mb

    run = config.output
    assert run is not None
    shutil.rmtree(run, ignore_errors=True)  # of a stopped comparison
    diverged = False
    try:
        tune(config)
    except TrainingDivergedError:
        diverged = True
    epochs = [row for row in read_log(run) if row["event"] == "epoch"]
    validated = [row for row in epochs if "val_dice" in row]
    best = max(validated, key=lambda row: row["val_dice"], default=None)
    selection = read_json(run / "selection.json")
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


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log.jsonl; none where it was stopped before the first."""
    import json

    log = run / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def _test(run: Path) -> None:
    """Score the test split, for the first and only time, under two protocols."""
    from gpsseg.data.own import card_of
    from gpsseg.machine import make_machine
    from gpsseg.runs import load_run, salt_of
    from gpsseg.scoring import (
        class_metrics,
        class_table,
        provenance,
        score_cases,
        with_class_scores,
    )
    from gpsseg.select import find_split

    config, model = load_run(run)
    card = card_of(config)
    salt = salt_of(dataclasses.replace(config, resume=run))
    split = find_split(card, config, salt=salt, run=run)
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
    by_class = class_metrics(config.seed, after=classes)
    write_json(run / "metrics.json", {**metrics, "after": scorer.summary(), **by_class})
