"""Masks that belong to no image: every command that reads a set says so."""

from __future__ import annotations

from pathlib import Path

from gpsseg.console import say
from gpsseg.data.cards import Card
from gpsseg.data.cases import find_cases
from gpsseg.data.notices import lone_notice
from gpsseg.errors import UserError


def say_lone(card: Card, root: Path, anonymous: bool = False) -> None:
    """Say how many masks have no image; ``anonymous`` names none.

    Args:
        card: of the set.
        root: its folder, as found.
        anonymous: whether to leave out the names.
    """
    try:
        lone = find_cases(card, root, require_masks=False).lone_masks
    except UserError:  # whoever needs the set has said so, or needs less than all of it
        return
    for note in lone_notice([path.name for path in lone], anonymous):
        say(note, style="yellow")
