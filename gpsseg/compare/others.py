"""The other data sets of a comparison: their test images, and whether these were trained on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.backbones import Facts
from gpsseg.config.also_on import OtherSet, parse_other
from gpsseg.config.compare import CompareConfig
from gpsseg.config.effects import idle
from gpsseg.config.elsewhere import Config, is_own_set, settings_on
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.private import load_salt
from gpsseg.config.written import SkippedFile
from gpsseg.console import say
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.drawn import Skipped
from gpsseg.data.splits.split import Split, uncarved
from gpsseg.errors import UserError, counted
from gpsseg.runs.data import find_split, open_card
from gpsseg.runs.leaks import check_runs
from gpsseg.runs.looked import look_at_all


@dataclass(frozen=True)
class Other:
    """A data set beside the one that is tuned for.

    Attributes:
        asked: what was typed.
        name: of folders: the set's, and a hash of which images these are.
        split: its test images alone; with hashed ids, where the comparison names nobody.
    """

    asked: OtherSet
    name: str
    split: Split


def settings_elsewhere(trained: Config, config: CompareConfig, other: OtherSet) -> Config:
    """The settings of a run with another set in its own's place, in all that is done with that set.

    Without a split of its own it is the set's best, also of the set that the runs are tuned for.

    Args:
        trained: of the run.
        config: of the comparison.
        other: the set.
    """
    trained = dataclasses.replace(trained, split=None, train_size=None, seed=config.seeds[0])
    return settings_on(trained, other.dataset, config.data_root, other.split)


def data_of(config: CompareConfig, other: OtherSet) -> FinetuneConfig:
    """Where the images of another set lie, and how they are split."""
    return settings_elsewhere(_own_run(config), config, other)


def _own_run(config: CompareConfig) -> FinetuneConfig:
    return FinetuneConfig(**config.settings_of(config.methods[0]))


def asked_for(config: CompareConfig) -> list[FinetuneConfig]:
    """The data of all other sets, for who hides their places."""
    return [data_of(config, parse_other(text)) for text in config.also_on]


def check_others(config: CompareConfig, facts: Facts) -> None:
    """Refuse a set or split that is not there, before anything is written.

    Args:
        config: of the comparison.
        facts: of the backbone.

    Raises:
        UserError: one is not; or boxes are to be left out where there are none.
    """
    if config.without_box and ("box" not in facts.prompts or facts.prompt == "box"):
        told = "no box" if "box" not in facts.prompts else "the box anyway"
        raise idle("without_box", True, f"{facts.name} with --prompt {facts.prompt} is told {told}")
    for where in asked_for(config):
        uncarved(card_of(where), where.data_root, where.split)


def open_others(config: CompareConfig) -> list[Other]:
    """Find the test images of the other sets, and look at them, unless that was done.

    Raises:
        UserError: a set is not there, or an image cannot be used; or two have the same images.
    """
    salt = load_salt(config.output) if config.anonymous_ids else None
    found: dict[str, Other] = {}
    for text in config.also_on:
        other = _open(config, parse_other(text), salt)
        if other.name in found:
            raise UserError(
                f"--also-on {found[other.name].asked.text} and {text} have the same test images. "
                "Leave one out."
            )
        found[other.name] = other
    return [*found.values()]


def _open(config: CompareConfig, asked: OtherSet, salt: str | None) -> Other:
    where = data_of(config, asked)
    card = open_card(where, salt)
    split = find_split(card, where, training=False, salt=salt)
    if is_own_set(config, asked.dataset):
        own = _own_run(config)
        if set(find_split(card, own, training=False, salt=salt).ids["test"]) == set(
            split.ids["test"]
        ):
            raise UserError(
                f"--also-on {asked.text} has the test images of what is tuned for, which are "
                "scored anyway. Leave it out, or name another set or split of it."
            )
    digest = hashlib.sha256(json.dumps(sorted(split.ids["test"])).encode()).hexdigest()[:8]
    name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', card.name)}-{digest}"
    test = Split(split.name, split.data, split.root, (), (), split.test)
    if not any(config.output.glob(f"*/**/also/{name}-*/metrics.json")):
        look_at_all(where, card, test)
    return Other(asked, name, test)


def leaks_of(
    runs: Sequence[Path], config: CompareConfig, other: Other, skipped: Sequence[SkippedFile]
) -> dict[str, Any]:
    """Compare all that the runs were trained on with the test images of another set.

    Args:
        runs: their folders.
        config: of the comparison.
        other: the set.
        skipped: its images that were not scored, as they cannot be used.
    """
    test = other.split.without([Skipped(**each) for each in skipped]).test
    say(f"leak check against {other.asked.text}, {counted(len(test), 'test image')}")
    return check_runs(runs, config, test, names=is_own_set(config, other.asked.dataset))
