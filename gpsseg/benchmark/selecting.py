"""Selection in the benchmark: what the methods that select train, and what selecting takes."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.registry import load_to_measure
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.select import SelectConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.formats.greys import Greys
from gpsseg.data.splits.split import make_split
from gpsseg.device import synchronize
from gpsseg.engine.machine import make_machine, peak_memory_mb
from gpsseg.engine.prepare import prepare, tuning_mode
from gpsseg.files import bundled
from gpsseg.runs.data import Data
from gpsseg.runs.scores import images_at_once, scored_images, scores_of_halves
from gpsseg.runs.selection import choose, gps_trains
from gpsseg.runs.settle import settle, settle_selection


def select_on_sample(config: BenchmarkConfig, side: int, top_k: int, path: Path) -> None:
    """Select on four images of the bundled sample, in this process, and save the selection."""
    backbone = load_to_measure(config.backbone, config.random_weights)
    card = load_card("kvasir")
    settings = SelectConfig(
        top_k=top_k,
        decoder_top_k=config.decoder_top_k,
        image_size=side,
        workers=0,
        cache="off",
    )
    settled = settle_selection(settings, backbone.facts)
    split = make_split(card, bundled("sample_data") / "kvasir", train_size=4)
    images = scored_images(Data(card, split, Greys()), settled)
    machine = make_machine(config.device, config.precision)
    selection, _ = choose(backbone, images, settled, machine)
    selection.save(path)


def measure_scoring(config: BenchmarkConfig, images: tuple[int, int]) -> dict[str, Any]:
    """Time in this process what every image costs that a selection looks at, as ``finetune`` does.

    Args:
        config: what is measured.
        images: how many a training step, and their side in pixels.

    Returns:
        "seconds" of as many images as a training step has, "memory_mb", "precision".
    """
    count, side = images
    machine = make_machine(config.device, config.precision)
    backbone = load_to_measure(config.backbone, config.random_weights)
    backbone.to(machine.device)
    prepare(backbone, machine, config.checkpoint_activations)
    tuning_mode(backbone)
    settings = FinetuneConfig(
        backbone=config.backbone,
        decoder_top_k=config.decoder_top_k,
        batch_size=count,
        image_size=side,
        workers=0,
        checkpoint_activations=config.checkpoint_activations,
    )
    settled = settle(settings, backbone.facts)
    top_k, whole = gps_trains(backbone, settled)
    before = peak_memory_mb(machine.device, reset=True)
    warm: Any = _Noise(count, side)
    timed: Any = _Noise(max(2, config.steps) * count, side)
    at_once = images_at_once(backbone, timed, top_k, whole, settled, machine)

    def scored(noise: Any) -> None:
        deque(scores_of_halves(backbone, noise, at_once, list(top_k), settled, machine), maxlen=1)
        synchronize(machine.device)

    scored(warm)
    started = time.perf_counter()
    scored(timed)
    seconds = (time.perf_counter() - started) * count / len(timed)
    memory = peak_memory_mb(machine.device) - before
    return {"seconds": [seconds], "memory_mb": memory, "precision": machine.precision}


class _Noise:
    """Pictures of noise that are there at once, in the place of training images."""

    seed = epoch = 0  # of the order, which is the given one

    def __init__(self, count: int, side: int):
        torch.manual_seed(0)
        self._image, self._count = torch.rand((3, side, side)), count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self._image, "mask": (self._image[:1] > 0.7).float()}
