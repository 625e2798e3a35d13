"""The one private file of a nameless run: its salt, and the facts that its other files do not hold.

The first line is the salt. Below it stands JSON: "config" (settings that are places or names),
"command" and "card" (the user's own data card). Folders of version 0.1 have the first line only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.written import PrivateFacts
from gpsseg.errors import UserError
from gpsseg.reading import fitted, parse_json, read_text
from gpsseg.writing import replacing

FILE, CARD = (path.name for path in (RunFolder(Path()).salt, RunFolder(Path()).card))
HIDDEN = "hidden, see salt.txt"


def save_salt(
    folder: Path, salt: str, facts: Mapping[str, Any] | None = None, again: bool = False
) -> None:
    """Keep a run's salt and its private facts in its folder, readable by its owner only.

    Only what is begun ``again`` may lose the salt that it has.

    Raises:
        FileExistsError: it has one.
    """
    if (folder / FILE).exists() and not again:
        raise FileExistsError(f"{folder / FILE} exists already")
    _write(folder, salt, facts)


def _write(folder: Path, salt: str, facts: Mapping[str, Any] | None) -> None:
    told = json.dumps(facts, indent=2, default=str) + "\n" if facts else ""
    with replacing(folder / FILE, private=True) as partial:
        partial.write_text(f"{salt}\n{told}", encoding="utf-8")


def change_private(folder: Path, **config: str) -> None:
    """Change settings among a run's private facts, where it has any."""
    salt, facts = load_salt(folder), read_private(folder)
    if facts:
        facts["config"] = facts.get("config", {}) | config
        _write(folder, salt, facts)


def load_salt(folder: Path) -> str:
    """Read a run's salt.

    Raises:
        UserError: it was taken away or damaged, so that images can no longer be told.
    """
    salt = _read(folder).partition("\n")[0].strip()
    if not salt:
        raise UserError(
            f"{folder} has no {FILE}: its image names are hashed, and without the salt nobody can "
            "tell which they are. Put the file back to evaluate or resume this run."
        )
    if not re.fullmatch(r"[0-9a-f]{64}", salt):
        raise UserError(
            f"{folder / FILE} is damaged, expected 64 hex digits in its first line. Put back the "
            "file that the run wrote."
        )
    return salt


def salt_near(folder: Path) -> str | None:
    """The salt that a folder's names are hashed with: its own, or its run's; None without one.

    An evaluation of a nameless run lies in the run, and has none of its own.

    Raises:
        UserError: it is damaged.
    """
    places = (folder, folder.resolve().parent)
    return next((load_salt(place) for place in places if (place / FILE).is_file()), None)


def read_private(folder: Path) -> dict[str, Any]:
    """The private facts of a run; none where the file was taken away, or is of version 0.1.

    Raises:
        UserError: the file is damaged.
    """
    facts = _read(folder).partition("\n")[2].strip()
    if not facts:
        return {}
    place = f"{folder / FILE}, below its first line,"
    content = parse_json(facts, place)
    found: dict[str, Any] = fitted(content, PrivateFacts, place, "Put back a copy of it.")
    return found


def _read(folder: Path) -> str:
    if not (folder / FILE).is_file():
        return ""
    return read_text(folder / FILE, errors="replace")
