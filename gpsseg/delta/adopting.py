"""A delta from elsewhere in a folder like that of a run, so that `evaluate` and `predict` take it.

The settings, the split and the data card are those of a run that is here: what is asked is how the
delta does on this place's own images, shown to it as to that run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.private import load_salt, read_private, save_salt
from gpsseg.config.resuming import read_config
from gpsseg.delta.facts import facts_of
from gpsseg.delta.opened import OpenedDelta, open_delta, require_run
from gpsseg.files import sha256_of_file, write_bytes, write_json
from gpsseg.folders import finish_folder, new_folder
from gpsseg.gps import Delta
from gpsseg.gps.alike import refuse_other_base, refuse_seen_otherwise
from gpsseg.gps.average import parts_in


def check_run(delta: Delta, place: Path) -> RunFolder:
    """The run whose settings a delta is to be used with.

    Args:
        delta: of the same base.
        place: the run's folder.

    Raises:
        UserError: it is none, or its network has another base or is shown other images.
    """
    opened = open_delta(place)
    run = require_run(opened, "--run")
    read_config(run.path)
    other = OpenedDelta(delta.path or Path("the mean"), delta, None)
    names = str(place), other.name
    refuse_other_base(opened.delta, delta, names)
    here, there = (facts_of(each)["settings"] or {} for each in (opened, other))
    refuse_seen_otherwise(here, there, names)
    return run


def adopt(delta: Delta, run: RunFolder, output: Path, begun_by: object) -> Path:
    """Write the folder: the run's settings, split, card and salt, and the delta.

    Args:
        delta: from ``check_run``'s.
        run: from ``check_run``.
        output: the folder; must not exist or be empty.
        begun_by: the settings of the command.
    """
    averaged = parts_in(delta.metadata, str(delta.path or "A delta"))
    target = RunFolder(new_folder(output, begun_by))
    for name in ("config", "split", "card"):
        source: Path = getattr(run, name)
        if source.is_file():
            write_bytes(getattr(target, name), source.read_bytes())
    if run.salt.is_file():
        save_salt(target.path, load_salt(run.path), read_private(run.path), again=True)
    delta.save(target.delta)
    facts: dict[str, Any] = {"run": run.path.name, "delta_sha256": sha256_of_file(target.delta)}
    if averaged:
        facts["averaged"] = averaged
    write_json(target.adopted, facts)  # also tells the folder from a start that was stopped
    finish_folder(target.path)
    return target.path
