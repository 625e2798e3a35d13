"""The network that a delta was made from, by the settings that its run or the delta tells."""

from __future__ import annotations

from typing import Any

from gpsseg.backbones import Backbone, load_backbone
from gpsseg.backbones.base import is_path
from gpsseg.config.resuming import read_config
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.delta.facts import facts_of
from gpsseg.delta.opened import Opened
from gpsseg.errors import UserError, told
from gpsseg.runs.method import load_base


def base_of(opened: Opened) -> Backbone:
    """Load the base of a delta.

    Raises:
        UserError: the base is not on this machine or another one, or nobody says what it is.
    """
    if opened.run is None:
        base = _by_its_settings(opened)
    else:
        config = read_config(opened.run.path)
        base = load_base(config, card_of(config) if config.separate_classes else None)
    with working("comparing the base with the delta's"):
        opened.delta.refuse_other_base(base)
    return base


def _by_its_settings(opened: Opened) -> Backbone:
    """The same by a delta's own metadata, which name no file of this machine, and none is read."""
    settings: dict[str, Any] = facts_of(opened)["settings"] or {}
    name, weights = settings.get("backbone", ""), settings.get("weights")
    why = ""
    if not name:
        why = "does not say what its base is"
    elif is_path(name):
        why = f"was made from a file of its author's ({told(name)})"
    elif weights not in (None, "random"):
        why = f"was made from weights of its author's ({told(weights)})"
    elif settings.get("separate_classes"):
        why = "tells classes apart, which the data card of its run names"
    if why:
        raise UserError(f"{opened.path} {why}. Pass the folder of its run.")
    with working(f"loading {told(name)}"):
        seed = settings.get("seed", 0)
        return load_backbone(name, settings.get("prompt"), seed, weights=weights)
