"""Hashed ids: what a run leaves behind without the names of files, patients or lesions."""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.private import FILE as FILE
from gpsseg.config.private import HIDDEN, load_salt, save_salt
from gpsseg.config.told import given
from gpsseg.data.cards.card import Card, card_names, is_bundled
from gpsseg.data.nameless import anonymous_case
from gpsseg.faults import is_there
from gpsseg.files import CHECKPOINTS
from gpsseg.scope import draw, hide
from gpsseg.veil import DIGITS, Veil, hashed, is_place

if TYPE_CHECKING:
    from gpsseg.data.splits.split import Split

__all__ = ["DIGITS", "FILE", "hashed", "load_salt", "save_salt"]

UNSTATED = "not stated"
OWN = "own-images"  # what a nameless run calls data of one's own
SEEDED = "seeded-80-20"  # the split of one's own images, see gpsseg.data.cards.own
# Settings that may be a file's or folder's name, or that of one that everybody knows.
PLACES = ("dataset", "split", "backbone", "weights", "cache")
NOWHERE = [{"name": "hidden", "all": {"table": "hidden"}, "test_share": 0.2}]


def new_salt() -> str:
    """A random salt, 64 hex digits."""
    return secrets.token_hex(32)


def anonymous_card(card: Card, salt: str | None) -> Card:
    """A card of one's own without what it says of itself; one that comes with gpsseg as it is.

    Where its files lie stays in it, for it is needed to read them; `public_card` is for others.
    """
    if salt is None:
        return card
    hide(lambda veil: _with_classes(veil, card))
    if is_bundled(card):
        hide(lambda veil: _with_public(veil, card))
        return card
    hide(lambda veil: _with_card(veil, card))
    return dataclasses.replace(
        card,
        name=OWN,
        title="own images",
        homepage="",
        licence=UNSTATED,
        citation=UNSTATED,
        allows="",
        note="",
        sources=[],
        get="",
        synthetic={},
    )


def public_card(card: Card) -> Card:
    """What of a card of one's own ``predict`` needs, without its files, splits and groups."""
    return dataclasses.replace(card, root=None, folder="hidden", splits=NOWHERE, group=None)


def anonymous_split(split: Split, salt: str | None, card: Card | None = None) -> Split:
    """The split with all ids and groups hashed; without a salt, as it is.

    Its name is hashed too, unless it is one that comes with gpsseg.

    Args:
        split: of the cases.
        salt: of the run.
        card: of the set.
    """
    if salt is None:
        return split
    train, val, test = (
        tuple(anonymous_case(case, salt) for case in part)
        for part in (split.train, split.val, split.test)
    )
    name = nameless_split(split.name, salt, card)
    return dataclasses.replace(split, name=name, train=train, val=val, test=test)


def nameless_split(name: str, salt: str, card: Card | None) -> str:
    """What a split of a card's set is called where names are hashed."""
    known = {SEEDED}
    if card is not None and is_bundled(card):
        known |= {str(rule["name"]) for rule in card.splits}
    return name if name in known else f"split {hashed(name, salt)[:8]}"


def draw_veil(salt: str | None, *configs: Any) -> None:
    """Let the running command hide the places that its settings name; nothing without a salt.

    Args:
        salt: of the hashes.
        configs: dataclasses of settings; what is no place in them is no name.
    """
    if salt is None:
        draw(None)
        return
    settings = [setting for config in configs for setting in _flat(dataclasses.asdict(config))]
    places = {Path(str(value)) for name, value in settings if _names_place(name, value)}
    places |= {Path(os.environ[name]) for name in ("GPSSEG_DATA",) if os.environ.get(name)}
    words = {
        str(value).lower()
        for name, value in settings
        if name not in ("dataset", "split", "title") and not _names_place(name, value)
    }
    veil = Veil(salt, frozenset(words))
    for place in sorted(places):
        veil = veil.hide_path(place)
    if any(_has_own(config) for config in configs):
        splits = [str(value) for name, value in settings if name == "split"]
        veil = veil.hide({split: hashed(split, salt) for split in splits})
    draw(veil)


def _flat(settings: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """(name, value) of all settings that are set; a list's values one by one."""
    for name, value in settings.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None and not isinstance(each, bool | float):
                yield name, each


def _names_place(name: str, value: Any) -> bool:
    """Whether a setting is a path, or names a file or folder."""
    if not isinstance(value, str):
        return isinstance(value, Path)
    ours = name == "split" or value in card_names()
    named = Path(value).suffix.lower() in (".json", ".yaml", ".yml", *CHECKPOINTS)
    there = name in PLACES and not ours and is_there(value)
    return is_place(value) or named or there


def _has_own(config: Any) -> bool:
    """Whether settings name data of one's own."""
    own = any(getattr(config, name, None) for name in ("images", "table", "truth"))
    return own or str(getattr(config, "dataset", None) or "").endswith((".yaml", ".yml"))


def _with_classes(veil: Veil, card: Card) -> Veil:
    """The veil that does not hide what a network finds."""
    words = (card.foreground, *card.foreground.split(), *card.classes, UNSTATED, SEEDED)
    return dataclasses.replace(veil, public=veil.public | {word.lower() for word in words})


def _with_public(veil: Veil, card: Card) -> Veil:
    """The veil that does not hide what everybody knows of a published set."""
    words = (card.name, card.title, card.folder, *(str(rule["name"]) for rule in card.splits))
    return dataclasses.replace(veil, public=veil.public | {word.lower() for word in words})


def _with_card(veil: Veil, card: Card) -> Veil:
    """The veil that also hides what a card of one's own says of itself."""
    told = (card.name, card.title, card.homepage, card.licence, card.citation, card.folder)
    names = {text: hashed(text, veil.salt) for text in (*told, card.note, card.get) if text}
    for rule in card.splits:
        names |= {text: hashed(text, veil.salt) for text in _texts(rule)}
    names |= {text: hashed(text, veil.salt) for text in _texts(card.group or {})}
    veil = veil.hide(names)
    return veil if card.root is None else veil.hide_path(card.root)


def _texts(value: Any) -> Iterable[str]:
    """All texts in a card's rule, and the names that patterns are made of."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
        yield from (part for part in Path(value).parts if not set("*?[{") & set(part))


def nameless_prompt(prompt: str) -> str:
    """What to call a prompt without the name of the file that it came from.

    >>> nameless_prompt("box from mine.csv"), nameless_prompt("box from the truth")
    ('box from a file', 'box from the truth')
    """
    kind, told, source = given(prompt).partition(" from ")
    return f"{kind} from a file" if told and source != "the truth" else prompt


def public_settings(settings: dict[str, Any], own: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a run's settings into those that anybody may read and the private ones.

    Args:
        settings: name -> value.
        own: whether the data are the user's own, so that a split's name is too.

    Returns:
        All settings, with ``HIDDEN`` for places; and the places.
    """
    private = {
        name: value
        for name, value in settings.items()
        if is_place(value) or (name in ("split", "title") and own and value is not None)
    }
    return settings | dict.fromkeys(private, HIDDEN), private
