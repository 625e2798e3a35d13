"""Pre-trained networks to adapt. A new one is one file here and one line in ``BACKBONES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch

from gpsseg.backbones import litemedsam, sam, unet
from gpsseg.backbones.base import Backbone, Facts
from gpsseg.errors import look_up

__all__ = ["BACKBONES", "Backbone", "Facts", "load_backbone"]

Prompt = Literal["full-box", "none"]

BACKBONES: Mapping[str, Callable[[Prompt | None, bool], Backbone]] = {
    "litemedsam": litemedsam.load,
    "sam-vit-base": sam.load,
    "unet-efficientnet-lite0": unet.load,
}


def load_backbone(
    name: str, prompt: Prompt | None = None, seed: int = 0, random_weights: bool = False
) -> Backbone:
    """Load a backbone with its published weights, in evaluation mode, on the CPU.

    Args:
        name: a key of ``BACKBONES``.
        prompt: "full-box" or "none"; None is the backbone's own.
        seed: of whatever no checkpoint gives (a UNet's decoder). The global random state is kept.
        random_weights: read no checkpoint; for measuring time and memory.

    Raises:
        UserError: the name is unknown (the nearest is suggested), or its weights are not in place.
    """
    build = look_up(name, BACKBONES, "backbone")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(prompt, random_weights).eval()
