"""Which weights train: scored and selected by GPS, counted, and kept in the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import torch

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import BLIND, METHOD_OF_CRITERION
from gpsseg.config.select import SelectConfig
from gpsseg.config.shared import BackboneConfig
from gpsseg.console import say, working
from gpsseg.data.loader import CaseDataset
from gpsseg.device import draws_kept
from gpsseg.engine.machine import Machine
from gpsseg.engine.prepare import tuning_mode
from gpsseg.errors import counted
from gpsseg.files import write_json
from gpsseg.gps import Selection
from gpsseg.memory import memory_for
from gpsseg.processes import of_main, part
from gpsseg.runs.looks import Look, looks_of, seen_at
from gpsseg.runs.picked import picked, picked_alone, ties
from gpsseg.runs.scores import images_at_once, images_that_count, scores_of_halves
from gpsseg.runs.settle import top_k_of


class Observer(Protocol):
    """Looks at the scores on the way through the images."""

    @property
    def parts(self) -> int:
        """Into how many parts each half of the images falls."""

    def look(self, scores: gps.Scores, look: Look, images: int) -> None:
        """Look at the scores by so many images; they go on growing afterwards."""


def choose(
    backbone: Backbone,
    images: CaseDataset,
    config: FinetuneConfig | SelectConfig,
    machine: Machine,
    also: Callable[[gps.Scores, Mapping[str, int]], None] | None = None,
    observer: Observer | None = None,
) -> tuple[Selection, dict[str, Any]]:
    """Select by GPS: top K per neuron in encoder and decoder; encoder biases train whole.

    A dense decoder trains whole, and so does what was added to one for several classes.
    Normalisation layers, position embeddings and the prompt encoder stay frozen.

    Args:
        backbone: prepared.
        images: from ``scored_images``.
        config: says how.
        machine: where to score.
        also: is shown the scores of all images, and every weight's K.
        observer: looks at the scores on the way, where there is a way.

    Returns:
        The selection, the same in every process, and how it was made, as in selection.json.
    """
    top_k, whole = gps_trains(backbone, config)
    gps.check_top_k(backbone, top_k)
    _say_of_random_decoder(backbone, config)
    with working("preparing the network"):
        backbone.to(machine.device)
    tuning_mode(backbone)
    with memory_for("selecting", config):
        at_once = images_at_once(backbone, images, top_k, whole, config, machine)
    torch.manual_seed(config.seed)  # of dropout and the criterion "random"
    seen = images_that_count(images, config)
    scores, early = _scored(backbone, images, config, machine, at_once, top_k, observer)
    with working("choosing weights"), memory_for("selecting", config):
        selection = picked(backbone, scores, top_k, config)
        if also is not None:
            also(scores, top_k)
    _say_frozen(scores.without_gradient)
    how = _how(config, seen)
    if early:  # for selection.json
        if config.mix:
            own = picked_alone(backbone, scores, top_k, config)
        else:
            own = gps.with_score(backbone, scores, selection)
        how["overlap_with_half"] = gps.overlap(own, early)
    if seen:
        how["at_once"] = at_once
        how["within_rounding"] = ties(scores, top_k, config, machine.precision)
        _say_ties(how["within_rounding"], selection)
    return of_main((_whole(selection, whole), how))  # they may differ where scores nearly do not


def _say_of_random_decoder(backbone: Backbone, config: BackboneConfig) -> None:
    if top_k_of(config, backbone.facts)[1] != "dense" and "decoder" in backbone.facts.scratch:
        say(
            "The decoder starts from random weights, and --decoder-top-k leaves most of these as "
            "they are. Leave the option out to train all of it.",
            style="bold yellow",
        )


def _scored(
    backbone: Backbone,
    images: CaseDataset,
    config: FinetuneConfig | SelectConfig,
    machine: Machine,
    at_once: int,
    top_k: Mapping[str, int],
    observer: Observer | None,
) -> tuple[gps.Scores, Selection | None]:
    """The scores by all images, and what the criterion selects by the first half of them.

    The latter is None where one image, or none, is looked at, or a mix leaves it nothing.
    """
    asked = config
    if at_once == 1 and isinstance(config, FinetuneConfig):
        asked = dataclasses.replace(config, batch_size=1)  # fewer would not take less memory
    looks = looks_of(len(images), at_once, observer.parts if observer else 1)
    on_the_way = (*(backbone, images, at_once, list(top_k), config, machine), "scoring weights")
    several, early = config.criterion not in BLIND and len(images) > 1, None
    with memory_for("selecting", asked):
        counts = seen_at(looks, len(images), at_once, machine)
        for scores, look, count in zip(
            scores_of_halves(*on_the_way, looks), looks, counts, strict=False
        ):
            if several and look.ends_half and early is None:
                early = picked_alone(backbone, scores, top_k, config)
            if observer is not None:
                observer.look(scores, look, count)
    if early and not any(len(index) for index in early.indices.values()):
        early = None
    return scores, early


def _say_frozen(names: Sequence[str]) -> None:
    """Say whose weights no image gave a gradient."""
    if names:
        frozen = counted(
            len(names), "layer gets no gradient and stays", "layers get no gradient and stay"
        )
        more = " ..." if len(names) > 3 else ""
        say(f"{frozen} frozen: {', '.join(names[:3])}{more}")


def _how(config: FinetuneConfig | SelectConfig, images: int) -> dict[str, Any]:
    """By which rule so many images were selected by; see ``choose``."""
    how: dict[str, Any] = {"criterion": config.criterion, "level": config.level, "images": images}
    if config.criterion not in METHOD_OF_CRITERION:
        how["loss"] = config.loss
    if config.mix:
        how |= {"mix": config.mix, "mix_share": config.mix_share}
    if config.layers != "all":
        how |= {"chosen_from": config.layers, "late_share": config.late_share}
    return how


def choose_again(
    backbone: Backbone,
    images: CaseDataset,
    config: FinetuneConfig,
    machine: Machine,
    at_once: int,
    whole: Sequence[str],
) -> Selection:
    """Select by the same rule as ``choose``, of the network as it is by now.

    What the training draws at random goes on as if nothing had been drawn here.

    Args:
        backbone: plain, with the values that it has learned.
        images: the same as there.
        config: the same as there but for the seed.
        machine: where to score.
        at_once: how many images in one pass.
        whole: names of what trains whole.
    """
    top_k, _ = gps_trains(backbone, config)
    halves = scores_of_halves(backbone, images, at_once, list(top_k), config, machine, None)
    with draws_kept(machine.device), memory_for("selecting", config):
        torch.manual_seed(config.seed)
        *_, scores = halves
        selection = picked(backbone, scores, top_k, config)
    return of_main(_whole(selection, whole))


def _whole(selection: Selection, dense: Sequence[str]) -> Selection:
    """A selection, on the CPU, with what trains whole beside it."""
    indices = {name: index.cpu() for name, index in selection.indices.items()}
    return dataclasses.replace(selection, indices=indices, dense=tuple(dense))


def _say_ties(tied: int, selection: Selection) -> None:
    """Say how much of a selection the order of adding up may decide."""
    processes, selected = part()[1], sum(len(index) for index in selection.indices.values())
    if processes > 1:
        say(
            f"{processes} processes scored the weights: {tied:,} of {selected:,} selected entries "
            "are within rounding of one that is not, so another number of processes may select "
            "the other."
        )


def gps_trains(backbone: Backbone, config: BackboneConfig) -> tuple[dict[str, int], list[str]]:
    """K of every weight that GPS selects from, and the parameters that train whole."""
    in_encoder, in_decoder = top_k_of(config, backbone.facts)
    roles, always = backbone.roles(), set(backbone.added_parameters())
    sparse = {"encoder": in_encoder}
    if in_decoder == "dense":
        always |= {name for name, role in roles.items() if role == "decoder"}
    else:
        sparse["decoder"] = in_decoder
    weights = gps.neuron_weights(backbone)
    biases = gps.neuron_biases(backbone, shifts=config.biases == "all")
    out = {*always, *_early(weights, roles, config)}
    top_k = {n: sparse[roles[n]] for n in weights if roles[n] in sparse and n not in out}
    if config.biases != "none":
        always |= {n for n in biases if roles[n] == "encoder" and n not in out}
    return top_k, [name for name in roles if name in always]


def _early(
    weights: Sequence[str], roles: Mapping[str, str], config: BackboneConfig
) -> Collection[str]:
    """What --layers leaves out: the encoder's parameters before the first of its late weights."""
    if config.layers == "all":
        return ()
    encoder = [name for name in weights if roles[name] == "encoder"]
    first = encoder[-max(1, round(config.late_share * len(encoder)))]
    names = list(roles)
    return {name for name in names[: names.index(first)] if roles[name] == "encoder"}


