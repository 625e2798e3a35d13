"""The runs of a study, one a fold: their settings, and how they are begun, resumed and kept."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gpsseg.backbones import Facts
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.private import HIDDEN
from gpsseg.config.resuming import same
from gpsseg.config.study import FREE, StudyConfig
from gpsseg.config.written import ConfigFile, SplitParts
from gpsseg.console import progress, say
from gpsseg.data.cards.own import card_of
from gpsseg.device import has_gpu
from gpsseg.engine.machine import make_machine
from gpsseg.errors import TrainingDivergedError, UserError
from gpsseg.files import write_json
from gpsseg.finetune import finetune_beside
from gpsseg.reading import read_object
from gpsseg.report.run import write_report
from gpsseg.report.thumbnails import Thumbnail, collect
from gpsseg.runs.batch_size import with_batch_size
from gpsseg.runs.begun import KEPT, MOVABLE, batch_size_begun_with
from gpsseg.runs.data import open_data
from gpsseg.runs.members import load_networks
from gpsseg.runs.method import load_base, refuse_without_effect, require_backbone
from gpsseg.runs.pool import in_own_process, one_of_several, run_side_by_side
from gpsseg.runs.settle import settle
from gpsseg.runs.starts import has_resume_point
from gpsseg.scope import scoped
from gpsseg.scoring.network import score_cases
from gpsseg.study.folds import FoldCases
from gpsseg.study.kept import run_anew

# Of a run's settings: what each fold has for itself, and where things lie on a machine.
OWN = {*FREE, *MOVABLE, "dataset", "split", "text"}


def require_network(config: StudyConfig) -> Facts:
    """Refuse a network that is not there, or not so, before anything is written.

    Raises:
        UserError: as ``finetune`` for the same settings.
    """
    one = config.of_fold(1)
    require_backbone(one)
    backbone = load_base(one, card_of(config))
    refuse_without_effect(backbone, one)
    settle(one, backbone.facts)
    return backbone.facts


def settings_of_folds(config: StudyConfig, folds: Sequence[FoldCases]) -> list[FinetuneConfig]:
    """The settings of each fold; all with one batch size, also where that is to be measured."""
    settings = [config.of_fold(number) for number in range(1, config.folds + 1)]
    if isinstance(config.batch_size, int):
        return settings
    path = StudyFolder(config.output).settings
    content = read_object(path) if path.is_file() else {}
    begun = [run.config for run in map(_run_of, settings) if run.config.is_file()]
    size = batch_size_begun_with(content.get(KEPT), begun)
    if size is None:
        if config.batch_size is None and not has_gpu(config.device):
            return settings  # it is the same of all
        images = min(len(parts["train"]) for parts in folds)
        images = min(images, config.train_size or images)
        size = in_own_process("measuring", _batch_size, settings[0], images)
        write_json(path, {**content, KEPT: str(size)})
    return [dataclasses.replace(one, batch_size=size) for one in settings]


def _batch_size(config: FinetuneConfig, images: int) -> int:
    """How many images a batch has on this machine, of a training of so many."""
    backbone = load_base(config, card_of(config))
    machine = make_machine(config.device, config.precision)
    settled = settle(config, backbone.facts)
    return with_batch_size(backbone, config, settled, images, machine).batch_size


def run_folds(config: StudyConfig, settings: Sequence[FinetuneConfig], salt: str | None) -> None:
    """Run the folds that are not finished, several at a time, behind a progress bar."""
    todo = [one for one in settings if not is_finished(_run_of(one))]
    if len(todo) < len(settings):
        kept = len(settings) - len(todo)
        say(f"folds: {kept} of {len(settings)} are finished already and kept")
    if not todo:
        return
    jobs = [(one, _run_of(one), salt) for one in todo]
    processes = config.processes or (1 if has_gpu(config.device) else None)
    finished = run_side_by_side(run_fold, jobs, processes, "cross-validating")
    for run in progress(finished, "folds", len(jobs)):
        scores = read_object(run.metrics)["after"]["per-image"]
        say(f"{run.path.name}: mDice {scores['dice']:.3f} on {scores['images']} images")


def _run_of(config: FinetuneConfig) -> RunFolder:
    assert config.output
    return RunFolder(config.output)


def is_finished(run: RunFolder) -> bool:
    """Whether a fold has its scores and its page."""
    return run.metrics.is_file() and run.report.is_file()


@scoped
def run_fold(config: FinetuneConfig, run: RunFolder, salt: str | None, threads: int) -> RunFolder:
    """Run a fold, or go on with it where it was stopped; returns its folder.

    Args:
        config: of the fold.
        run: its folder.
        salt: of the study.
        threads: of the processor.
    """
    with named_after(run), one_of_several(config, run, salt, threads) as config:
        if run.metrics.is_file():  # it was stopped while it wrote its page
            with run_anew():
                write_report(run.path)
        elif has_resume_point(run.path):
            finetune_beside(dataclasses.replace(config, resume=run.path))
        else:
            finetune_beside(config, salt)
    return run


@contextlib.contextmanager
def named_after(run: RunFolder) -> Iterator[None]:
    """Let what is wrong within say of which fold it is."""
    try:
        yield
    except UserError as error:
        if type(error) in (UserError, TrainingDivergedError):  # others are put in words elsewhere
            error.args = (f"{run.path.name}: {error.args[0]}", *error.args[1:])
        raise


def refuse_other_runs(config: StudyConfig, settings: Sequence[FinetuneConfig]) -> None:
    """Refuse a fold's folder that holds the run of other settings, or of other images.

    Raises:
        UserError: one does.
    """
    made: dict[str, Any] = {}
    for number, one in enumerate(settings, 1):
        run = _run_of(one)
        if not run.config.is_file():
            continue
        with run_anew():
            stored = read_object(run.config, ConfigFile)["config"]
        asked = {k: v for k, v in dataclasses.asdict(one).items() if v is not None}
        for name, wanted, whose in (
            *((name, value, "the study") for name, value in asked.items()),
            *((name, value, "another fold") for name, value in made.items()),
        ):
            there = _plain(stored.get(name))
            if name not in OWN and there != HIDDEN and not same(name, there, _plain(wanted)):
                raise UserError(
                    f"{run.path} was made with {name} {there}, and {whose} has "
                    f"{wanted}: its scores are none of this study. Move that folder away, and "
                    "start the study again."
                )
        made = stored
        _refuse_other_images(run, StudyFolder(config.output).split_of(number))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _refuse_other_images(run: RunFolder, file: Path) -> None:
    """Refuse a run that is not tested on its fold's images, or that trains on others' too.

    Raises:
        UserError: it is one.
    """
    if not run.split.is_file():
        return
    with run_anew():
        own = read_object(run.split, SplitParts)
    fold = read_object(file, SplitParts)
    seen = {*(own.get("train") or ()), *(own.get("val") or ())}
    if set(own["test"]) != set(fold["test"]) or not seen <= set(fold["train"]):
        raise UserError(
            f"{run.split} lists other images than {file}: it is no run of this fold. Move that "
            "folder away, and start the study again."
        )


def pictures_of(
    settings: Sequence[FinetuneConfig], chosen: Mapping[int, Collection[str]], salt: str | None
) -> list[Thumbnail]:
    """Pictures of images as their folds' networks segment them, for the study's page.

    Args:
        settings: of the folds.
        chosen: fold (from 1) -> ids of images that it is tested on.
        salt: of the study.
    """
    return in_own_process("drawing pictures", _pictures, settings, chosen, salt)


@scoped
def _pictures(
    settings: Sequence[FinetuneConfig], chosen: Mapping[int, Collection[str]], salt: str | None
) -> list[Thumbnail]:
    thumbnails, picture = collect(sum(map(len, chosen.values())))
    for fold, ids in chosen.items():
        one = settings[fold - 1]
        run = _run_of(one)
        with one_of_several(one, run, salt, torch.get_num_threads()) as config:
            data = open_data(config, salt, run=run.path, parts=())
            networks = load_networks(run.path, untrained=True)
            settled, model = networks.config, networks.model
            cases = [case for case in data.split.test if case.id in ids]
            machine = make_machine(settled.device, settled.precision)
            how = (data.card, settled, machine, None, ("per-image",))
            score_cases(model, cases, *how, picture=picture)
    return thumbnails
