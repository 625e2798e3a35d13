"""A folder of several runs of one command: what they share, and whether this is what was begun."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.private import load_salt, save_salt
from gpsseg.config.resuming import OWN_DATA, PLACES, spelled
from gpsseg.config.shared import PreparationConfig
from gpsseg.config.written import ConfigFile
from gpsseg.data.anonymous import anonymous_card, draw_veil, new_salt
from gpsseg.data.cards.own import card_of
from gpsseg.errors import UserError
from gpsseg.files import write_json
from gpsseg.reading import read_object
from gpsseg.runs.kept import kept_split
from gpsseg.scope import clean
from gpsseg.writing import is_partial, make_folder

MOVABLE = ("data_root", *OWN_DATA)  # where the images lie
KEPT = "settled_batch_size"  # what stands in the settings of several runs beside their options


@dataclass(frozen=True)
class Beginning:
    """What begins in a folder, or goes on there.

    Attributes:
        what: such as "comparison".
        settings: the file that tells such a folder; the first that is written into it.
        fixed: settings that all runs share, in one spelling, see ``fixed_settings``.
        more: what else stands in the file when it is new.
        splits: patterns of the split.json of its runs, below the folder.
        first: names of settings that none of its runs has yet: any value is the first.
    """

    what: str
    settings: Path
    fixed: Mapping[str, str]
    more: Mapping[str, Any] = field(default_factory=dict)
    splits: str = "*/split.json"
    first: Collection[str] = ()

    @property
    def folder(self) -> Path:
        """Of the runs."""
        return self.settings.parent


def fixed_settings(config: Any, free: Collection[str]) -> dict[str, str]:
    """The settings that all runs share, in one spelling; places as whole paths.

    Args:
        config: of the command.
        free: names of those that may differ when it is started again.
    """
    settings = {
        name: spelled(value) if name in PLACES else str(value)
        for name, value in dataclasses.asdict(config).items()
        if name not in free
    }
    if not (config.data_root or config.images or config.table) and os.environ.get("GPSSEG_DATA"):
        settings["data_root"] = spelled(Path(os.environ["GPSSEG_DATA"]))
    return settings


def salt_of_all(
    config: PreparationConfig, begins: Beginning, *others: PreparationConfig
) -> str | None:
    """The salt of all runs of a nameless command, so that their images are paired; or None.

    From here on the running command writes no names.

    Args:
        config: of the command.
        begins: what it begins, or goes on with.
        others: further data of it, whose places are hidden too.
    """
    salt = None
    if config.anonymous_ids:
        there = begins.settings.is_file()
        begun = there and read_object(begins.settings).get("anonymous_ids") == "True"
        salt = load_salt(begins.folder) if begun else new_salt()
    draw_veil(salt, config, *others)
    if salt is not None:
        anonymous_card(card_of(config), salt)  # hides what it tells
    return salt


def open_begun(config: PreparationConfig, begins: Beginning, salt: str | None) -> None:
    """Create the folder, or take up the one that is there.

    Args:
        config: of the command.
        begins: what it is.
        salt: from ``salt_of_all``.

    Raises:
        UserError: it holds something else, or was begun with other settings.
    """
    fixed, path = clean(begins.fixed), begins.settings
    if path.is_file():
        before = read_object(path)
        then = _defaults(config, begins.first) | before
        changed = [name for name in fixed if not _same(name, then, fixed)]
        if set(changed) <= set(MOVABLE) and changed and _same_images(config, begins, salt):
            write_json(path, before | {name: fixed[name] for name in MOVABLE})
        elif changed:  # names are hashed on one side only, where that itself has changed
            name = "anonymous_ids" if "anonymous_ids" in changed else changed[0]
            raise UserError(
                f"{begins.folder} was begun with {name} {_typed(then.get(name))}, got "
                f"{_typed(fixed[name])}. "
                "Go on with the same options, or name another --output."
            )
        elif set(fixed) - set(before):  # of methods that come new to it
            write_json(path, fixed | before)
        return
    refuse_other(begins)
    make_folder(begins.folder)
    if salt is not None:
        save_salt(begins.folder, salt, {"command": sys.argv}, again=True)
    write_json(path, {**fixed, **begins.more})


def _defaults(config: Any, first: Collection[str]) -> dict[str, str]:
    """What options were at in a folder that an older version began, which had none of them.

    Those that none of its runs has, see ``Beginning``, are not among them.
    """
    return {
        each.name: str(each.default)
        for each in dataclasses.fields(config)
        if each.default is not dataclasses.MISSING and each.name not in first
    }


def refuse_other(begins: Beginning) -> None:
    """Refuse a folder that holds something else.

    Raises:
        UserError: it does.
    """
    folder, before = begins.folder, RunFolder(begins.folder).salt
    if begins.settings.is_file() or not folder.exists():
        return
    bare = folder.is_dir() and all(is_partial(p) or p == before for p in folder.iterdir())
    if not bare:  # more than what is written before the settings
        raise UserError(f"{folder} already exists and is no {begins.what}. Name another --output.")


def _typed(value: Any) -> str:
    """A setting as it is typed, of what ``fixed_settings`` makes of it.

    >>> _typed("('sex', 'age')"), _typed("()"), _typed("7")
    ('sex age', 'nothing', '7')
    """
    with contextlib.suppress(SyntaxError, ValueError):
        found = ast.literal_eval(str(value))
        if isinstance(found, tuple):
            return " ".join(map(str, found)) or "nothing"
    return str(value)


def _same(name: str, before: Mapping[str, Any], now: Mapping[str, str]) -> bool:
    there = str(before.get(name, now[name]))
    return there == now[name] or (name in PLACES and spelled(there) == now[name])


def _same_images(config: PreparationConfig, begins: Beginning, salt: str | None) -> bool:
    """Whether the images of the first run that was made are there."""
    made: Sequence[Path] = sorted(begins.folder.glob(begins.splits))
    if not made:
        return True  # nothing was begun
    try:
        kept_split(made[0].parent, card_of(config), config.data_root, salt)
    except UserError:
        return False
    return True


def batch_size_begun_with(kept: object, begun: Iterable[Path]) -> int | None:
    """The images in a batch that are noted, or that the first of the runs has; None if neither.

    Args:
        kept: what is noted.
        begun: config.json of runs; they may be of a version, or a machine, that noted nothing.
    """
    if isinstance(kept, str) and kept.isdecimal() and int(kept):
        return int(kept)
    for path in begun:
        size = read_object(path, ConfigFile)["config"].get("batch_size")
        if isinstance(size, int):
            return size
    return None
