"""A run's tuned network as other libraries know it: none of gpsseg's own layers left."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import SettledConfig
from gpsseg.runs.members import load_networks, refuse_study
from gpsseg.tuning import method_of

PROMPTS = {"box": (0.25, 0.25, 0.75, 0.75), "point": (0.5, 0.5)}  # of an example


def merged(folder: Path, untrained: bool = False) -> Backbone:
    """The network of a run with the tuned values in its own weights: float32, on the CPU.

    Args:
        folder: of the run.
        untrained: whether a network that was stopped before its first validation will do.

    Raises:
        UserError: it is no run's or has no result, or the method's layers cannot be merged.
    """
    refuse_study(folder)
    networks = load_networks(folder, untrained)
    merge(networks.model, networks.config)
    return networks.model


def merge(model: Backbone, config: SettledConfig) -> None:
    """Merge a method's own layers into a network's weights, in place; most methods have none.

    Args:
        model: with the layers and the values of a run; on the CPU.
        config: of the run.

    Raises:
        UserError: they cannot be merged; the network is as it was.
    """
    if merges := method_of(config.method).merges:
        merges(model.eval(), lambda: _example(model, config.image_size))


@torch.no_grad()
def _example(model: Backbone, side: int) -> Tensor:
    """The logits of one image of noise, always the same."""
    noise = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, side, side, generator=noise)
    told = PROMPTS.get(model.facts.prompt)
    return model(image, None if told is None else torch.tensor([told]))
