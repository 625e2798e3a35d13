"""SAM-HQ's mask decoder, run part by part (Ke et al., 2023).

In transformers (5.1 to 5.24) ``SamHQMaskDecoder`` drops what its transformer makes of the image,
and takes the encoder's features for it, height and width swapped; so its forward is not asked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def answers(
    decoder: Any, features: Tensor, positions: Tensor, sparse: Tensor | None, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Let tokens and image attend to each other.

    Args:
        decoder: a transformers ``SamHQMaskDecoder``.
        features: (B, C, h, w), as the encoder made them.
        positions: (B, C, h, w), where each of them lies.
        sparse: (B, 1, n, C) tokens of the prompt, if any.
        dense: (B, C, h, w), which is added to the features.

    Returns:
        (B, tokens, C): that of the IoU, those of the masks, the finer mask's, the prompt's; and the
        image, (B, C, h, w).
    """
    own = [decoder.iou_token.weight, decoder.mask_tokens.weight, decoder.hq_token.weight]
    tokens = torch.cat(own).expand(features.shape[0], 1, -1, -1)
    if sparse is not None:
        tokens = torch.cat([tokens, sparse], dim=2)
    tokens, image = decoder.transformer(
        point_embeddings=tokens,
        image_embeddings=features + dense,
        image_positional_embeddings=positions,
        attention_similarity=None,
    )
    return tokens[:, 0], image[:, 0].transpose(1, 2).reshape(features.shape)


def pictures(decoder: Any, image: Tensor, features: Tensor, early: Tensor) -> tuple[Tensor, Tensor]:
    """What masks are read off: SAM's picture, and the finer one; both (B, C / 8, 4 h, 4 w).

    Args:
        decoder: a transformers ``SamHQMaskDecoder``.
        image: see ``answers``.
        features: see ``answers``.
        early: (B, h, w, D) output of the ViT's first global layer.
    """
    bend = decoder.activation
    plain = bend(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
    plain = bend(decoder.upscale_conv2(plain))
    fine = decoder.mask_conv2(bend(decoder.mask_norm(decoder.mask_conv1(plain))))
    late = decoder.encoder_conv2(bend(decoder.encoder_norm(decoder.encoder_conv1(features))))
    first = decoder.compress_vit_conv1(early.permute(0, 3, 1, 2))
    first = decoder.compress_vit_conv2(bend(decoder.compress_vit_norm(first)))
    return plain, fine + late + first


def masks(decoder: Any, tokens: Tensor, plain: Tensor, fine: Tensor, classes: int) -> Tensor:
    """(B, masks, 4 h, 4 w) logits: SAM's single mask or each class's, plus the finer one.

    Args:
        decoder: a transformers ``SamHQMaskDecoder``, see ``mask_tokens.add_classes``.
        tokens: see ``answers``.
        plain: see ``pictures``.
        fine: see ``pictures``.
        classes: C, the background included; its tokens come last among SAM's.
    """
    networks = decoder.output_hypernetworks_mlps
    places = [0] if classes == 1 else range(len(networks) - classes + 1, len(networks))
    weights = torch.stack([networks[i](tokens[:, 1 + i]) for i in places], dim=1)
    finer = decoder.hq_mask_mlp(tokens[:, 1 + len(networks)])[:, None]
    found: Tensor = weights @ plain.flatten(2) + finer @ fine.flatten(2)
    return found.unflatten(2, plain.shape[-2:])