def layer_table(backbone: Backbone, selection: Selection) -> list[dict[str, Any]]:
    """One row per layer, in the network's order.

    Keys: layer, role, weights (entries of all its parameters), selected (entries GPS selected),
    whole (entries of parameters that train whole).
    """
    rows: dict[str, dict[str, Any]] = {}
    roles, whole = backbone.roles(), set(selection.dense)
    for name, parameter in backbone.named_parameters():
        layer = name.rpartition(".")[0]
        empty = {"layer": layer, "role": roles[name], "weights": 0, "selected": 0, "whole": 0}
        row = rows.setdefault(layer, empty)
        row["weights"] += parameter.numel()
        row["selected"] += len(selection.indices.get(name, ()))
        row["whole"] += parameter.numel() if name in whole else 0
    return list(rows.values())


def trainable_counts(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Count what trains, as in metrics.json: entries of encoder, decoder and total, and shares.

    "selected" and "selected_share_of_encoder" leave out biases, which train whole.
    """

    def count(key: str, *roles: str) -> int:
        return sum(row[key] for row in layers if not roles or row["role"] in roles)

    encoder = count("selected", "encoder") + count("whole", "encoder")
    decoder = count("selected", "decoder") + count("whole", "decoder")
    return {
        "encoder": encoder,
        "decoder": decoder,
        "total": encoder + decoder,
        "share_of_encoder": encoder / count("weights", "encoder"),
        "share_of_decoder": decoder / count("weights", "decoder"),
        "share_of_total": (encoder + decoder) / count("weights"),
        "selected": count("selected"),
        "selected_share_of_encoder": count("selected", "encoder") / count("weights", "encoder"),
        "parameters": count("weights"),
    }


def counts_sentence(counts: dict[str, Any]) -> str:
    """One sentence for the console."""
    whole, selected = (f"{counts[f'{c}share_of_encoder']:.2%}" for c in ("", "selected_"))
    alone = f"; {selected} without biases" if counts["selected"] and selected != whole else ""
    return (
        f"training {counts['total']:,} of {counts['parameters']:,} weights "
        f"({counts['share_of_total']:.2%}): encoder {counts['encoder']:,} "
        f"({whole}{alone}), "
        f"decoder {counts['decoder']:,} ({counts['share_of_decoder']:.2%})"
    )


def save_selection(
    folder: RunFolder, selection: Selection, layers: list[dict[str, Any]], how: Mapping[str, Any]
) -> dict[str, Any]:
    """Write selection.safetensors, and selection.json with counts per layer; gives the latter."""
    union_of = {"union_of": str(how["refreshes"] + 1)} if "refreshes" in how else {}
    selection.save(folder.selection, **union_of)
    own = {"hash": selection.hash, **trainable_counts(layers), "layers": layers}
    content = {"hash": selection.hash, **how, **own}
    write_json(folder.layers, content)
    return content
