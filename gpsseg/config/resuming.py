"""A run's stored settings, and what a call that goes on with it may say anew."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import BLIND, OF_SOME, known_options
from gpsseg.config.private import CARD, FILE, HIDDEN, read_private
from gpsseg.config.written import ConfigFile
from gpsseg.errors import UserError, shown
from gpsseg.faults import is_there
from gpsseg.reading import read_object

OWN_DATA = ("images", "masks", "table")
# Where data and machine are, and what only looks; all else is what the run is.
FREE = (
    *("dataset", "data_root", *OWN_DATA, "title", "split"),
    *("device", "workers", "cache", "checkpoint_activations", "strict"),
    "tracker",
)
PLACES = (
    *("dataset", "data_root", *OWN_DATA, "split", "backbone", "weights", "start_from"),
    *("cache", "output"),
)


@dataclass(frozen=True, kw_only=True)
class ResumedConfig(FinetuneConfig):
    """The settings of a run that goes on, with what may be said anew already in place."""


def require_run(folder: Path) -> None:
    """Refuse what is no run folder.

    Raises:
        UserError: it is none.
    """
    if not RunFolder(folder).config.is_file():
        raise UserError(
            f"{folder} is not a run folder: it has no config.json. Pass a folder that "
            "`python -m gpsseg.finetune` wrote, such as runs/kvasir-litemedsam-gps-..."
        )


def read_config(folder: Path) -> FinetuneConfig:
    """Read a run's configuration.

    Raises:
        UserError: the folder is no run folder.
    """
    require_run(folder)
    file = RunFolder(folder).config
    stored = read_object(file, ConfigFile)["config"]
    try:
        values = _without_idle(stored)
        if values.get("anonymous_ids"):
            values = _with_private(folder, values)
        values["resume"] = None
        if values["dataset"] == CARD:
            values["dataset"] = str(folder / CARD)
        return FinetuneConfig(**values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        why = shown(str(error))
        raise UserError(
            f"{folder}/config.json was not written by this version of gpsseg ({why}). Pass the "
            "folder of a run of `python -m gpsseg.finetune`."
        ) from None


def _with_private(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """A nameless run's settings with its private ones; without these, its data are nowhere.

    Raises:
        UserError: they are not there, and its network cannot be made without them.
    """
    values = values | read_private(folder).get("config", {})
    hidden = [name for name, value in values.items() if value == HIDDEN]
    for name in ("backbone", "weights"):
        if name in hidden:
            raise UserError(
                f"{folder} has no {FILE}, which says where the run's --{name} lies. Put the file "
                "back to use this run."
            )
    return values | dict.fromkeys(hidden)


def _without_idle(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings without those that the method does not have: runs of old list them all."""
    has = known_options(stored.get("method", "gps"))
    values = {k: v for k, v in stored.items() if k not in OF_SOME or k in has}
    if values.get("criterion") in BLIND:
        values.pop("selection_images", None)
    if values.get("method") == "decoder" and not values.get("separate_classes"):
        values["lr"] = values.get("decoder_lr") or values.get("lr")
    return values


def parsed_again(run: Path, parse: Callable[[FinetuneConfig], FinetuneConfig]) -> ResumedConfig:
    """The settings of a run with what the command line says, read with these as defaults.

    Raises:
        UserError: as ``resumed``.
    """
    refuse_finished(run)
    stored = dataclasses.replace(read_config(run), resume=run)
    return resumed(stored, parse(stored), stored)


def refuse_finished(run: Path) -> None:
    """Refuse to go on with a run that has its scores.

    Raises:
        UserError: it has.
    """
    files = RunFolder(run)
    if not files.metrics.is_file():
        return
    if files.report.is_file():
        raise UserError(f"{run} is finished: see its report.html.")
    raise UserError(
        f"{run} is finished but for its page. Write it by: python -m gpsseg.report --run {run}"
    )


def resumed(
    stored: FinetuneConfig, given: FinetuneConfig, default: FinetuneConfig
) -> ResumedConfig:
    """The settings of a run with what was given for this call.

    Args:
        stored: of the run.
        given: for this call, with the run's folder as ``resume``.
        default: what ``given`` holds where nothing was given.

    Raises:
        UserError: something was given that would change what the run is.
    """
    assert given.resume
    names = [field.name for field in dataclasses.fields(given) if field.name != "resume"]
    changed = {
        name: getattr(given, name)
        for name in names
        if getattr(given, name) != getattr(default, name)
        and not same(name, getattr(given, name), getattr(stored, name))
    }
    if "output" in changed and same("output", changed["output"], given.resume):
        del changed["output"]
    for name, value in changed.items():
        if not _may_change(name, value, getattr(stored, name)):
            raise _refusal(name, value, getattr(stored, name))
    if any(name in changed for name in OWN_DATA):
        own = {"dataset": "kvasir", "data_root": None, **dict.fromkeys(OWN_DATA)}
        changed = own | changed  # instead of the copy of the card that the run holds
    values = {name: getattr(stored, name) for name in names} | changed
    dataclasses.replace(stored, **values, resume=None)  # whatever does not go together is refused
    return ResumedConfig(**values, resume=given.resume)


def _may_change(name: str, value: Any, stored: Any) -> bool:
    if name == "dataset":  # another place of the same card; other images are found out later
        return str(value).endswith((".yaml", ".yml"))
    if name == "split":
        return str(value).endswith(".json") and str(stored).endswith(".json")
    return name in FREE


def _refusal(name: str, value: Any, stored: Any) -> UserError:
    flag = f"--{name.replace('_', '-')}"
    typed, has = flag if value is True else f"{flag} {value}", "none" if stored is None else stored
    if name == "output":
        typed, has = f"{flag} {value}", "its own folder"
    return UserError(
        f"--resume goes on with the run's own settings: got {typed}, the run has {has}. Leave it "
        "out, or start a new run."
    )


def same(name: str, one: Any, other: Any) -> bool:
    """Whether two values of an option are one, however a path is spelled.

    >>> same("data_root", Path("data"), Path("x/../data").absolute()), same("epochs", 2, 3)
    (True, False)
    """
    return bool(one == other) or (name in PLACES and spelled(one) == spelled(other))


def spelled(place: object) -> str:
    """A file or folder by its whole path; a name that is neither as it is.

    >>> spelled("kvasir"), spelled(None)
    ('kvasir', 'None')
    """
    text = str(place)
    path = Path(os.path.expanduser(text))
    is_place = isinstance(place, Path) or len(path.parts) > 1 or (path.suffix and is_there(path))
    return str(path.resolve()) if is_place else text
