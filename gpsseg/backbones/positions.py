"""Where features and prompts lie in an image, as SAM and SAM 2 share it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.base import Prompt


def image_positions(net: Any, features: Tensor) -> Tensor:
    """Encode where each of (B, C, h, w) features lies in the image, as SAM and SAM 2 do.

    Returns:
        (B, C, h, w) float.
    """
    height, width = features.shape[-2:]
    y = (torch.arange(height, device=features.device) + 0.5) / height
    x = (torch.arange(width, device=features.device) + 0.5) / width
    where = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)
    encoded = net.shared_image_embedding(where).permute(2, 0, 1)
    return encoded.expand(features.shape[0], -1, -1, -1)


def prompt_points(prompt: Prompt, image: Tensor, given: Tensor | None) -> Tensor | None:
    """The prompt as points; a box is its two corners, "none" is None.

    Args:
        prompt: its kind.
        image: (B, 3, H, W).
        given: (B, 4) or (B, 2) float, see ``Backbone.forward``; None stands for the whole image.

    Returns:
        (B, 1, points, 2) float32 x, y, as shares of the image's width and height.
    """
    if prompt == "none":
        return None
    if given is None:  # the whole image
        given = torch.tensor([0.0, 0.0, 1.0, 1.0], device=image.device).expand(image.shape[0], 4)
    return given.float().view(image.shape[0], 1, -1, 2)
