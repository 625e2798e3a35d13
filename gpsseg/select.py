"""`python -m gpsseg.select`: show what GPS would select, before anything is trained."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gpsseg.config.effects import idle, is_given
from gpsseg.config.finetune import FinetuneConfig, SelectConfig
from gpsseg.config.methods import options_of
from gpsseg.config.shared import BackboneConfig, DataConfig, PreparationConfig, TopK
from gpsseg.console import NETWORKS, progress, run_command, say, working
from gpsseg.errors import UserError, counted
from gpsseg.files import new_folder, write_json
from gpsseg.veil import is_drawn, scoped

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from gpsseg.backbones import Backbone, Facts
    from gpsseg.data.cards.card import Card
    from gpsseg.data.splits.split import Split
    from gpsseg.engine.machine import Machine
    from gpsseg.gps import Selection

Config = TypeVar("Config", FinetuneConfig, SelectConfig)
TOP_K: tuple[int, TopK] = (1, 5)  # in encoder and decoder, where both are pre-trained
TOP_K_FROM_SCRATCH: tuple[int, TopK] = (3, "dense")  # where the decoder starts at random


@scoped
def select(config: SelectConfig) -> Selection:
    """Score the training images, select, and print one line per layer; see ``SelectConfig``."""
    from gpsseg.data.anonymous import draw_veil, new_salt
    from gpsseg.data.cards.own import card_of
    from gpsseg.engine.machine import make_machine, require_device
    from gpsseg.engine.train import checkpoint_activations
    from gpsseg.runs.greys import check_split
    from gpsseg.runs.method import load_base, refuse_without_effect, require_backbone

    draw_veil(new_salt() if config.anonymous_ids else None, config)
    require_device(config.device)
    require_backbone(config)
    card = card_of(config)
    backbone = load_base(config, card)
    refuse_without_effect(backbone, config)
    config = settle(config, backbone.facts)
    if config.checkpoint_activations:
        checkpoint_activations(backbone)
    split = find_split(card, config)
    split, _ = check_split(split, anonymous=config.anonymous_ids, parts=("train",))
    output = new_folder(config.output) if config.output else None
    machine = make_machine(config.device, config.precision)
    batches = training_batches(card, split, config)
    selection, how = choose(backbone, batches, config, machine, config.seed)
    layers = layer_table(backbone, selection)
    for row in layers:
        if row["selected"] or row["whole"]:
            say(
                f"{row['layer']:<62} {row['role']:<8} {row['selected']:>7,} of {row['weights']:>9,}"
                f" ({row['selected'] / max(1, row['weights']):6.2%})"
                + (f" + {row['whole']:,} whole" if row["whole"] else "")
            )
    say(describe(trainable_counts(layers)), style="bold")
    if output:
        save_selection(output, selection, layers, how)
        say(f"written to {output}")
    return selection


def find_split(
    card: Card,
    config: DataConfig,
    training: bool = True,
    salt: str | None = None,
    run: Path | None = None,
) -> Split:
    """Find and split the cases of ``config``, and say loudly if they are synthetic.

    Args:
        card: of the set.
        config: where it lies, and how to split it.
        training: whether training images are needed.
        salt: to hash ids with; None leaves them.
        run: whose split it is, if it was made before: the ids in its split.json count.

    Raises:
        UserError: see ``make_split`` and ``kept_split``; or the split is a test set only.
    """
    from gpsseg.data.anonymous import anonymous_split
    from gpsseg.data.splits.leftovers import file_notes
    from gpsseg.data.splits.split import SYNTHETIC, make_split
    from gpsseg.runs.kept import kept_split

    if run is not None:
        hashed = salt if config.anonymous_ids else None
        split = kept_split(run, card, config.data_root, hashed)
        salt = None if hashed else salt
    else:
        if training:
            refuse_val_share(card, config)
        with working("looking for images"):
            size, share = config.train_size, config.val_share
            split = make_split(card, config.data_root, size, share, config.seed, config.split)
    if training and not split.train:
        names = [rule["name"] for rule in card.splits if set(rule) & {"train", "all"}]
        raise UserError(
            f"Split {split.name} of {card.title} is a test set only. To train on it pass --split "
            f"{' or '.join(names) or 'FILE'}."
        )
    split = anonymous_split(split, salt, card)
    say(
        f"{card.title}: {len(split.train)} train / {len(split.val)} val / {len(split.test)} test "
        f"images, split {split.name}, {split.root}"
    )
    nameless = salt is not None or config.anonymous_ids or is_drawn()
    notes = file_notes(card, config.data_root, nameless) if run is None else []
    for note in (*split.notes, *notes):
        say(note, style="yellow")
    if split.data == SYNTHETIC:
        say(
            f"SYNTHETIC SAMPLE: these images are drawn by gpsseg, they are not {card.title}. "
            "Scores on them say nothing about real images. For the real set pass --data-root.",
            style="bold yellow",
        )
    return split


def refuse_val_share(card: Card, config: PreparationConfig) -> None:
    """Refuse a share for validation images where the split brings its own.

    Raises:
        UserError: that is what was asked for.
    """
    from gpsseg.data.splits.split import brings_validation

    if is_given(config, "val_share"):
        own = brings_validation(card, config.data_root, config.split)
        if own is not None:
            why = f"split {own} of {card.title} brings its own validation images"
            raise idle("val_share", config.val_share, why)


def settle(config: Config, facts: Facts) -> Config:
    """Put the backbone's own values where the configuration leaves the choice to it.

    Raises:
        UserError: the backbone does not take images of the size asked for.
    """
    size = config.image_size or facts.image_size
    facts.require_size(size, size)
    config = dataclasses.replace(config, image_size=size, prompt=facts.prompt)
    if isinstance(config, FinetuneConfig) and "top_k" not in options_of(config.method):
        return config
    top_k, decoder_top_k = TOP_K_FROM_SCRATCH if "decoder" in facts.scratch else TOP_K
    return dataclasses.replace(
        config,
        top_k=config.top_k or top_k,
        decoder_top_k=config.decoder_top_k or decoder_top_k,
    )


def training_batches(card: Card, split: Split, config: Config) -> DataLoader[Any]:
    """The training images that selection sees: in a seeded order, without augmentation.

    One at a time: scoring forms every gradient, and so needs less memory than the training after
    it, and each image counts as much as any other.
    """
    from gpsseg.data.cache import cache_folder
    from gpsseg.data.loader import CaseDataset, make_loader

    assert config.image_size, "settle the configuration first"
    cases = list(split.train)
    random.Random(config.seed).shuffle(cases)
    cases = cases[: config.selection_images]
    dataset = CaseDataset(cases, card, config.image_size, cache=cache_folder(config.cache))
    return make_loader(dataset, 1, config.workers)


def choose(
    backbone: Backbone,
    images: DataLoader[Any],
    config: BackboneConfig,
    machine: Machine,
    seed: int = 0,
) -> tuple[Selection, dict[str, Any]]:
    """Select by GPS: top K per neuron in encoder and decoder; encoder biases train whole.

    A dense decoder trains whole, and so does what was added to one for several classes.
    Normalisation layers, position embeddings and the prompt encoder stay frozen.

    Returns:
        The selection, the same in every process, and how it was made: "criterion", "level",
        "images" (how many were scored), and "overlap_with_half": the share of it that the first
        half of them selects too.
    """
    import torch

    from gpsseg import gps
    from gpsseg.engine.prompts import from_truth
    from gpsseg.engine.train import batch_loss, tuning_mode

    top_k, whole = what_trains(backbone, config)
    gps.check_top_k(backbone, top_k)
    if config.decoder_top_k != "dense" and "decoder" in backbone.facts.scratch:
        say(
            "The decoder starts from random weights, and --decoder-top-k leaves most of these as "
            "they are. Leave the option out to train all of it.",
            style="bold yellow",
        )
    with working("preparing the network"):
        backbone.to(machine.device)
    tuning_mode(backbone)
    torch.manual_seed(seed)  # of dropout and the criterion "random"
    seen, early, loss = 0, None, batch_loss(machine, from_truth(config.prompt))
    shown = progress(images, "scoring weights")
    for scores in gps.running_scores(backbone, shown, loss, list(top_k), config.criterion):
        seen += 1
        if seen == len(images) // 2:
            early = gps.select(backbone, scores, top_k, config.level)
    with working("choosing weights"):
        selection = gps.select(backbone, scores, top_k, config.level)
    if scores.without_gradient:
        names = ", ".join(scores.without_gradient[:3])
        many = len(scores.without_gradient)
        frozen = counted(
            many, "weight gets no gradient and stays", "weights get no gradient and stay"
        )
        say(f"{frozen} frozen: {names}{' ...' if many > 3 else ''}")
    how: dict[str, Any] = {"criterion": config.criterion, "level": config.level, "images": seen}
    if early:
        how["overlap_with_half"] = gps.overlap(selection, early)  # for selection.json
    indices = {name: index.cpu() for name, index in selection.indices.items()}
    selection = dataclasses.replace(selection, indices=indices, dense=tuple(whole))
    return machine.of_main((selection, how))  # processes may differ where scores are all but equal


def what_trains(backbone: Backbone, config: BackboneConfig) -> tuple[dict[str, int], list[str]]:
    """K of every weight that GPS selects from, and the parameters that train whole."""
    from gpsseg import gps

    assert config.top_k, "settle the configuration first"
    assert config.decoder_top_k, "settle the configuration first"
    roles, always = backbone.roles(), set(backbone.added_parameters())
    sparse = {"encoder": config.top_k}
    if config.decoder_top_k == "dense":
        always |= {name for name, role in roles.items() if role == "decoder"}
    else:
        sparse["decoder"] = config.decoder_top_k
    weights = gps.neuron_weights(backbone)
    biases = gps.neuron_biases(backbone, shifts=config.biases == "all")
    top_k = {n: sparse[roles[n]] for n in weights if roles[n] in sparse and n not in always}
    if config.biases != "none":
        always |= {name for name in biases if roles[name] == "encoder"}
    return top_k, [name for name in roles if name in always]


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


def describe(counts: dict[str, Any]) -> str:
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
    folder: Path, selection: Selection, layers: list[dict[str, Any]], how: Mapping[str, Any]
) -> None:
    """Write selection.safetensors, and selection.json with counts per layer."""
    selection.save(folder / "selection.safetensors")
    content = {"hash": selection.hash, **how, **trainable_counts(layers), "layers": layers}
    write_json(folder / "selection.json", content)


if __name__ == "__main__":
    run_command(select, SelectConfig, "select", NETWORKS)
