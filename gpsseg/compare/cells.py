"""The cells of a comparison: one run each, with its settings, its folder and what it found."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gpsseg.backbones import Backbone, Facts
from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import in_a_file_name
from gpsseg.config.private import load_salt
from gpsseg.config.written import Selected
from gpsseg.engine.machine import make_machine, peak_memory_mb
from gpsseg.errors import TrainingDivergedError, UserError
from gpsseg.files import write_json, write_rows
from gpsseg.finetune import tune
from gpsseg.reading import read_log, read_object
from gpsseg.runs.data import open_data
from gpsseg.runs.members import load_networks
from gpsseg.runs.method import tuned_weights
from gpsseg.runs.pool import one_of_several
from gpsseg.runs.settle import settle
from gpsseg.runs.trained import facts_of, training_of_run
from gpsseg.runs.words import words_of
from gpsseg.scope import scoped
from gpsseg.scoring.network import metrics_of, score_cases
from gpsseg.tuning.alike import same_layers
from gpsseg.writing import remove_folder

TESTED = ("per-image", "micro", "clinical", "lesions")  # the protocols of what is tested


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
        return f"{in_a_file_name(self.method)}-{size}-lr{self.factor:g}-seed{self.seed}"


def trials_of(config: CompareConfig) -> dict[tuple[int | None, str], list[Cell]]:
    """Of each training size and method the cells that try its learning rates."""
    settings = list(itertools.product(config.lr_factors, config.seeds[: config.trial_seeds]))
    return {
        (size, method): [Cell(method, size, factor, seed) for factor, seed in settings]
        for size, method in itertools.product(config.train_sizes or (None,), config.methods)
    }


def run_of(cell: Cell, config: CompareConfig) -> RunFolder:
    """The folder of a cell's run."""
    return RunFolder(config.output / "cells" / cell.name)


def settings_of(cell: Cell, config: CompareConfig, facts: Facts) -> SettledConfig:
    """The run of a cell, settled.

    Args:
        cell: which.
        config: of the comparison.
        facts: of the backbone.

    Raises:
        UserError: an option of the method has a value that finetune refuses.
    """
    options = config.settings_of(cell.method)
    settings = FinetuneConfig(**options | {"train_size": cell.train_size, "seed": cell.seed})
    settled = settle(settings, facts)
    return dataclasses.replace(
        settled,
        lr=settled.lr * cell.factor,
        decoder_lr=settled.decoder_lr * cell.factor,
        output=run_of(cell, config).path,
    )


def refuse_twins(
    methods: Sequence[str], runs: Sequence[FinetuneConfig], backbone: Backbone
) -> None:
    """Refuse two methods that differ in words alone: by values that are defaults, or by a name.

    Args:
        methods: as the user wrote them.
        runs: of each what its runs share.
        backbone: plain; stays as it is.

    Raises:
        UserError: there are two.
    """
    name = backbone.facts.name
    seen: list[tuple[str, SettledConfig]] = []
    for method, run in zip(methods, runs, strict=True):
        settled = settle(run, backbone.facts)
        for other, its in seen:
            if its == settled:
                raise UserError(
                    f"--methods {other} and {method} are the same with {name}: what one of "
                    "them sets is the default. Leave one out."
                )
            if _are_one_tuner(its, settled, backbone):
                raise UserError(
                    f"--methods {other} and {method} are the same with {name}: they put the same "
                    "layers into it, in other words. Leave one out."
                )
        seen.append((method, settled))


def _are_one_tuner(one: SettledConfig, other: SettledConfig, backbone: Backbone) -> bool:
    """Whether two runs differ by the words alone for layers of PEFT: lora is peft:lora,rank=8."""
    bare = [{**vars(run), "method": None, "rank": None} for run in (one, other)]
    if bare[0] != bare[1]:
        return False
    first, second = (one.method, one.rank), (other.method, other.rank)
    return same_layers(first, second, backbone, tuned_weights(backbone))


@scoped
def run_cell(config: SettledConfig, run: RunFolder, test: bool, threads: int) -> RunFolder:
    """Train a cell, unless it is trained, and where asked test it, unless it is tested.

    Args:
        config: of the cell.
        run: its folder.
        test: whether to score the test images.
        threads: of the processor.

    Returns:
        The folder, with cell.json; and metrics.json and per_image.csv, if tested.
    """
    salt = load_salt(run.path.parent.parent) if config.anonymous_ids else None
    with one_of_several(config, run, salt, threads) as config:
        if not run.cell.is_file():
            _train(config, run, salt)
        if test and not run.metrics.is_file():
            _test(config, run, salt)
    return run


def _train(config: SettledConfig, run: RunFolder, salt: str | None) -> None:
    """Train; a run that diverges counts with its best epoch, as finetune leaves it."""
    remove_folder(run.path)  # of a stopped comparison
    diverged, device = False, make_machine(config.device).device
    peak_memory_mb(device, reset=True)
    try:
        tune(config, salt)
    except TrainingDivergedError:
        diverged = True
    lines = [*read_log(run.log)]
    epochs = [row for row in lines if row.get("event") == "epoch"]
    validated = [row for row in epochs if "val_dice" in row]
    best = max(validated, key=lambda row: row["val_dice"], default=None)
    selection = read_object(run.layers, Selected)
    counts = ("encoder", "decoder", "total", "share_of_encoder", "share_of_total")
    names = (*counts, "at_a_time", "refreshes")  # of a run that selects anew
    content = {
        "val_dice": best["val_dice"] if best else 0.0,
        "best_epoch": best["epoch"] if best else 0,
        "epochs": len(epochs),
        "ended_early": any(row.get("event") == "ended" for row in lines),
        "diverged": diverged,
        "step_seconds": min((row["step_seconds"] for row in epochs), default=None),
        "memory_mb": peak_memory_mb(device),
        "delta_bytes": run.delta.stat().st_size,
        "lr": config.lr,
        "decoder_lr": config.decoder_lr,
        "trainable": {name: selection[name] for name in names if name in selection},
    }
    remove_folder(run.resume_point.parent)
    write_json(run.cell, content)


def _test(job: SettledConfig, run: RunFolder, salt: str | None) -> None:
    """Score the test split, for the first and only time, under a few protocols.

    Args:
        job: says where the images are now; they may have been moved since the training.
        run: its folder.
        salt: of the comparison.

    Raises:
        UserError: the images are no longer split as they were when the cell was trained.
    """
    data = open_data(job, salt, run=run.path, parts=())  # all were checked before the first run
    # that a method diverges at once is its result
    networks = load_networks(run.path, untrained=True)
    config, model = networks.config, networks.model
    machine = make_machine(config.device, config.precision)
    test = data.split.test
    after = score_cases(model, test, data.card, config, machine, protocols=TESTED)
    write_rows(run.per_image, after.rows)
    metrics = metrics_of(data.card, data.split, config, model.facts, after)
    training = facts_of(training_of_run(run.path, config.epochs))
    write_json(run.metrics, {**metrics, **words_of(run.path), **training})
