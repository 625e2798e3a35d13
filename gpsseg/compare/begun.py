"""A comparison's folder: what its runs share, and whether this is what was begun."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from gpsseg.config.compare import FREE, CompareConfig, uses
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import OF_SOME
from gpsseg.config.private import load_salt, save_salt
from gpsseg.config.resuming import OWN_DATA, PLACES, spelled
from gpsseg.config.written import NamedSplit
from gpsseg.console import say
from gpsseg.data.anonymous import anonymous_card, draw_veil, new_salt
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.carve import BY_GROUPS
from gpsseg.data.splits.files import is_split_file
from gpsseg.errors import UserError
from gpsseg.files import write_json
from gpsseg.reading import read_json, read_object
from gpsseg.runs.kept import kept_split
from gpsseg.schema import KEY
from gpsseg.scope import clean
from gpsseg.writing import is_partial, make_folder

SETTINGS = "settings.json"
MOVABLE = ("data_root", *OWN_DATA)  # where the images lie
SHARES = {"shares": "images"}  # of the split; a comparison that does not say has shares of groups


def open_comparison(config: CompareConfig) -> None:
    """Create the folder, or take up the one that is there.

    Raises:
        UserError: it holds something else, or was begun with other settings.
    """
    fixed = fixed_settings(config)
    path = config.output / SETTINGS
    salt = _salt_of(config, path)
    draw_veil(salt, config)
    if salt is not None:
        anonymous_card(card_of(config), salt)  # hides what it tells
    fixed = clean(fixed)
    if path.is_file():
        before = read_object(path)
        if KEY not in read_json(path):
            say(
                f"{config.output} was begun by version 0.1, whose warm-up differs where a training "
                "has few updates: runs that are made now are not to be compared with those. Name "
                "another --output to make all of them anew.",
                style="bold yellow",
            )
        changed = [name for name in fixed if not _same(name, before, fixed)]
        if set(changed) <= set(MOVABLE) and changed and _same_images(config, salt):
            write_json(path, before | {name: fixed[name] for name in MOVABLE})
        elif changed:  # names are hashed on one side only, where that itself has changed
            name = "anonymous_ids" if "anonymous_ids" in changed else changed[0]
            raise UserError(
                f"{config.output} was begun with {name} {before.get(name)}, got {fixed[name]}. "
                "Go on with the same options, or name another --output."
            )
        elif set(fixed) - set(before):  # of methods that come new to it
            write_json(path, fixed | before)
        return
    if config.output.exists() and not _is_bare(config.output):
        raise UserError(
            f"{config.output} already exists and is no comparison. Name another --output."
        )
    make_folder(config.output)
    if salt is not None:
        save_salt(config.output, salt, {"command": sys.argv}, again=True)
    write_json(path, {**fixed, **SHARES})


def _is_bare(output: Path) -> bool:
    """Whether a folder holds nothing but what a comparison writes before its settings."""
    before = RunFolder(output).salt
    return output.is_dir() and all(is_partial(p) or p == before for p in output.iterdir())


def _salt_of(config: CompareConfig, settings: Path) -> str | None:
    """The salt of all runs of a nameless comparison, so that their images are paired."""
    if not config.anonymous_ids:
        return None
    begun = settings.is_file() and read_object(settings).get("anonymous_ids") == "True"
    return load_salt(config.output) if begun else new_salt()


def fixed_settings(config: CompareConfig) -> dict[str, str]:
    """The settings that all runs of a comparison share, in one spelling; places as whole paths."""
    unused = {name for name in OF_SOME if hasattr(config, name) and not uses(config, name)}
    settings = {
        name: spelled(value) if name in PLACES else str(value)
        for name, value in dataclasses.asdict(config).items()
        if name not in FREE and name not in unused
    }
    if not (config.data_root or config.images or config.table) and os.environ.get("GPSSEG_DATA"):
        settings["data_root"] = spelled(Path(os.environ["GPSSEG_DATA"]))
    return settings


def _same(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    there = before.get(name, now[name])
    return there == now[name] or (name in PLACES and spelled(there) == now[name])


def _same_images(config: CompareConfig, salt: str | None) -> bool:
    """Whether the images of the comparison's first run are there."""
    for path in sorted(config.output.glob("cells/*/split.json")):
        try:
            kept_split(path.parent, card_of(config), config.data_root, salt)
        except UserError:
            return False
        return True
    return True  # nothing was begun


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
