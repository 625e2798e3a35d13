"""One measurement of the benchmark: a method is prepared, and its training steps are timed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.backbones.registry import load_to_measure
from gpsseg.benchmark.selecting import measure_scoring
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.device import synchronize
from gpsseg.engine.batch_size import MOST
from gpsseg.engine.loss import segmentation_loss
from gpsseg.engine.machine import Machine, make_machine, peak_memory_mb
from gpsseg.engine.optimizer import adamw
from gpsseg.engine.prepare import gradient_bytes, prepare, tuning_mode
from gpsseg.errors import UserError
from gpsseg.gps import Selection
from gpsseg.runs.batch_size import measure_batch_size
from gpsseg.runs.method import added_and_whole, from_scratch
from gpsseg.runs.settle import settle
from gpsseg.tuning import METHODS
from gpsseg.tuning.lora import low_rank_layers

RANK = 8  # of lora and shira


def measure(
    config: BenchmarkConfig, images: tuple[int, int], method: str, selection_file: Path | None
) -> dict[str, Any]:
    """Time training steps of one method in this process.

    Args:
        config: what is measured.
        images: how many a step, and their side in pixels.
        method: one of the configuration's.
        selection_file: of a method that selects.

    Returns:
        "seconds" of each step, "memory_mb", "trainable", "optimizer_bytes", "delta_bytes",
        "gradient_bytes" (see ``gpsseg.engine.prepare``), "precision".
    """
    if method == "selection":
        return measure_scoring(config, images)
    machine = make_machine(config.device, config.precision)
    device = machine.device
    torch.manual_seed(0)
    count, side = images
    image = torch.rand((count, 3, side, side))
    batch = machine.place({"image": image, "mask": (image[:, :1] > 0.7).float()})
    backbone = load_to_measure(config.backbone, config.random_weights).to(device)
    prepare(backbone, machine, config.checkpoint_activations)
    tuning_mode(backbone)
    selection = gps.Selection.load(selection_file) if selection_file else None
    before = peak_memory_mb(device, reset=True)  # what preparing takes counts too
    PREPARE[method](backbone, selection, machine)
    batch["image"].requires_grad_(method == "floor")
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    groups = [{"params": trained, "lr": 1e-5}]
    optimizer = adamw(groups, 0.01, device) if trained else None
    seconds = []
    for _ in range(config.steps + 1):
        started = time.perf_counter()
        with machine.autocast():
            logits = backbone(batch["image"])
        segmentation_loss(logits, batch["mask"]).backward()
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()
        batch["image"].grad = None
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    trainable = sum(parameter.numel() for parameter in trained)
    sparse = sum(len(index) for index in selection.indices.values()) if selection else 0
    if selection and method == "masked":  # the mask stands before most of what has a gradient
        trainable = sparse + sum(backbone.get_parameter(n).numel() for n in selection.dense)
    state = optimizer.state.values() if optimizer else ()
    moments = [t for s in state for t in s.values() if isinstance(t, torch.Tensor)]
    return {
        "seconds": seconds[1:],
        "memory_mb": peak_memory_mb(device) - before,
        "trainable": trainable,
        "optimizer_bytes": sum(t.numel() * t.element_size() for t in moments),
        "delta_bytes": 4 * trainable + 4 * sparse,
        "gradient_bytes": gradient_bytes(backbone),
        "precision": machine.precision,
    }


def measure_batch(config: BenchmarkConfig, side: int) -> int:
    """Find the number of images a step that is worth it here, in this process."""
    backbone = load_to_measure(config.backbone, config.random_weights)
    asked = FinetuneConfig(
        method="full", image_size=side, checkpoint_activations=config.checkpoint_activations
    )
    machine = make_machine(config.device, config.precision)
    return measure_batch_size(backbone, settle(asked, backbone.facts), MOST, machine, True)


def _floor(backbone: Backbone, selection: Selection | None, machine: Machine) -> None:
    """Nothing trains that need not; with a gradient for the image it is the least GPS could cost.

    What starts from random weights must train with any method.
    """
    _train_only(backbone, from_scratch(backbone))


def _gps(backbone: Backbone, selection: Selection | None, machine: Machine) -> None:
    assert selection is not None
    gps.sparsify(backbone, selection, halves=machine.precision == "bf16")


def _masked(backbone: Backbone, selection: Selection | None, machine: Machine) -> None:
    """The same entries by dense gradients times a mask, as the method's public code has it."""
    assert selection is not None
    _train_only(backbone, {*selection.indices, *selection.dense})
    for name, index in selection.indices.items():
        weight = backbone.get_parameter(name)
        mask = torch.zeros_like(weight)
        mask.view(-1)[index.long()] = 1
        weight.register_hook(mask.mul)


def _shira(backbone: Backbone, selection: Selection | None, machine: Machine) -> None:
    """PEFT's own: it clones the weight at every forward pass."""
    import peft  # takes two seconds, and no other row needs it

    weights = [name for name, p in backbone.named_parameters() if p.dim() == 2]
    layers = low_rank_layers(backbone, weights, RANK)
    if not layers:
        raise UserError(
            f"{backbone.facts.name} has no linear layer for shira. Leave it out of --methods."
        )
    peft.inject_adapter_in_model(peft.ShiraConfig(r=RANK, target_modules=layers), backbone)


def _tune(method: str, backbone: Backbone, selection: Selection | None, machine: Machine) -> None:
    names = added_and_whole(backbone, FinetuneConfig(method=method, rank=RANK))
    gps.sparsify(backbone, gps.Selection({}, {}, tuple(names)))


def _train_only(backbone: nn.Module, names: set[str]) -> None:
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name in names)


Prepare = Callable[[Backbone, Selection | None, Machine], None]
PREPARE: Mapping[str, Prepare] = {
    "floor": _floor,
    "gps": _gps,
    "masked": _masked,
    "shira": _shira,
    **{
        name: functools.partial(_tune, name)
        for name, method in METHODS.items()
        if method.selects is None
    },
}
