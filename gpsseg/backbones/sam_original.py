"""Checkpoints of the original segment-anything and SAM-HQ code (.pth) by way of transformers.

The network's size is read off the tensors; so fine-tuned checkpoints, and such of other sizes, load
too. Only the number of the decoder's attention heads cannot be seen; it is 8 in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.lookalikes import Reader, looks_like
from gpsseg.backbones.renaming import ONCE, PROMPTS_AND_MASKS, TWICE, Names, count
from gpsseg.backbones.weights import fill_weights, read_checkpoint
from gpsseg.errors import UserError

DECODER_HEADS = 8
HQ = (  # what SAM-HQ's decoder has more
    ("mask_decoder.hf_token.", "mask_decoder.hq_token.", ""),
    ("mask_decoder.hf_mlp.", "mask_decoder.hq_mask_mlp.", ""),
    ("mask_decoder.compress_vit_feat.0.", "mask_decoder.compress_vit_conv1.", ""),
    ("mask_decoder.compress_vit_feat.1.", "mask_decoder.compress_vit_norm.", ""),
    ("mask_decoder.compress_vit_feat.3.", "mask_decoder.compress_vit_conv2.", ""),
    ("mask_decoder.embedding_encoder.0.", "mask_decoder.encoder_conv1.", ""),
    ("mask_decoder.embedding_encoder.1.", "mask_decoder.encoder_norm.", ""),
    ("mask_decoder.embedding_encoder.3.", "mask_decoder.encoder_conv2.", ""),
    ("mask_decoder.embedding_maskfeature.0.", "mask_decoder.mask_conv1.", ""),
    ("mask_decoder.embedding_maskfeature.1.", "mask_decoder.mask_norm.", ""),
    ("mask_decoder.embedding_maskfeature.3.", "mask_decoder.mask_conv2.", ""),
)
NAMES = Names(
    renamed=(
        ("image_encoder.", "vision_encoder.", ""),
        ("vision_encoder.blocks.", "vision_encoder.layers.", ""),
        ("patch_embed.proj.", "patch_embed.projection.", ""),
        (".norm", ".layer_norm", r"(?=\d|_final_attn)"),
        ("neck.0.", "neck.conv1.", ""),
        ("neck.1.", "neck.layer_norm1.", ""),
        ("neck.2.", "neck.conv2.", ""),
        ("neck.3.", "neck.layer_norm2.", ""),
        *PROMPTS_AND_MASKS,
        *HQ,
    ),
    heads=r"iou_prediction_head|output_hypernetworks_mlps\.\d+|hf_mlp",
    own_heads=r"iou_prediction_head|output_hypernetworks_mlps\.\d+|hq_mask_mlp",
)
INSTEAD = (
    " For a folder written by save_pretrained pass the folder; for a UNet pass --backbone "
    "unet:ENCODER --weights."
)
EXPECTED: Mapping[str, tuple[str, str]] = {
    "sam": ("SAM", "sam_vit_b_01ec64.pth"),
    "sam-hq": ("SAM-HQ", "sam_hq_vit_b.pth"),
}
BUFFERS = ("pixel_mean", "pixel_std")


def read_original(path: Path) -> Any:
    """Build a ``SamModel`` from a checkpoint in segment-anything's own names.

    Raises:
        UserError: the file cannot be read, or is no SAM; an adapter's tensors are named.
    """
    from transformers import SamConfig, SamModel

    return _read(path, SamModel, lambda tensors: SamConfig(**settings_of(tensors)), "sam")


def read_original_hq(path: Path) -> Any:
    """Build a ``SamHQModel`` from a checkpoint in SAM-HQ's own names.

    Raises:
        UserError: as ``read_original``.
    """
    from transformers import SamHQConfig, SamHQModel

    def config_of(tensors: Mapping[str, Tensor]) -> Any:
        settings = settings_of(tensors)
        early = tensors["mask_decoder.compress_vit_feat.0.weight"]
        settings["mask_decoder_config"]["vit_dim"] = len(early)
        return SamHQConfig(**settings)

    return _read(path, SamHQModel, config_of, "sam-hq")


def _read(path: Path, model: Any, config_of: Callable[..., Any], reader: Reader) -> Any:
    kind, file = EXPECTED[reader]
    tensors = {n: t for n, t in read_checkpoint(path).items() if n not in BUFFERS}
    try:
        with torch.device("meta"):  # no time and memory for weights that are replaced anyway
            net = model(config_of(tensors))
    except Exception:  # odd tensors make odd settings, at which the library fails in every way
        raise UserError(
            f"{path} is not an original {kind} checkpoint: expected tensors such as "
            f"image_encoder.pos_embed, as in {file}.{looks_like(tensors, reader) or INSTEAD}"
        ) from None
    renamed = rename(tensors)
    if ONCE in renamed:
        renamed[TWICE] = renamed[ONCE]
    what = f"a {kind} checkpoint without additions"
    fill_weights(net, renamed, path, what, True, NAMES.back, reader)
    net.tie_weights()
    return net


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give original tensors the names of transformers.

    >>> list(rename({"image_encoder.blocks.0.norm1.bias": torch.zeros(1)}))
    ['vision_encoder.layers.0.layer_norm1.bias']
    """
    return NAMES.forwards(tensors)


def original_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo ``rename``: give the tensors of a ``SamModel`` their original names.

    >>> list(original_names({"vision_encoder.layers.0.layer_norm1.bias": torch.zeros(1)}))
    ['image_encoder.blocks.0.norm1.bias']
    """
    return NAMES.back(tensors)


def settings_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what a ``SamConfig`` is made of off the shapes of the original tensors.

    Raises:
        Exception: of any kind, where it is not SAM.
    """
    grid, patch = (
        tensors["image_encoder.pos_embed"],
        tensors["image_encoder.patch_embed.proj.weight"],
    )
    image_size = grid.shape[1] * patch.shape[-1]
    mask_tokens = tensors["mask_decoder.mask_tokens.weight"]
    hidden = mask_tokens.shape[1]
    inner = tensors["mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"]
    return {
        "vision_config": _encoder(tensors, image_size),
        "prompt_encoder_config": {
            "hidden_size": hidden,
            "image_size": image_size,
            "patch_size": patch.shape[-1],
            "mask_input_channels": len(tensors["prompt_encoder.mask_downscaling.3.weight"]),
        },
        "mask_decoder_config": {
            "hidden_size": hidden,
            "mlp_dim": len(tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"]),
            "num_hidden_layers": count(tensors, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            "num_attention_heads": DECODER_HEADS,
            "attention_downsample_rate": hidden // len(inner),
            "num_multimask_outputs": len(mask_tokens) - 1,
            "iou_head_depth": count(tensors, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
            "iou_head_hidden_dim": len(tensors["mask_decoder.iou_prediction_head.layers.0.weight"]),
            "layer_norm_eps": 1e-5,  # of the original; transformers' own default is 1e-6
        },
    }


def _encoder(tensors: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    """The image encoder's part of the configuration."""
    grid = tensors["image_encoder.pos_embed"]
    hidden, side = grid.shape[-1], grid.shape[1]
    depth = count(tensors, r"image_encoder\.blocks\.(\d+)\.")
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
