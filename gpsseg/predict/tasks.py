"""The tasks of a prediction: one of a run or a study, or several, each with a folder of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.predict import PredictConfig
from gpsseg.console import say
from gpsseg.data.anonymous import anonymous_card, draw_veil, new_salt
from gpsseg.data.cards.card import Card
from gpsseg.data.cards.own import card_of
from gpsseg.data.formats.dicom_codes import Segment
from gpsseg.data.formats.filenames import PREDICTED, is_file
from gpsseg.data.formats.greys import Greys
from gpsseg.engine.prompts import is_prompted
from gpsseg.errors import UserError
from gpsseg.predict.inputs import Inputs
from gpsseg.predict.numbers import check_numbers, tables_of
from gpsseg.predict.options import (
    ITSELF,
    as_trained,
    begins_of,
    keep_settings,
    prompter_of,
    refuse_foreign_codes,
    refuse_prompts,
    refuse_uncertainty,
    refuse_unprompted,
    segments_for,
)
from gpsseg.predict.plan import Plan
from gpsseg.predict.propagate import Propagation, propagation_of
from gpsseg.predict.segmenter import Segmenter, make_segmenter
from gpsseg.processes import by_main
from gpsseg.runs import members
from gpsseg.runs.drawn import data_of_training, say_trained_on_drawn
from gpsseg.runs.greys import greys_of
from gpsseg.scope import current, drawn
from gpsseg.writing import make_folder


@dataclass(frozen=True)
class Task:
    """One of them.

    Attributes:
        config: as if it were predicted by itself, with the window and axis that are taken.
        card: of its data.
        nameless: whether its run names nothing.
        greys: how its run's images were shown.
        segmenter: its network.
        propagation: by what it follows masks, and from where, if it does.
        plans: of all sources, in their order.
        left: positions in ``plans`` of what was not finished when the main process looked.
    """

    config: PredictConfig
    card: Card
    nameless: bool
    greys: Greys
    segmenter: Segmenter
    propagation: Propagation | None
    plans: Sequence[Plan]
    left: Sequence[int]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What the labels of its DICOM-SEG mean."""
        return self.plans[0].segments if self.plans else ()

    @property
    def todo(self) -> list[Plan]:
        """What is to be written."""
        return [self.plans[i] for i in self.left]


def apart(config: PredictConfig) -> dict[str, PredictConfig]:
    """What each run or study is called, and what it would be asked by itself.

    A single one writes into the output, of several each into a folder there that is called as it.

    Raises:
        UserError: one is named twice.
    """
    if len(config.run) == 1:
        return {ITSELF: config}
    found = {}
    for name, folder in zip(task_names(config.run), config.run, strict=True):
        own = dataclasses.replace(config, run=(folder,), output=config.output / name, tta="none")
        mirrored = config.uncertainty and not StudyFolder(folder).is_study  # anyway, so unasked
        found[name] = own if mirrored else dataclasses.replace(own, tta=config.tta)
    return found


def refuse_places(asked: Mapping[str, PredictConfig]) -> None:
    """Refuse to write where no folder can be made, and among the files of a run or study.

    Args:
        asked: from ``apart``.

    Raises:
        UserError: that is what was asked for.
    """
    for output in dict.fromkeys(own.output for own in asked.values()):
        if taken := next(filter(is_file, (output, *output.parents)), None):
            what = "is a file" if taken == output else f"lies in {taken}, which is a file"
            raise UserError(f"--output {output} {what}, expected a folder. Name another.")
        run = RunFolder(output)
        if is_file(StudyFolder(output).settings) or (is_file(run.config) and is_file(run.split)):
            raise UserError(
                f"--output {output} would put masks among the files of a run. Name another, such "
                f"as {output / 'masks'}."
            )


