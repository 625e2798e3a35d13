"""The tested runs of a comparison, and the network before tuning, on other images and prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpsseg.backbones import Backbone, Facts
from gpsseg.backbones.base import Prompt
from gpsseg.compare.cells import TESTED, Cell, run_of, settings_of
from gpsseg.compare.others import Other, settings_elsewhere
from gpsseg.compare.race import run_jobs
from gpsseg.compare.rows import scores_of
from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.folder import ComparisonFolder, RunFolder
from gpsseg.config.private import load_salt
from gpsseg.console import say
from gpsseg.data.cards.card import Card
from gpsseg.data.cards.own import card_of
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prompts import prompt_label
from gpsseg.evaluators.words import UNTUNED
from gpsseg.files import write_json, write_rows
from gpsseg.runs.data import Data, open_data
from gpsseg.runs.greys import greys_of
from gpsseg.runs.members import load_all
from gpsseg.runs.pool import one_of_several
from gpsseg.runs.words import NO_WORD
from gpsseg.scope import scoped
from gpsseg.scoring.network import metrics_of, score_cases
from gpsseg.writing import make_folder


@dataclass(frozen=True)
class Place:
    """Where networks are scored: a set's test images, and what a network is told of them.

    Attributes:
        other: the set; None for the one that is tuned for.
        prompt: see ``Facts.prompt``.
        usual: whether this is what the runs are tuned for and tested on anyway.
    """

    other: Other | None
    prompt: Prompt
    usual: bool

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.other.name if self.other else 'own'}-{self.prompt}"

    def of_cell(self, run: RunFolder) -> RunFolder:
        """The scores of a cell here."""
        return run if self.usual else run.also(self.name)

    def of_untuned(self, config: CompareConfig) -> RunFolder:
        """The scores of the untuned network here."""
        return ComparisonFolder(config.output).untuned.also(self.name)


def places_of(config: CompareConfig, facts: Facts, others: Sequence[Other]) -> list[Place]:
    """The set that is tuned for and the others, each with the runs' prompt and perhaps a box.

    There are none without other sets.
    """
    if not others:
        return []
    boxed = "box" in facts.prompts and not config.without_box
    more: tuple[Prompt, ...] = ("box",) if boxed else ()
    prompts = tuple(dict.fromkeys((facts.prompt, *more)))
    return [
        Place(other, prompt, other is None and prompt == facts.prompt)
        for other in (None, *others)
        for prompt in prompts
    ]


def has_untuned(facts: Facts) -> bool:
    """Whether the network before tuning can do anything: no part of it is drawn at random."""
    return not facts.scratch


@dataclass(frozen=True)
class ScoringTask:
    """A network, on a set.

    Attributes:
        run: the cell whose network, settings and range of greys count.
        untuned: whether the network is the one before its tuning.
        printed: the folder beside which stands what is printed.
        own: whether the set is what the run was tuned for.
        into: of each place, what is told and the folder of the scores.
    """

    run: RunFolder
    untuned: bool
    printed: RunFolder
    own: bool
    into: tuple[tuple[Prompt, RunFolder], ...]


def score_elsewhere(
    config: CompareConfig, facts: Facts, places: Sequence[Place], chosen: Sequence[Cell]
) -> None:
    """Score what is missing, several at a time.

    Args:
        config: of the comparison.
        facts: of the backbone.
        places: from ``places_of``.
        chosen: the tested runs.
    """
    jobs = [*_jobs(config, facts, places, chosen)]
    for folders in run_jobs(score_task, jobs, config, "scoring other sets and prompts"):
        for folder in folders:
            say(f"{_told(folder, config)}: mDice {scores_of(folder).dice.mean():.3f}")


def _told(folder: RunFolder, config: CompareConfig) -> str:
    return " on ".join([folder.path.parent.parent.name, folder.path.name])


def _jobs(
    config: CompareConfig, facts: Facts, places: Sequence[Place], chosen: Sequence[Cell]
) -> Iterator[tuple[SettledConfig, ScoringTask]]:
    """What is not scored yet: a job for each set and each run, and for the untuned network."""
    untuned = ComparisonFolder(config.output).untuned
    for other in dict.fromkeys(place.other for place in places):
        here = [place for place in places if place.other == other]
        for cell in chosen:
            run = run_of(cell, config)
            into = [(p.prompt, p.of_cell(run)) for p in here if not p.usual]
            task = ScoringTask(run, False, run, other is None, tuple(into))
            yield from _job(config, facts, cell, task, other)
        if has_untuned(facts):
            into = [(p.prompt, p.of_untuned(config)) for p in here]
            task = ScoringTask(run_of(chosen[0], config), True, untuned, other is None, tuple(into))
            yield from _job(config, facts, chosen[0], task, other)


def _job(
    config: CompareConfig, facts: Facts, cell: Cell, task: ScoringTask, other: Other | None
) -> Iterator[tuple[SettledConfig, ScoringTask]]:
    """The job of a task, if something of it is missing."""
    missing = tuple((prompt, into) for prompt, into in task.into if not into.metrics.is_file())
    if not missing:
        return
    settings = settings_of(cell, config, facts)
    if other is not None:
        settings = settings_elsewhere(settings, config, other.asked)
    yield settings, dataclasses.replace(task, into=missing)


@scoped
def score_task(config: SettledConfig, task: ScoringTask, threads: int) -> list[RunFolder]:
    """Score a network on a set, told this and that.

    Args:
        config: of the cell, with the data settings of the set.
        task: what to do.
        threads: of the processor.

    Returns:
        The folders of the scores.

    Raises:
        UserError: the images are no longer there, or no longer split as they were.
    """
    # a cell is two folders below the comparison, whose salt it is
    salt = load_salt(task.run.path.parent.parent) if config.anonymous_ids else None
    with one_of_several(config, task.printed, salt, threads) as config:
        data = _data(config, task, salt)
        networks = load_all([task.run.path], untrained=True, with_base=task.untuned)[0]
        if networks.base is not None:
            networks.base()
        for prompt, folder in task.into:
            networks.model.tell(prompt, word_on(networks.config, data.card, prompt))
            _score(networks.model, networks.config, data, folder, task.untuned)
    return [folder for _, folder in task.into]


def word_on(config: SettledConfig, card: Card, prompt: Prompt) -> str:
    """By which word a network is asked on a set, if it is asked by any.

    The run's; what another set's card calls a foreground of another name.

    Args:
        config: of the run.
        card: of the set.
        prompt: what it is told.
    """
    if prompt != "text":
        return ""
    same = card.foreground in (card_of(config).foreground, NO_WORD)
    return config.text[0] if same else card.foreground


def _data(config: SettledConfig, task: ScoringTask, salt: str | None) -> Data:
    """The test images of a task; all were looked at before."""
    if task.own:
        return open_data(config, salt, run=task.run.path, parts=())
    parts = ("test",) if config.on_bad_image == "skip" else ()
    greys = greys_of(task.run.path)
    return open_data(config, salt, parts=parts, training=False, greys=greys)


def _score(
    model: Backbone, config: SettledConfig, data: Data, folder: RunFolder, untuned: bool
) -> None:
    """Score the test images, and write what is found."""
    machine = make_machine(config.device, config.precision)
    test, told = data.split.test, prompt_label(model.facts.prompt, text=model.facts.text)
    after = score_cases(model, test, data.card, config, machine, f"told {told}", TESTED)
    metrics: dict[str, Any] = metrics_of(data.card, data.split, config, model.facts, after)
    make_folder(folder.path)
    write_rows(folder.per_image, after.rows)
    write_json(folder.metrics, metrics | ({"method": UNTUNED} if untuned else {}))
