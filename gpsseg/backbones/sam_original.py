"""Checkpoints of the original segment-anything code (.pth) as a transformers ``SamModel``.

The network's size is read off the tensors; so fine-tuned checkpoints, and such of other sizes, load
too. Only the number of the decoder's attention heads cannot be seen; it is 8 in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.weights import fill_weights, read_checkpoint
from gpsseg.errors import UserError

DECODER_HEADS = 8
# (in the original, in transformers, what follows): forwards in this order, back in the reverse.
RENAMED = (
    ("image_encoder.", "vision_encoder.", ""),
    ("vision_encoder.blocks.", "vision_encoder.layers.", ""),
    ("patch_embed.proj.", "patch_embed.projection.", ""),
    (".norm", ".layer_norm", r"(?=\d|_final_attn)"),
    ("neck.0.", "neck.conv1.", ""),
    ("neck.1.", "neck.layer_norm1.", ""),
    ("neck.2.", "neck.conv2.", ""),
    ("neck.3.", "neck.layer_norm2.", ""),
    ("output_upscaling.0.", "upscale_conv1.", ""),
    ("output_upscaling.1.", "upscale_layer_norm.", ""),
    ("output_upscaling.3.", "upscale_conv2.", ""),
    ("mask_downscaling.0.", "mask_embed.conv1.", ""),
    ("mask_downscaling.1.", "mask_embed.layer_norm1.", ""),
    ("mask_downscaling.3.", "mask_embed.conv2.", ""),
    ("mask_downscaling.4.", "mask_embed.layer_norm2.", ""),
    ("mask_downscaling.6.", "mask_embed.conv3.", ""),
    (".point_embeddings.", ".point_embed.", ""),
    (
        "pe_layer.positional_encoding_gaussian_matrix",
        "shared_embedding.positional_embedding",
        "",
    ),
)
HEADS = r"(.*(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))"
HEAD = re.compile(HEADS + r"\.layers\.(\d+)\.(.*)")
OWN_HEAD = re.compile(HEADS + r"\.(proj_in|proj_out|layers\.\d+)\.(.*)")
TWICE = "shared_image_embedding.positional_embedding"  # which transformers has in two places
BUFFERS = ("pixel_mean", "pixel_std")


def read_original(path: Path) -> Any:
    """Build a ``SamModel`` from a checkpoint in segment-anything's own names.

    Raises:
        UserError: the file cannot be read, or is no SAM; an adapter's tensors are named.
    """
    from transformers import SamModel

    tensors = {n: t for n, t in read_checkpoint(path).items() if n not in BUFFERS}
    try:
        config = config_of(tensors)
    except (KeyError, ValueError, StopIteration, ZeroDivisionError):
        raise UserError(
            f"{path} is not an original SAM checkpoint: expected tensors such as "
            "image_encoder.pos_embed, as in sam_vit_b_01ec64.pth. For a folder written by "
            "save_pretrained pass the folder; for a UNet pass --backbone unet:ENCODER --weights."
        ) from None
    renamed = rename(tensors)
    shared = "prompt_encoder.shared_embedding.positional_embedding"
    if shared in renamed:
        renamed[TWICE] = renamed[shared]
    with torch.device("meta"):  # no time and memory for random weights that are replaced anyway
        net = SamModel(config)
    fill_weights(net, renamed, path, "a SAM checkpoint without additions", assign=True)
    net.tie_weights()
    return net


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give original tensors the names of transformers.

    >>> list(rename({"image_encoder.blocks.0.norm1.bias": torch.zeros(1)}))
    ['vision_encoder.layers.0.layer_norm1.bias']
    """
    deepest: dict[str, int] = {}
    for name in tensors:
        if match := HEAD.fullmatch(name):
            deepest[match[1]] = max(int(match[2]), deepest.get(match[1], 0))
    renamed = {}
    for name, tensor in tensors.items():
        if match := HEAD.fullmatch(name):
            place, last = int(match[2]), deepest[match[1]]
            layer = {0: "proj_in", last: "proj_out"}.get(place, f"layers.{place - 1}")
            name = f"{match[1]}.{layer}.{match[3]}"
        for original, own, follows in RENAMED:
            name = re.sub(re.escape(original) + follows, own, name)
        renamed[name] = tensor
    return renamed


