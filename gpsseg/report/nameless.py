"""Runs side by side of which some are nameless: all names as one's salt hashes them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gpsseg.config.private import FILE, salt_near
from gpsseg.data.anonymous import OWN, nameless_prompt, nameless_split
from gpsseg.data.cards.card import card_names, load_card
from gpsseg.data.nameless import hashed_group
from gpsseg.data.splits.drawn import hash_of_ids
from gpsseg.data.splits.files import PARTS
from gpsseg.report.contents import Contents
from gpsseg.veil import hashed, looks_hashed

HASHED = re.compile(r"split [0-9a-f]{8}")  # see nameless_split


def is_nameless(contents: Contents) -> bool:
    """Whether a folder's ids are hashed; an evaluation keeps no settings that would say so."""
    ids = [case.id for case in contents.cases]
    told = contents.config.get("config", {}).get("anonymous_ids")
    return bool(told) or (bool(ids) and looks_hashed(ids))


def with_one_salt(folders: Sequence[Contents]) -> list[tuple[Contents, str | None]]:
    """The folders with all names hashed by the first salt that is at hand.

    A hash by another salt is told only where a folder beside it has the name that it stands for.

    Returns:
        Each, and the salt that its names are hashed by: empty where they are none, None where the
        salt is not at hand.

    Raises:
        UserError: a salt is damaged.
    """
    salts = [salt_near(each.folder) if is_nameless(each) else "" for each in folders]
    plain = [each for each, salt in zip(folders, salts, strict=True) if salt == ""]
    to = next((salt for salt in salts if salt), None)
    if to is None or not plain:
        return list(zip(folders, salts, strict=True))
    return [
        (each if salt is None else _renamed(each, plain, salt, to), to if salt == "" else salt)
        for each, salt in zip(folders, salts, strict=True)
    ]


def apart(salt: str | None, other: str | None) -> str:
    """Why nobody can tell which images of two folders are the same; empty where one could.

    Args:
        salt: of one, see ``with_one_salt``.
        other: of the other.
    """
    if salt == other and salt is not None:
        return ""
    if "" in (salt, other):
        return (
            f"the image names of one are hashed, and the {FILE} that tells them is neither in its "
            "folder nor in the one above"
        )
    return (
        "their image names are hashed, each by a salt of its own, so that nobody can tell which "
        "are the same (a third run that names them does, where both salts are at hand)"
    )


def _renamed(contents: Contents, plain: Sequence[Contents], salt: str, to: str) -> Contents:
    """A folder with its names, or their hashes by a salt, hashed by the salt ``to``."""
    listed = (name for p in plain for part in PARTS for name in p.split.get(part, ()))
    tested = (case.id for p in plain for case in p.cases)
    ids = _hashes((*tested, *listed), hashed, salt, to)
    groups = _hashes((case.group for p in plain for case in p.cases), hashed_group, salt, to)
    cases = tuple(
        dataclasses.replace(
            case, id=ids.get(case.id, case.id), group=groups.get(case.group, case.group)
        )
        for case in contents.cases
    )
    told, metrics = [p.metrics.get("split", {}).get("name") for p in plain], contents.metrics
    bundled = metrics.get("dataset") in card_names()
    card = load_card(metrics["dataset"]) if bundled else None
    splits = _hashes(told, lambda name, by: nameless_split(name, by, card), salt, to)
    changed: dict[str, Any] = {} if bundled else {"dataset": OWN}
    if split := metrics.get("split", {}):
        changed["split"] = split | {"name": splits.get(split.get("name"), split.get("name"))}
        if salt != to:
            changed["split"]["sha256"] = _split_hash(contents, ids)
    if prompt := metrics.get("prompt"):
        changed["prompt"] = nameless_prompt(prompt)
    return dataclasses.replace(contents, cases=cases, metrics=metrics | changed)


def _split_hash(contents: Contents, ids: Mapping[str, str]) -> str | None:
    """The hash of a folder's split with other ids; None where nobody can tell."""
    parts = {part: contents.split.get(part, []) for part in PARTS}
    if hash_of_ids(parts) != contents.metrics["split"].get("sha256"):  # an evaluation lists none
        return None
    if any(name not in ids for names in parts.values() for name in names):
        return None
    return hash_of_ids({part: [ids[name] for name in names] for part, names in parts.items()})


def _hashes(
    names: Iterable[str], of: Callable[[str, str], str], salt: str, to: str
) -> dict[str, str]:
    """What stands for each name here -> its hash by the salt ``to``."""
    return {(of(name, salt) if salt else name): of(name, to) for name in names if name}
