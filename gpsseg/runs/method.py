"""A method on a backbone: what it adds, what trains and how fast, and what the base is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import torch

from gpsseg import gps
from gpsseg.backbones import Backbone, load_backbone
from gpsseg.backbones.registry import require_names
from gpsseg.config.effects import idle
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.peft_tuners import is_peft
from gpsseg.config.resuming import ResumedConfig
from gpsseg.config.select import SelectConfig
from gpsseg.console import say, working
from gpsseg.data.cards.card import Card
from gpsseg.engine.machine import Machine
from gpsseg.engine.refresh_state import read_selections
from gpsseg.errors import counted
from gpsseg.files import last_part
from gpsseg.gps import Selection
from gpsseg.runs.data import Data
from gpsseg.runs.scores import scored_images
from gpsseg.runs.selection import (
    choose,
    counts_sentence,
    gps_trains,
    layer_table,
    save_selection,
    trainable_counts,
)
from gpsseg.runs.words import ask_by, first_word
from gpsseg.tuning import method_of
from gpsseg.tuning.peft_tuner import reach_of


def require_backbone(config: FinetuneConfig | SelectConfig) -> None:
    """Refuse a backbone's name or a file of weights that is not there, before any data is read.

    Raises:
        UserError: see ``gpsseg.backbones.load_backbone``.
    """
    require_names(config.backbone, config.weights)


def refuse_without_effect(backbone: Backbone, config: FinetuneConfig | SelectConfig) -> None:
    """Refuse options that would do nothing with this network, or that one of PEFT's tuners lacks.

    Args:
        backbone: plain.
        config: as given; of one that is settled already, or goes on, the method has set what a
            user could have given in vain.

    Raises:
        UserError: one of them is given.
    """
    name = backbone.facts.name
    if isinstance(config, FinetuneConfig) and is_peft(config.method):
        reach_of(config.method, backbone, tuned_weights(backbone))
    if config.checkpoint_activations and not backbone.blocks:
        raise idle("checkpoint_activations", True, f"{name} has no blocks to compute again")
    if not isinstance(config, FinetuneConfig) or config.method != "adapter":
        return
    if isinstance(config, SettledConfig | ResumedConfig):
        return
    in_decoder = {n for n, role in backbone.roles().items() if role == "decoder"}
    adapted = [n for n, p in backbone.named_parameters() if _in_a_block(p, backbone)]
    trains = bool(in_decoder & (from_scratch(backbone) | set(adapted)))
    if config.decoder_lr and not trains:
        why = f"--method adapter trains nothing in the decoder of {name}"
        raise idle("decoder_lr", config.decoder_lr, why)


def _in_a_block(parameter: Any, backbone: Backbone) -> bool:
    return any(parameter is own for block in backbone.blocks for own in block.parameters())


def load_base(config: FinetuneConfig | SelectConfig, card: Card | None) -> Backbone:
    """The untuned network, with as many logits as the data need; one without a card."""
    classes, word = card.logits if card else 1, first_word(config, card)
    with working(f"loading {config.backbone}"):
        backbone = load_backbone(
            *(config.backbone, config.prompt, config.seed),
            weights=config.weights,
            classes=classes,
            text=word,
        )
    ask_by(backbone, config, word)
    return backbone


def add_layers(backbone: Backbone, config: FinetuneConfig) -> None:
    """Put the method's own layers into the plain backbone, in place; most methods have none."""
    method = method_of(config.method)
    if method.adds:
        torch.manual_seed(config.seed)
        method.adds(backbone, tuned_weights(backbone), backbone.blocks, config.rank)


def tuned_weights(backbone: Backbone) -> list[str]:
    """Names of the plain backbone's parameters that a method's own layers may stand beside."""
    roles, scratch = backbone.roles(), from_scratch(backbone)
    return [n for n in roles if roles[n] != "prompt" and n not in scratch]


def what_trains(
    backbone: Backbone,
    config: SettledConfig,
    data: Data,
    machine: Machine,
    handed: Selection | None = None,
) -> tuple[Selection, dict[str, Any]]:
    """Add the method's layers, and find what trains.

    Args:
        backbone: plain; the method's own layers are added in place.
        config: says how.
        data: whose training images are scored, by a method that does so.
        machine: where to score.
        handed: a selection that is there already, see ``gpsseg.runs.start_from``.

    Returns:
        What trains, and how a selection was made, see ``gpsseg.runs.selection.choose``; else empty.
    """
    if handed is not None:
        return handed, {}
    settings = of_selection(config)
    if settings is not None:
        return choose(backbone, scored_images(data, config), settings, machine)
    if is_peft(config.method):
        reach = reach_of(config.method, backbone, tuned_weights(backbone))
        say(reach.sentence(config.method))
    return gps.Selection({}, {}, tuple(added_and_whole(backbone, config))), {}


def of_selection(config: SettledConfig) -> SettledConfig | None:
    """The settings of GPS that make a method that selects; None of another."""
    method = method_of(config.method)
    if method.selects is None:
        return None
    own: Any = {"method": "gps", **method.selects}
    return dataclasses.replace(config, **own)