def original_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo ``rename``: give the tensors of a ``SamModel`` their original names.

    >>> list(original_names({"vision_encoder.layers.0.layer_norm1.bias": torch.zeros(1)}))
    ['image_encoder.blocks.0.norm1.bias']
    """
    between = [match for match in map(OWN_HEAD.fullmatch, tensors) if match]
    depth: dict[str, int] = {}  # of each head's layers between the first and the last
    for match in between:
        depth[match[1]] = max(depth.get(match[1], 0), int(match[2].partition(".")[2] or -1) + 1)
    renamed = {}
    for name, tensor in tensors.items():
        if name == TWICE:
            continue
        if own_head := OWN_HEAD.fullmatch(name):
            head, layer, rest = own_head.groups()
            places = {"proj_in": 0, "proj_out": 1 + depth[head]}
            place = places.get(layer, int(layer.partition(".")[2] or -1) + 1)
            name = f"{head}.layers.{place}.{rest}"
        for original, own, follows in reversed(RENAMED):
            name = re.sub(re.escape(own) + follows, original, name)
        renamed[name] = tensor
    return renamed


def config_of(tensors: Mapping[str, Tensor]) -> Any:
    """Read a ``SamConfig`` off the shapes of the original tensors.

    Raises:
        KeyError, ValueError, StopIteration: it is not SAM.
    """
    from transformers import SamConfig

    grid, patch = (
        tensors["image_encoder.pos_embed"],
        tensors["image_encoder.patch_embed.proj.weight"],
    )
    image_size = grid.shape[1] * patch.shape[-1]
    mask_tokens = tensors["mask_decoder.mask_tokens.weight"]
    hidden = mask_tokens.shape[1]
    inner = tensors["mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"]
    return SamConfig(
        vision_config=_encoder(tensors, image_size),
        prompt_encoder_config={
            "hidden_size": hidden,
            "image_size": image_size,
            "patch_size": patch.shape[-1],
            "mask_input_channels": len(tensors["prompt_encoder.mask_downscaling.3.weight"]),
        },
        mask_decoder_config={
            "hidden_size": hidden,
            "mlp_dim": len(tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"]),
            "num_hidden_layers": _count(tensors, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            "num_attention_heads": DECODER_HEADS,
            "attention_downsample_rate": hidden // len(inner),
            "num_multimask_outputs": len(mask_tokens) - 1,
            "iou_head_depth": _count(
                tensors, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."
            ),
            "iou_head_hidden_dim": len(tensors["mask_decoder.iou_prediction_head.layers.0.weight"]),
            "layer_norm_eps": 1e-5,  # of the original; transformers' own default is 1e-6
        },
    )


def _encoder(tensors: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    """The image encoder's part of the configuration."""
    grid = tensors["image_encoder.pos_embed"]
    hidden, side = grid.shape[-1], grid.shape[1]
    depth = _count(tensors, r"image_encoder\.blocks\.(\d+)\.")
    reach = [tensors[f"image_encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
    sides = [(len(each) + 1) // 2 for each in reach]  # of the window, or of the whole grid
    everywhere = [i for i, each in enumerate(sides) if each == side]
    return {
        "hidden_size": hidden,
        "image_size": image_size,
        "patch_size": image_size // side,
        "num_hidden_layers": depth,
        "num_attention_heads": hidden // reach[0].shape[1],
        "mlp_dim": len(tensors["image_encoder.blocks.0.mlp.lin1.weight"]),
        "global_attn_indexes": everywhere,
        "window_size": next((each for each in sides if each != side), 0),
        "output_channels": len(tensors["image_encoder.neck.0.weight"]),
        "num_pos_feats": tensors[
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        ].shape[1],
    }


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number at this place of any name.

    Raises:
        ValueError: no name is like this.
    """
    return 1 + max(int(match[1]) for name in tensors if (match := re.match(pattern, name)))
