"""Hashed ids: what a run leaves behind without the names of files, patients or lesions."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from gpsseg.data.cards import Card
from gpsseg.data.case import Case
from gpsseg.data.cases import Split
from gpsseg.data.own import UNSTATED
from gpsseg.errors import UserError

FILE = "salt.txt"
DIGITS = 16


def new_salt() -> str:
    """A random salt, 64 hex digits."""
    return secrets.token_hex(32)


def save_salt(folder: Path, salt: str) -> None:
    """Keep a run's salt in its folder, readable by its owner only."""
    handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(salt + "\n")


def load_salt(folder: Path) -> str:
    """Read a run's salt.

    Raises:
        UserError: it was taken away or damaged, so that images can no longer be told.
    """
    try:
        salt = (folder / FILE).read_text(encoding="ascii").strip()
    except ValueError:
        salt = ""
    except OSError:
        raise UserError(
            f"{folder} has no {FILE}: its image names are hashed, and without the salt nobody can "
            "tell which they are. Put the file back to evaluate or resume this run."
        ) from None
    if not re.fullmatch(r"[0-9a-f]{64}", salt):
        raise UserError(
            f"{folder / FILE} is damaged, expected 64 hex digits. Put back the file that the run "
            "wrote."
        )
    return salt


def hashed(name: str, salt: str) -> str:
    """The first 16 hex digits of HMAC-SHA-256 of a name.

    >>> hashed("Jane Doe", "salt") == hashed("Jane Doe", "salt") != hashed("Jane Doe", "pepper")
    True
    """
    return hmac.new(salt.encode(), name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[
        :DIGITS
    ]


def anonymous_case(case: Case, salt: str) -> Case:
    """The case with its id and its group hashed; its files stay what they are."""
    group = None if case.group is None else hashed(f"group {case.group}", salt)
    return dataclasses.replace(case, id=hashed(case.id, salt), group=group)


def anonymous_card(card: Card, salt: str | None) -> Card:
    """The card of one's own folder or table without that one's name; any other as it is.

    Who writes a card, or publishes a set, has named it.
    """
    own = card.root is not None and card.licence == UNSTATED
    if salt is None or not own:
        return card
    return dataclasses.replace(card, name="own-images", title="own images")


def anonymous_split(split: Split, salt: str | None) -> Split:
    """The split with all ids and groups hashed; without a salt, as it is."""
    if salt is None:
        return split
    train, val, test = (
        tuple(anonymous_case(case, salt) for case in part)
        for part in (split.train, split.val, split.test)
    )
    return dataclasses.replace(split, train=train, val=val, test=test)
