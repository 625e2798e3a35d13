"""The networks of runs, and of studies' folds: one base in memory, and the deltas of all.

A run is an ensemble of one. All who use a finished run's network come here, also with several runs:
those that were tuned from one base take turns in one network.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder, StudyFolder, goes_on_by
from gpsseg.config.private import HIDDEN, load_salt
from gpsseg.config.resuming import read_config
from gpsseg.config.written import FoldedStudy
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.errors import UserError, counted
from gpsseg.files import sha256_of_file
from gpsseg.gps import Delta, Turns, apply_all
from gpsseg.gps.alike import SEEN_ALIKE
from gpsseg.processes import by_main
from gpsseg.reading import read_object
from gpsseg.runs.greys import greys_of
from gpsseg.runs.known_base import base_of_run
from gpsseg.runs.method import add_layers
from gpsseg.runs.networks import Networks
from gpsseg.runs.settle import settle
from gpsseg.runs.trained import (
    check_trained,
    require_delta,
)
from gpsseg.runs.words import asked_with
from gpsseg.tuning import method_of

ONE = (  # settings that decide what a network is and what it is shown
    *("backbone", "weights", "precision", "anonymous_ids"),
    *(name for name in SEEN_ALIKE if name != "text"),  # each fold is asked by a word of its own
)


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
    return load_all([folder], untrained)[0]


@dataclass(frozen=True, eq=False)
class NetworksToLoad:
    """What is read of a run or a study before its base.

    Attributes:
        folder: of the run or the study.
        runs: as in ``Networks``.
        config: the first one's settings.
        deltas: of the runs.
    """

    folder: Path
    runs: Sequence[Path]
    config: FinetuneConfig
    deltas: Sequence[Delta]

    @property
    def network(self) -> Hashable:
        """What is equal of those that can take turns in one network: its base and its layers."""
        config, first = self.config, self.deltas[0]
        method = method_of(config.method)
        layers = (config.method, config.rank) if method.adds else None
        # By its seed, what no checkpoint gives values for is drawn; base_hash leaves that out.
        drawn = (frozenset(first.free), config.seed) if first.free else None
        base = first.metadata.get("base_hash"), drawn
        return config.backbone, config.weights, config.prompt, _logits(config), base, layers


def load_all(
    folders: Sequence[Path], untrained: bool = False, with_base: bool = False
) -> tuple[Networks, ...]:
    """Load what several runs or studies need: one network for all that were tuned from one base.

    Args:
        folders: of the runs or studies.
        untrained: whether a network that was stopped before its first validation will do.
        with_base: whether to keep the base's own values also beside the only delta of a network.

    Raises:
        UserError: as ``load_networks``.
    """
    sources = [_read(folder, untrained) for folder in folders]
    loaded: dict[Hashable, tuple[Backbone, Turns | None]] = {}
    found = []
    for source in sources:
        same = [each for each in sources if each.network == source.network]
        if source.network not in loaded:
            loaded[source.network] = _load(same, with_base)
        model, turns = loaded[source.network]
        settled = settle(source.config, model.facts)
        if turns is None:
            found.append(Networks(source.folder, source.runs, settled, model))
            continue
        place = sum(len(each.deltas) for each in same[: same.index(source)])
        own = turns.members[place : place + len(source.deltas)]
        words = [read_config(run).text for run in source.runs]
        members = [asked_with(model, *each) for each in zip(own, words, strict=True)]
        base = asked_with(model, turns.base, settled.text)
        told = tuple(text[0] for text in words if text)
        own_turns = members, base, turns.lock, told
        found.append(Networks(source.folder, source.runs, settled, model, *own_turns))
    return tuple(found)


def _read(folder: Path, untrained: bool) -> NetworksToLoad:
    """The settings and deltas of a run or a study.

    Raises:
        UserError: as ``load_networks``.
    """
    config, runs = first_config(folder), runs_of(folder)
    if not (config.image_size and isinstance(config.batch_size, int)):
        raise UserError(
            f"{runs[0]}/config.json lacks image_size or batch_size, expected whole numbers. Put "
            "back the file as gpsseg wrote it."
        )
    for run in runs:
        _refuse_untrained(run, untrained)
    deltas = by_main(lambda: [Delta.load(RunFolder(run).delta) for run in runs])
    return NetworksToLoad(folder, runs, config, deltas)


def _load(sources: Sequence[NetworksToLoad], with_base: bool) -> tuple[Backbone, Turns | None]:
    """The network of those that take turns in it; there is nobody to take turns with one delta."""
    config = sources[0].config
    deltas = [delta for source in sources for delta in source.deltas]
    model = base_of_run(config, deltas)
    what = RunFolder(sources[0].runs[0]).delta.name if len(deltas) == 1 else f"{len(deltas)} deltas"
    with working(f"applying {what}"):
        if len(deltas) > 1 or with_base:
            return model, apply_all(model, deltas, lambda _: add_layers(model, config))
        deltas[0].apply(model, lambda _: add_layers(model, config))
    return model, None


def _logits(config: FinetuneConfig) -> int:
    return card_of(config).logits if config.separate_classes else 1


def _refuse_untrained(run: Path, untrained: bool) -> None:
    epochs = read_config(run).epochs
    by_main(lambda: check_trained(run, epochs, untrained))


def delta_hash(folder: Path) -> str | list[str]:
    """The SHA-256 of a run's delta; of a study a list of those of its folds."""
    hashes = [sha256_of_file(RunFolder(run).delta) for run in runs_of(folder)]
    return hashes if StudyFolder(folder).is_study else hashes[0]
