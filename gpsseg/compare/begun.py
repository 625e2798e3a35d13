"""A comparison's folder: what its runs share, and whether this is what was begun."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.compare import FREE, CompareConfig, uses
from gpsseg.config.finetune import require_gradient
from gpsseg.config.folder import ComparisonFolder
from gpsseg.config.methods import BLIND, OF_SOME, in_a_file_name, known_options
from gpsseg.config.shared import DataConfig
from gpsseg.config.written import ConfigFile, NamedSplit
from gpsseg.console import say
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.carve import BY_GROUPS
from gpsseg.data.splits.files import is_split_file
from gpsseg.errors import UserError
from gpsseg.files import write_json
from gpsseg.reading import read_json, read_object
from gpsseg.runs.begun import Beginning, fixed_settings, open_begun, salt_of_all
from gpsseg.schema import KEY

SHARES = {"shares": "images"}  # of the split; a comparison that does not say has shares of groups


def open_comparison(config: CompareConfig, others: Sequence[DataConfig] = ()) -> None:
    """Create the folder, or take up the one that is there.

    Args:
        config: of the comparison.
        others: data that are scored too, whose places are no more written than its own.

    Raises:
        UserError: it holds something else, or was begun with other settings.
    """
    path = ComparisonFolder(config.output).settings
    unused = {name for name in OF_SOME if hasattr(config, name) and not uses(config, name)}
    fixed = fixed_settings(config, FREE | unused)
    first = {*OF_SOME} - shared_by_runs(config.output)
    begins = Beginning("comparison", path, fixed, SHARES, "cells/*/split.json", first)
    open_begun(config, begins, salt_of_all(config, begins, *others))
    if KEY not in read_json(path):
        say(
            f"{config.output} was begun by version 0.1, whose warm-up differs where a training "
            "has few updates: runs that are made now are not to be compared with those. Name "
            "another --output to make all of them anew.",
            style="bold yellow",
        )


def refuse_new_methods(config: CompareConfig) -> None:
    """Refuse methods that no longer are; those that have runs in the folder stay what they were.

    Raises:
        UserError: see ``require_gradient``.
    """
    there = {method for method, _ in _runs_of(config.output)}
    for text in config.methods:
        if in_a_file_name(text) not in there:
            settings = config.settings_of(text)
            try:
                require_gradient(settings["method"], settings["criterion"])
            except UserError as error:
                raise UserError(f"--methods {text}: {error}") from None


def shared_by_runs(folder: Path) -> set[str]:
    """The options of some methods that a run of the comparison has, and not by its method's text.

    Also a run of a method that is no longer among those that are asked for.
    """
    found: set[str] = set()
    for method, run in _runs_of(folder):
        own = re.findall(r"-(\w+)=", method)
        idle = ["selection_images"] if run.get("criterion") in BLIND else []
        found |= {*known_options(run.get("method", "gps"))} - {*own, *idle}
    return found


def _runs_of(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each run of the comparison: its method, as in the name of its folder, and its settings."""
    for path in sorted(folder.glob("cells/*/config.json")):
        if cell := re.fullmatch(r"(.+)-(all|n\d+)-lr.+-seed\d+", path.parent.name):
            yield cell[1], read_object(path, ConfigFile)["config"]


def split_as_begun(config: CompareConfig) -> CompareConfig:
    """The settings with the split of the comparison's runs, if version 0.1 began it.

    It took shares of groups where now they are of images; runs that are added must be tested on
    the images of those that are there.
    """
    path = ComparisonFolder(config.output).settings
    settings = read_object(path)
    if settings.get("shares") == SHARES["shares"] or is_split_file(config.split or ""):
        return config
    made = sorted((config.output / "cells").glob("*/split.json"))
    if not made:
        write_json(path, {**settings, **SHARES})
        return config
    name = read_object(made[0], NamedSplit)["name"]
    if name not in {str(rule["name"]) for rule in card_of(config).splits}:
        return config  # of a file that lists its images, which no share changes
    return dataclasses.replace(config, split=f"{name}{BY_GROUPS}")
