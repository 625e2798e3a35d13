"""SAM 2's mask decoder on a pyramid of features, which SAM 3 has too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.base import Prompt, full_precision
from gpsseg.backbones.positions import image_positions, prompt_points


def decoded(
    head: Any,
    pyramid: Sequence[Tensor],
    image: Tensor,
    prompt: Prompt,
    given: Tensor | None,
    several: bool = False,
) -> Tensor:
    """(B, masks, h, w) logits of what a prompt names.

    Args:
        head: with the modules of a transformers ``Sam2Model``: mask and prompt encoder, the
            embedding of positions, and what stands for no memory.
        pyramid: the image's features, each (B, C, h, w), fine to coarse.
        image: (B, 3, H, W), for its size and device.
        prompt: see ``Facts.prompt``.
        given: see ``Backbone.forward``.
        several: the masks of all tokens but the first, not the first's alone.
    """
    decoder = head.mask_decoder
    fine, middle, coarse = pyramid
    features = coarse + head.no_memory_embedding.view(1, -1, 1, 1)
    with full_precision(image):
        positions = image_positions(head, features)
        sparse = _tokens(head.prompt_encoder, image, prompt, given)
    dense = head.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(features.shape)
    masks, *_ = decoder(
        image_embeddings=features,
        image_positional_embeddings=positions,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=several,
        high_resolution_features=[decoder.conv_s0(fine), decoder.conv_s1(middle)],
    )
    return masks[:, 0]


def _tokens(encoder: Any, image: Tensor, prompt: Prompt, given: Tensor | None) -> Tensor:
    """Embed the prompt: (B, 1, tokens, 256). The last token says that no more points come.

    Without a prompt there are two of that kind, as in SAM 2's own training.
    """
    end = encoder.not_a_point_embed.weight.expand(image.shape[0], 1, 1, -1)
    where = prompt_points(prompt, image, given)
    if where is None:
        return end.expand(-1, -1, 2, -1)
    kind = encoder.point_embed.weight
    label = kind[1:2] if prompt == "point" else kind[2:4]
    return torch.cat([encoder.shared_embedding(where) + label, end], dim=2)
