"""SAM 2's tensors: how the original's names and transformers' differ, and which are for videos."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.renaming import PROMPTS_AND_MASKS, Names

_HEADS = r"iou_prediction_head|output_hypernetworks_mlps\.\d+|pred_obj_score_head|mlp"
NAMES = Names(
    renamed=(
        ("image_encoder.trunk.", "vision_encoder.backbone.", ""),
        ("image_encoder.neck.", "vision_encoder.neck.", ""),
        ("patch_embed.proj.", "patch_embed.projection.", ""),
        ("sam_prompt_encoder.", "prompt_encoder.", ""),
        ("sam_mask_decoder.", "mask_decoder.", ""),
        ("memory_encoder.out_proj.", "memory_encoder.projection.", ""),
        ("memory_encoder.pix_feat_proj.", "memory_encoder.feature_projection.", ""),
        ("memory_encoder.fuser.", "memory_encoder.memory_fuser.", ""),
        (".out_proj.", ".o_proj.", ""),
        (".norm", ".layer_norm", r"(?=\d|_final_attn|\.)"),
        (".dwconv.", ".depthwise_conv.", ""),
        (".pwconv", ".pointwise_conv", ""),
        (".gamma", ".scale", "$"),
        ("maskmem_tpos_enc", "memory_temporal_positional_encoding", ""),
        ("no_mem_embed", "no_memory_embedding", ""),
        ("no_mem_pos_enc", "no_memory_positional_encoding", ""),
        ("no_obj_ptr", "no_object_pointer", ""),
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter", ""),
        ("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer.", ""),
        ("obj_ptr_proj.", "object_pointer_proj.", ""),
        *PROMPTS_AND_MASKS,
    ),
    heads=rf"{_HEADS}|obj_ptr_proj",
    own_heads=rf"{_HEADS}|object_pointer_proj",
)
MEMORY = (  # by transformers' names; all else serves single images too
    "memory_attention.",
    "memory_encoder.",
    "mask_downsample.",
    "object_pointer_proj.",
    "temporal_positional_encoding_projection_layer.",
    "memory_temporal_positional_encoding",
    "no_memory_positional_encoding",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
)
POINTS = "prompt_encoder.point_embed"
CONV = re.compile(r"(vision_encoder\.neck\.convs\.\d+)\.conv\.(.*)")
OWN_CONV = re.compile(r"(vision_encoder\.neck\.convs\.\d+)\.(.*)")
SAMPLER = "memory_encoder.mask_downsampler"
STEP = re.compile(re.escape(SAMPLER) + r"\.encoder\.(\d+)\.(.*)")
OWN_STEP = re.compile(
    re.escape(SAMPLER) + r"\.(?:layers\.(\d+)\.(conv|layer_norm)|final_conv)\.(.*)"
)
OF_A_STEP = ("conv", "layer_norm")  # the third of each, the activation, has no tensors


def is_memory(name: str) -> bool:
    """Whether a tensor, by transformers' name, serves videos only."""
    return name.startswith(MEMORY)


def joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rest of the way to transformers: names by their number, and the points' in one."""
    steps = [int(match[1]) for match in map(STEP.fullmatch, tensors) if match]
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if conv := CONV.fullmatch(name):
            name = f"{conv[1]}.{conv[2]}"
        if step := STEP.fullmatch(name):
            layer, part = divmod(int(step[1]), 3)
            own = f"layers.{layer}.{dict(enumerate(OF_A_STEP)).get(part, part)}"
            name = f"{SAMPLER}.{'final_conv' if int(step[1]) == max(steps) else own}.{step[2]}"
        found[name] = tensor
    points = [f"{POINTS}.{i}.weight" for i in range(4)]
    if all(name in found for name in points):
        found[f"{POINTS}.weight"] = torch.cat([found.pop(name) for name in points])
    return found


def split(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Undo ``joined``; values that are no tensors are kept as they are."""
    steps = [int(match[1] or -1) for match in map(OWN_STEP.fullmatch, tensors) if match]
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if name == f"{POINTS}.weight" and isinstance(tensor, Tensor):
            rows = {f"{POINTS}.{i}.weight": row[None] for i, row in enumerate(tensor)}
            found.update(rows)
            continue
        if conv := OWN_CONV.fullmatch(name):
            name = f"{conv[1]}.conv.{conv[2]}"
        if step := OWN_STEP.fullmatch(name):
            last = 3 * (1 + max(steps))
            place = 3 * int(step[1]) + OF_A_STEP.index(step[2]) if step[1] else last
            name = f"{SAMPLER}.encoder.{place}.{step[3]}"
        found[name] = tensor
    return found
