"""A comparison's folder: what its runs share, and whether this is what was begun."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gpsseg.config.compare import FREE, CompareConfig, uses
from gpsseg.config.methods import OF_SOME
from gpsseg.config.shared import DataConfig
from gpsseg.config.written import NamedSplit
from gpsseg.console import say
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.carve import BY_GROUPS
from gpsseg.data.splits.files import is_split_file
from gpsseg.files import write_json
from gpsseg.reading import read_json, read_object
from gpsseg.runs.begun import Beginning, fixed_settings, open_begun, salt_of_all
from gpsseg.schema import KEY

SETTINGS = "settings.json"
SHARES = {"shares": "images"}  # of the split; a comparison that does not say has shares of groups


def open_comparison(config: CompareConfig, others: Sequence[DataConfig] = ()) -> None:
    """Create the folder, or take up the one that is there.

    Args:
        config: of the comparison.
        others: data that are scored too, whose places are no more written than its own.

    Raises:
        UserError: it holds something else, or was begun with other settings.
    """
    path = config.output / SETTINGS
    unused = {name for name in OF_SOME if hasattr(config, name) and not uses(config, name)}
    fixed = fixed_settings(config, FREE | unused)
    begins = Beginning("comparison", path, fixed, SHARES, "cells/*/split.json")
    open_begun(config, begins, salt_of_all(config, begins, *others))
    if KEY not in read_json(path):
        say(
            f"{config.output} was begun by version 0.1, whose warm-up differs where a training "
            "has few updates: runs that are made now are not to be compared with those. Name "
            "another --output to make all of them anew.",
            style="bold yellow",
        )


def split_as_begun(config: CompareConfig) -> CompareConfig:
    """The settings with the split of the comparison's runs, if version 0.1 began it.

    It took shares of groups where now they are of images; runs that are added must be tested on
    the images of those that are there.
    """
    settings = read_object(config.output / SETTINGS)
    if settings.get("shares") == SHARES["shares"] or is_split_file(config.split or ""):
        return config
    made = sorted((config.output / "cells").glob("*/split.json"))
    if not made:
        write_json(config.output / SETTINGS, {**settings, **SHARES})
        return config
    name = read_object(made[0], NamedSplit)["name"]
    if name not in {str(rule["name"]) for rule in card_of(config).splits}:
        return config  # of a file that lists its images, which no share changes
    return dataclasses.replace(config, split=f"{name}{BY_GROUPS}")