def open_tasks(
    config: PredictConfig, asked: Mapping[str, PredictConfig], inputs: Inputs
) -> list[Task]:
    """Load the networks, those of one base as one, and refuse what does not go with them.

    The veil is drawn, if a run names nothing.

    Args:
        config: as given.
        asked: from ``apart``.
        inputs: from ``find_inputs``.

    Raises:
        UserError: a run cannot be taken, or not with these options; nothing was written.
    """
    folders = [own.run[0] for own in asked.values()]
    prompters, segments, begins = [], [], []
    cards = [card_of(members.first_config(folder)) for folder in folders]
    refuse_foreign_codes(config, cards)
    for name, folder, plans, card in zip(asked, folders, inputs.plans, cards, strict=True):
        with _naming(name):
            asks = members.first_config(folder).prompt
            prompters.append(prompter_of(config, asks, plans))
            segments.append(segments_for(config, card))
            begins.append(begins_of(config, asks, plans))
    networks = members.load_all(folders, config.untrained)
    _say_networks(networks)
    for folder in folders:
        say_trained_on_drawn(data_of_training(folder))
    refuse_unprompted(config, [*asked], networks)
    nameless = [each.config for each in networks if each.config.anonymous_ids]
    salt = by_main(new_salt) if nameless else None
    draw_veil(salt, config, *nameless)
    tasks = []
    for number, (name, own) in enumerate(asked.items()):
        network, left = networks[number], inputs.left[number]
        hidden = network.config.anonymous_ids
        card, prompt = card_of(network.config), network.model.facts.prompt
        card = anonymous_card(card, salt) if hidden else card
        own_plans, own_segments = inputs.plans[number], segments[number]
        plans = [dataclasses.replace(plan, segments=own_segments) for plan in own_plans]
        with _naming(name):
            refuse_prompts(own, prompt, [plans[i] for i in left])
            refuse_uncertainty(own, prompt)
        greys = greys_of(network.runs[0])
        if not is_prompted(prompt):
            own = dataclasses.replace(own, prompts=None)
        own = as_trained(own, greys, inputs.sources, name)
        pictures = [plan.source.path for plan in plans]
        segmenter = make_segmenter(own, network, card, prompters[number], pictures)
        with _naming(name):
            propagation = propagation_of(own, network, segmenter, begins[number])
        tasks.append(Task(own, card, hidden, greys, segmenter, propagation, plans, left))
    return tasks


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say of which run, where there are several, what is refused within a block."""
    try:
        yield
    except UserError as error:
        if name == ITSELF:
            raise
        named = UserError(f"--run {name}: {error}")
        named.everywhere = error.everywhere
        raise named from None


def _say_networks(networks: Sequence[members.Networks]) -> None:
    """Say how many are in memory, where that is more than one might think."""
    if (count := len({id(each.model) for each in networks})) > 1:
        say(f"{count} networks are in memory: these runs do not share one base and its layers.")


def begin(tasks: Sequence[Task]) -> None:
    """Make the folders, and keep in each what its masks are made with.

    Raises:
        UserError: one holds what was made otherwise; then nothing was written into any.
    """
    for task in tasks:
        make_folder(task.config.output)
        for table in tables_of(task.config):
            by_main(functools.partial(check_numbers, table))
    for task in sorted(tasks, key=lambda each: not (each.config.output / PREDICTED).exists()):
        with drawn(current() if task.nameless else None):
            by_main(
                functools.partial(
                    keep_settings, task.config, task.card, task.nameless, task.segments
                )
            )


def task_names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, where two are equal with those above it, as far as needed.

    Raises:
        UserError: a folder is named twice.

    >>> task_names([Path("/a/kvasir"), Path("/a/isic")])
    ['kvasir', 'isic']
    >>> task_names([Path("/k/fold-1"), Path("/i/fold-1"), Path("/i/fold-2")])
    ['k-fold-1', 'i-fold-1', 'fold-2']
    """
    whole = [folder.expanduser().resolve() for folder in folders]
    if twice := next((path for path, n in Counter(whole).items() if n > 1), None):
        raise UserError(f"--run {twice} is named twice, expected different runs. Name it once.")
    parts = [1] * len(whole)
    while True:
        names = ["-".join(path.parts[-n:]) for path, n in zip(whole, parts, strict=True)]
        counts = Counter(name.casefold() for name in names)  # some disks tell no Run from run
        same = [i for i, name in enumerate(names) if counts[name.casefold()] > 1]
        longer = [i for i in same if parts[i] < len(whole[i].parts) - 1]
        if not longer:
            break
        for i in longer:
            parts[i] += 1
    return [
        name if i not in same else f"{name}-{same.index(i) + 1}" for i, name in enumerate(names)
    ]
