"""A delta's whole network as one file of weights, which `--backbone NAME --weights FILE` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones import Backbone, load_backbone
from gpsseg.config.resuming import read_config
from gpsseg.data.cards.own import card_of
from gpsseg.delta.base import base_of
from gpsseg.delta.facts import facts_of
from gpsseg.delta.opened import Opened
from gpsseg.errors import UserError, told
from gpsseg.files import save_tensors, sha256_of_file, write_bytes
from gpsseg.runs.merged import merged
from gpsseg.scratch import scratch_folder
from gpsseg.writing import make_folder


def tuned_of(opened: Opened, untrained: bool) -> Backbone:
    """The base with a delta's values in its own weights.

    Raises:
        UserError: the base is not on this machine, or the method's layers cannot be merged.
    """
    if opened.run:
        return merged(opened.run.path, untrained)
    if opened.delta.metadata.get("best_epoch") == "0" and not untrained:
        raise UserError(
            f"{opened.path} holds the network from before its training. Train it again, or pass "
            "--untrained to use it as it is."
        )
    base = base_of(opened)
    opened.delta.apply(base)
    return base


def write_weights(opened: Opened, model: Backbone, output: Path) -> str:
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
    prompt = "" if model.facts.prompt == "none" else f" --prompt {model.facts.prompt}"
    return f"--backbone {told(order['name'])} --weights {output}{prompt}"


def _order(opened: Opened) -> dict[str, Any]:
    """What the base was loaded by, see ``gpsseg.backbones.load_backbone``."""
    if opened.run is None:
        settings = facts_of(opened)["settings"] or {}
        return {"name": settings["backbone"], "prompt": settings.get("prompt"), "classes": 1}
    config = read_config(opened.run.path)
    classes = card_of(config).logits if config.separate_classes else 1
    return {"name": config.backbone, "prompt": config.prompt, "classes": classes}


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