def select_or_take_up(
    backbone: Backbone,
    config: SettledConfig,
    data: Data,
    machine: Machine,
    run: RunFolder,
    handed: Selection | None = None,
) -> tuple[Selection, dict[str, Any]]:
    """Find what trains and keep it in the run, or take up what the run to resume has.

    Returns:
        What trains, and its counts, as in metrics.json.
    """
    if config.resume:
        add_layers(backbone, config)
        selection = taken_up(backbone, config)
        layers = layer_table(backbone, selection)
    else:
        selection, how = what_trains(backbone, config, data, machine, handed)
        layers = layer_table(backbone, selection)
        save_selection(run, selection, layers, how)
    counts = trainable_counts(layers)
    every = counted(config.refresh, "update") if config.refresh else ""
    say(f"{counts_sentence(counts)}{f'; selected anew after every {every}' if every else ''}")
    return selection, counts


def taken_up(backbone: Backbone, config: FinetuneConfig) -> Selection:
    """What trains in the run to resume; where it selects anew, when its resume point was written.

    Its file then has the union of all selections, see ``gpsseg.engine.refresh``.

    Args:
        backbone: plain, with the method's layers.
        config: of the run.
    """
    assert config.resume
    run = RunFolder(config.resume)
    selection = Selection.load(run.selection)
    if not config.refresh:
        return selection
    (now, *_), _ = read_selections(run.resume_point, backbone, selection.dense)
    return now


def added_and_whole(backbone: Backbone, config: FinetuneConfig) -> list[str]:
    """Add the method's layers, and name all parameters that train, for one that selects none."""
    whole = whole_parameters(backbone, config)
    before = {id(parameter) for parameter in backbone.parameters()}
    add_layers(backbone, config)
    return whole + [name for name, p in backbone.named_parameters() if id(p) not in before]


def whole_parameters(backbone: Backbone, config: FinetuneConfig) -> list[str]:
    """Names of the plain backbone's parameters that train whole."""
    method, roles = method_of(config.method), backbone.roles()
    if method.selects is not None:
        return gps_trains(backbone, config)[1]
    chosen = set(method.trains(backbone, roles)) if method.trains else set()
    chosen |= from_scratch(backbone)
    return [name for name in roles if name in chosen]


def from_scratch(backbone: Backbone) -> set[str]:
    """Names of a decoder's parameters that start from random weights, or were added to it."""
    if "decoder" not in backbone.facts.scratch:
        return set(backbone.added_parameters())
    return {name for name, role in backbone.roles().items() if role == "decoder"}


def learning_rates(
    backbone: Backbone, selection: Selection, config: SettledConfig
) -> dict[str, float]:
    """Parameter name -> peak learning rate.

    What was added to a decoder for several classes trains whole, at the encoder's rate.

    Args:
        backbone: prepared, see ``gpsseg.gps.sparsify``.
        selection: what trains in it.
        config: has the rates.
    """
    roles, new = backbone.roles(), set(backbone.added_parameters())
    trained = [*selection.dense, *(f"{name}_values" for name in selection.indices)]
    if config.refresh:  # then others may be selected, which are plain as yet
        plain = [name for name in gps.neuron_weights(backbone) if name not in selection.dense]
        roles |= {f"{name}_values": roles[name] for name in plain}
        trained += [f"{name}_values" for name in plain]
    fast = {name for name in trained if roles[name] == "decoder"} - new
    return {name: config.decoder_lr if name in fast else config.lr for name in trained}


def decays_back(backbone: Backbone, trained: Collection[str], config: SettledConfig) -> set[str]:
    """Which of the parameters that train are pulled back to the value that they start from.

    Those that are pre-trained, and those of layers that begin as the identity; a decoder that
    starts from random weights has no value to go back to.
    """
    if config.decay_to == "zero":
        return set()
    scratch = {name.removesuffix("_values") for name in from_scratch(backbone)}
    return {name for name in trained if name.removesuffix("_values") not in scratch}


def identify_base(
    backbone: Backbone, config: FinetuneConfig, handed: Selection | None = None
) -> dict[str, Any]:
    """Name and hash of the plain network that a delta is about to be trained on, see ``base_of``.

    Args:
        backbone: plain.
        config: of the run.
        handed: a selection that is there already, see ``gpsseg.runs.start_from``.
    """
    whole = handed.dense if handed else whole_parameters(backbone, config)
    return base_of(backbone, config, whole)


def base_of(
    backbone: Backbone, config: FinetuneConfig | SelectConfig, whole: Collection[str]
) -> dict[str, Any]:
    """Name and hash of a plain network.

    Whatever starts from random weights and trains whole is replaced by the delta and not hashed.
    """
    scratch, roles, chosen = backbone.facts.scratch, backbone.roles(), set(whole)
    with working("noting the base network's weights"):
        free = tuple(n for n in roles if n in chosen and roles[n] in scratch)
        base_hash = gps.model_hash(backbone, free)
    weights = f"weights {last_part(config.weights)}, " if config.weights else ""
    code = f"code {backbone.facts.code}, " if backbone.facts.code else ""
    settings = f"{code}{weights}prompt {backbone.facts.prompt}, seed {config.seed}"
    return {
        "base": f"{last_part(config.backbone)} ({settings})",
        "base_hash": base_hash,
        "free": free,
    }
