"""A delta's base, and its whole network as one file that `--backbone NAME --weights FILE` takes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones import Backbone, load_backbone
from gpsseg.backbones.registry import is_code, is_own_path
from gpsseg.config.peft_tuners import is_peft
from gpsseg.config.resuming import read_config
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.delta.facts import facts_of
from gpsseg.delta.opened import OpenedDelta
from gpsseg.errors import UserError, told
from gpsseg.files import save_tensors, sha256_of_file, write_bytes
from gpsseg.runs.known_base import base_of_run
from gpsseg.runs.merged import merged
from gpsseg.scratch import scratch_folder
from gpsseg.tuning import METHODS
from gpsseg.writing import make_folder


def load_base_of(opened: OpenedDelta) -> Backbone:
    """Load the base of a delta.

    Raises:
        UserError: the base is not on this machine or another one, or nobody says what it is.
    """
    if opened.run is None:
        base = _by_its_settings(opened)
    else:
        base = base_of_run(read_config(opened.run.path), [opened.delta])
    with working("comparing the base with the delta's"):
        opened.delta.refuse_other_base(base)
    return base


def _by_its_settings(opened: OpenedDelta) -> Backbone:
    """The same by a delta's own metadata, which name no file of this machine, and none is read."""
    settings: dict[str, Any] = facts_of(opened)["settings"] or {}
    name, weights = settings.get("backbone", ""), settings.get("weights")
    why = ""
    if not name:
        why = "does not say what its base is"
    elif is_own_path(name):
        why = f"was made from a file of its author's ({told(name)})"
    elif is_code(name):
        why = f"was made from code of its author's ({told(name)})"
    elif weights not in (None, "random"):
        why = f"was made from weights of its author's ({told(weights)})"
    elif settings.get("separate_classes"):
        why = "tells classes apart, which the data card of its run names"
    elif _adds_layers(settings.get("method") or ""):
        why = (
            f"is of {told(settings['method'])}, whose layers are put in by the settings of its run"
        )
    if why:
        raise UserError(f"{opened.path} {why}. Pass the folder of its run.")
    with working(f"loading {told(name)}"):
        seed = settings.get("seed", 0)
        return load_backbone(
            *(name, settings.get("prompt"), seed),
            weights=weights,
            text=_word(settings),
        )


def _word(settings: Mapping[str, Any]) -> str:
    """By which the network is asked; empty if by none."""
    return str(next(iter(settings.get("text") or ()), ""))


def _adds_layers(method: str) -> bool:
    known = METHODS.get(method)
    return is_peft(method) or bool(known and known.adds)


def tuned_of(opened: OpenedDelta, untrained: bool) -> Backbone:
    """The base with a delta's values in its own weights.

    Raises:
        UserError: the base is not on this machine, or the method's layers cannot be merged.
    """
    if opened.run:
        return merged(opened.run.path, untrained)
    if opened.delta.untrained and not untrained:
        raise UserError(
            f"{opened.path} holds the network from before its training. Train it again, or pass "
            "--untrained to use it as it is."
        )
    base = load_base_of(opened)
    opened.delta.apply(base)
    return base


def write_weights(opened: OpenedDelta, model: Backbone, output: Path) -> str:
    """Write a network's weights, once they have been read again.

    Args:
        opened: the delta.
        model: its network, see ``tuned_of``.
        output: the file.

    Returns:
        How to use them: `--backbone NAME --weights FILE`, with the prompt where there is one.

    Raises:
        UserError: no backbone's name takes such a file.
    """
    order = _order(opened)
    weights = {name: t.detach().cpu().contiguous() for name, t in _net(model).state_dict().items()}
    told_there = opened.delta.metadata
    metadata = {str(n): told_there[n] for n in ("base", "licence") if n in told_there}
    metadata["delta_sha256"] = sha256_of_file(opened.path)
    with scratch_folder() as folder:
        file = folder / output.name
        save_tensors(file, weights, metadata)
        _check(order, file, weights)
        make_folder(output.parent)
        write_bytes(output, file.read_bytes())
    facts = model.facts
    prompt = "" if facts.prompt == "none" else f" --prompt {facts.prompt}"
    prompt += f" --text {shlex.quote(told(facts.text))}" if facts.prompt == "text" else ""
    return f"--backbone {told(order['name'])} --weights {output}{prompt}"


def _order(opened: OpenedDelta) -> dict[str, Any]:
    """What the base was loaded by, see ``gpsseg.backbones.load_backbone``."""
    if opened.run is None:
        settings = facts_of(opened)["settings"] or {}
        named = {"name": settings["backbone"], "prompt": settings.get("prompt")}
        return {**named, "classes": 1, "text": _word(settings)}
    config = read_config(opened.run.path)
    classes = card_of(config).logits if config.separate_classes else 1
    named = {"name": config.backbone, "prompt": config.prompt, "classes": classes}
    return {**named, "text": _word(vars(config))}


def _net(model: Any) -> Any:
    """The library's network, whose names a checkpoint has."""
    return getattr(model, "net", model)


def _check(order: dict[str, Any], file: Path, weights: dict[str, Tensor]) -> None:
    """Read the file as its user would.

    Raises:
        UserError: it cannot be read, or makes another network.
    """
    name = order["name"]
    try:
        again = _net(load_backbone(**order, weights=str(file))).state_dict()
    except UserError:
        again = {}
    if again.keys() != weights.keys() or not all(torch.equal(again[n], weights[n]) for n in again):
        raise UserError(
            f"--backbone {told(name)} takes no file with all of these weights as --weights, so "
            "nothing was written. Write them for another library by python -m gpsseg.export."
        )
