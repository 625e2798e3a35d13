"""The networks of a run or of a study's folds: one base in memory, and the deltas of all.

A run is an ensemble of one. All who use a finished run's network come here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder, StudyFolder, goes_on_by
from gpsseg.config.private import HIDDEN, load_salt
from gpsseg.config.resuming import read_config
from gpsseg.config.written import FoldedStudy
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.errors import UserError, counted
from gpsseg.files import sha256_of_file
from gpsseg.gps import Delta, apply_all
from gpsseg.processes import by_main
from gpsseg.reading import read_object
from gpsseg.runs.greys import greys_of
from gpsseg.runs.method import add_layers, load_base
from gpsseg.runs.settle import settle
from gpsseg.runs.trained import check_trained, facts_of, facts_of_folds, training_of_run
from gpsseg.runs.tuned import require_delta

ONE = (  # settings that decide what a network is and what it is shown
    *("backbone", "weights", "prompt", "image_size", "precision", "method", "rank"),
    *("classes", "separate_classes", "anonymous_ids"),
)


@dataclass(frozen=True)
class Networks:
    """What predicts.

    Attributes:
        folder: of the run or the study.
        runs: the folders of the run, or of the study's folds.
        config: the first one's settings, which all of them share as far as they decide what the
            network is.
        model: the network; the first one's values are in place.
        members: each puts one's values in place, in the order of ``runs``; nothing of a single run.
    """

    folder: Path
    runs: Sequence[Path]
    config: SettledConfig
    model: Backbone
    members: Sequence[Callable[[], None]] = ()

    @property
    def is_study(self) -> bool:
        """Whether these are the folds of a study."""
        return bool(self.members)


def runs_of(folder: Path) -> tuple[Path, ...]:
    """The folder of a run, or those of a study's folds.

    Raises:
        UserError: study.json is damaged, or a fold is not there.
    """
    study = StudyFolder(folder)
    if not study.is_study:
        return (folder,)
    folds, runs = read_object(study.settings, FoldedStudy)["folds"], []
    for fold in range(1, folds + 1):
        run = study.run_of(fold)
        if not run.delta.is_file():
            raise UserError(
                f"{folder} is a study of {counted(folds, 'fold')}, and {run.path.name} has no "
                f"{run.delta.name}: it was stopped before it had a result. Go on by: "
                f"{goes_on_by(folder)}."
            )
        runs.append(run.path)
    return tuple(runs)


def refuse_study(folder: Path) -> None:
    """Refuse a study where one network is asked for.

    Raises:
        UserError: it is one; its folds are named.
    """
    study = StudyFolder(folder)
    if study.is_study:
        folds = read_object(study.settings, FoldedStudy)["folds"]
        raise UserError(
            f"{folder} is a study of {counted(folds, 'fold')}, expected one run: each fold "
            f"has a network of its own. Name one of them: --run {study.run_of(1).path}."
        )


def first_config(folder: Path) -> FinetuneConfig:
    """The settings of a run, or those that the folds of a study share; checked for a result.

    Raises:
        UserError: the folder is neither, there is no result, or the folds do not fit together.
    """
    runs = runs_of(folder)
    first = read_config(runs[0])
    require_delta(runs[0])
    if first.anonymous_ids:
        _refuse_other_salts(runs)
    for run in runs[1:]:
        _refuse_other(runs[0], first, run, read_config(run))
    return first


def split_aside(study: Path) -> str | None:
    """The split of the set whose images a study dealt into folds; None where it was the default."""
    split = read_object(StudyFolder(study).settings, FoldedStudy).get("split")
    return None if split in (None, "None", HIDDEN) else str(split)


def _refuse_other_salts(runs: Sequence[Path]) -> None:
    """Refuse nameless folds of several salts; who predicts needs none, and they may be kept apart.

    Raises:
        UserError: two of those that are there differ.
    """
    kept = [run for run in runs if RunFolder(run).salt.is_file()]
    salts = [load_salt(run) for run in kept]
    for run, salt in zip(kept, salts, strict=True):
        if salt != salts[0]:
            raise UserError(
                f"The salt.txt of {run} is not that of {kept[0].name}, expected one for all folds. "
                "Put back the file as gpsseg wrote it."
            )


def _refuse_other(first: Path, config: FinetuneConfig, other: Path, its: FinetuneConfig) -> None:
    """Refuse two folds whose networks cannot be averaged.

    Raises:
        UserError: they differ in what a network is or in what it is shown.
    """
    pairs: dict[str, tuple[Any, Any]] = {n: (getattr(config, n), getattr(its, n)) for n in ONE}
    pairs["range of greys"] = greys_of(first), greys_of(other)
    for name, (here, there) in pairs.items():
        if here != there:
            raise UserError(
                f"{other} was trained with another {name.replace('_', ' ')} ({there}) than "
                f"{first.name} ({here}), expected the same in all folds of a study. Put back its "
                "folders as gpsseg wrote them, or name one of them as --run."
            )


def load_networks(folder: Path, untrained: bool = False) -> Networks:
    """Load the tuned network of a run, or those of a study; say so if a training was stopped.

    Args:
        folder: of the run or the study.
        untrained: whether a network that was stopped before its first validation will do.

    Raises:
        UserError: the folder is neither, there is no result, or the folds do not fit together.
    """
    config, runs = first_config(folder), runs_of(folder)
    if not (config.image_size and isinstance(config.batch_size, int)):
        raise UserError(
            f"{runs[0]}/config.json lacks image_size or batch_size, expected whole numbers. Put "
            "back the file as gpsseg wrote it."
        )
    model = load_base(config, card_of(config) if config.separate_classes else None)
    for run in runs:
        _refuse_untrained(run, untrained)
    files = [RunFolder(run).delta for run in runs]
    what = files[0].name if len(files) == 1 else f"{len(files)} deltas"
    with working(f"applying {what}"):
        deltas = by_main(lambda: [Delta.load(file) for file in files])
        members = apply_all(model, deltas, lambda _: add_layers(model, config))
    return Networks(folder, runs, settle(config, model.facts), model, members)


def _refuse_untrained(run: Path, untrained: bool) -> None:
    epochs = read_config(run).epochs
    by_main(lambda: check_trained(run, epochs, untrained))


def training_facts(folder: Path) -> dict[str, Any]:
    """What metrics.json says of a training that was stopped; of a study's, in which folds."""
    facts = [facts_of(training_of_run(run, read_config(run).epochs)) for run in runs_of(folder)]
    return facts_of_folds(facts) if StudyFolder(folder).is_study else facts[0]


def delta_hash(folder: Path) -> str | list[str]:
    """The SHA-256 of a run's delta; of a study a list of those of its folds."""
    hashes = [sha256_of_file(RunFolder(run).delta) for run in runs_of(folder)]
    return hashes if StudyFolder(folder).is_study else hashes[0]
