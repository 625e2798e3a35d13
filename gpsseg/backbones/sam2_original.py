"""Checkpoints of the original SAM 2 and 2.1 code (.pt), so MedSAM2's, with transformers' names.

Widths, blocks and memory are read off the tensors. Heads, windows and global attention leave no
trace in them; they are those of the published size with the same blocks. Nor does the image's size:
it is 1024 pixels, and 512 where the file is named MedSAM2.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.lookalikes import looks_like
from gpsseg.backbones.renaming import ONCE, TWICE, count
from gpsseg.backbones.sam2_names import NAMES, is_memory, joined, split
from gpsseg.backbones.weights import fill_weights, read_checkpoint, tensor_shapes
from gpsseg.errors import UserError

DECODER_HEADS = 8
OWN_SIZE, MEDICAL_SIZE = 1024, 512
WINDOWS = [8, 4, 14, 7]
# By (blocks of each stage, width of the first): what the tensors do not show.
UNSEEN: Mapping[tuple[tuple[int, ...], int], dict[str, Any]] = {
    ((1, 2, 7, 2), 96): {"heads": 1, "global": [5, 7, 9], "windows": WINDOWS},
    ((1, 2, 11, 2), 96): {"heads": 1, "global": [7, 10, 13], "windows": WINDOWS},
    ((2, 3, 16, 3), 112): {"heads": 2, "global": [12, 16, 20], "windows": WINDOWS},
    ((2, 6, 36, 4), 144): {"heads": 2, "global": [23, 33, 43], "windows": [8, 4, 16, 8]},
}
TRUNK, DECODER = "image_encoder.trunk", "sam_mask_decoder"
INSTEAD = " For a folder written by save_pretrained pass the folder."


def is_medical(path: Path) -> bool:
    """Whether a file is called MedSAM2, as its authors call theirs."""
    return "medsam2" in path.name.lower().replace("-", "").replace("_", "")


def read_original(path: Path) -> Any:
    """Build a ``Sam2Model`` from an original checkpoint; what is for videos is left out.

    Raises:
        UserError: the file cannot be read, is no SAM 2, or of no published size; tensors that
            SAM 2 has not are named.
    """
    from transformers import Sam2Config, Sam2Model

    tensors = read_checkpoint(path)
    try:
        with torch.device("meta"):  # no time and memory for weights that are replaced anyway
            net = Sam2Model(Sam2Config(**_shared(tensors, path)))
    except UserError:
        raise
    except Exception:  # odd tensors make odd settings, at which the library fails in every way
        raise UserError(_other(tensors, path)) from None
    own = without_memory(rename(tensors))
    what = "a SAM 2 checkpoint without additions"
    fill_weights(net, own, path, what, True, original_names, "sam2")
    return net


def video_tensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """A ``Sam2VideoConfig`` and all tensors of an original checkpoint by transformers' names.

    They are the state of a ``Sam2VideoModel`` of that configuration.

    Raises:
        UserError: as ``read_original``, or it has no memory.
    """
    from transformers import Sam2VideoModel

    tensors = read_checkpoint(path)
    try:
        shared = _shared(tensors, path)
    except UserError:
        raise
    except Exception:
        raise UserError(_other(tensors, path)) from None
    try:
        config = _video_config(tensors, shared)
        with torch.device("meta"):
            net = Sam2VideoModel(config)
    except Exception:
        raise UserError(
            f"{path} holds SAM 2 without its memory, which follows objects through a video. Pass "
            "the whole checkpoint, such as sam2.1_hiera_tiny.pt."
        ) from None
    own = rename(tensors)
    what = "a SAM 2 checkpoint with its memory"
    fill_weights(net, own, path, what, True, original_names, "sam2")
    return config, own


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give original tensors the names of a ``Sam2VideoModel``.

    >>> list(rename({"image_encoder.trunk.blocks.0.norm1.bias": torch.zeros(1)}))
    ['vision_encoder.backbone.blocks.0.layer_norm1.bias']
    """
    own = joined(NAMES.forwards(tensors))
    if ONCE in own:
        own[TWICE] = own[ONCE].clone()  # save_pretrained refuses a tensor held twice
    return own


def original_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Undo ``rename``: give the tensors of a ``Sam2Model`` or video model their original names.

    >>> list(original_names({"vision_encoder.backbone.blocks.0.layer_norm1.bias": torch.zeros(1)}))
    ['image_encoder.trunk.blocks.0.norm1.bias']
    """
    return NAMES.back(split(tensors))


def without_memory(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what serves videos only, by transformers' names."""
    return {name: tensor for name, tensor in own.items() if not is_memory(name)}


def require_version(path: Path, name: str) -> None:
    """Refuse SAM 2 by the name of SAM 2.1 and the reverse, where the file's memory tells.

    Raises:
        UserError: it is of the other version.
    """
    names = tensor_shapes(path)
    found = "sam2.1" if "no_obj_embed_spatial" in names else "sam2"
    version, dash, size = name.partition("-hiera-")
    if "maskmem_tpos_enc" in names and version != found:
        raise UserError(
            f"{path} holds {found}, not {version}. Pass --backbone {found}{dash}{size} with it, or "
            "the file itself as --backbone."
        )


def _video_config(tensors: Mapping[str, Tensor], shared: dict[str, Any]) -> Any:
    """Read a ``Sam2VideoConfig`` off the shapes of the original tensors."""
    from transformers import Sam2VideoConfig

    side = shared["prompt_encoder_config"]["image_size"]
    rope = [side // 16, side // 16]
    return Sam2VideoConfig(
        **shared, **_memory(tensors), image_size=side, memory_attention_rope_feat_sizes=rope
    )


def _other(tensors: Mapping[str, Tensor], path: Path) -> str:
    return (
        f"{path} is not an original SAM 2 checkpoint: expected tensors such as "
        f"{TRUNK}.pos_embed_window, as in sam2.1_hiera_tiny.pt."
        f"{looks_like(tensors, 'sam2') or INSTEAD}"
    )


def _shared(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """The parts of a configuration that images and videos have in common."""
    side = MEDICAL_SIZE if is_medical(path) else OWN_SIZE
    hidden = tensors["sam_prompt_encoder.no_mask_embed.weight"].shape[1]
    layers = f"{DECODER}.transformer.layers"
    inner = tensors[f"{layers}.0.cross_attn_token_to_image.q_proj.weight"]
    convs = count(tensors, r"image_encoder\.neck\.convs\.(\d+)\.")
    lateral = [tensors[f"image_encoder.neck.convs.{i}.conv.weight"] for i in range(convs)]
    return {
        "vision_config": {
            "backbone_config": _trunk(tensors, path, side),
            "backbone_channel_list": [each.shape[1] for each in lateral],
            "backbone_feature_sizes": [[side // stride] * 2 for stride in (4, 8, 16)],
            "fpn_hidden_size": len(lateral[0]),
        },
        "prompt_encoder_config": {
            "hidden_size": hidden,
            "image_size": side,
            "mask_input_channels": len(tensors["sam_prompt_encoder.mask_downscaling.3.weight"]),
        },
        "mask_decoder_config": {
            "hidden_size": hidden,
            "mlp_dim": len(tensors[f"{layers}.0.mlp.layers.0.weight"]),
            "num_hidden_layers": count(tensors, rf"{DECODER}\.transformer\.layers\.(\d+)\."),
            "num_attention_heads": DECODER_HEADS,
            "attention_downsample_rate": hidden // len(inner),
            "num_multimask_outputs": len(tensors[f"{DECODER}.mask_tokens.weight"]) - 1,
            "iou_head_depth": count(tensors, rf"{DECODER}\.iou_prediction_head\.layers\.(\d+)\."),
            "iou_head_hidden_dim": len(tensors[f"{DECODER}.iou_prediction_head.layers.0.weight"]),
        },
    }


def _trunk(tensors: Mapping[str, Tensor], path: Path, side: int) -> dict[str, Any]:
    """Hiera's part of the configuration.

    Raises:
        UserError: it is of no published size.
    """
    depth = count(tensors, r"image_encoder\.trunk\.blocks\.(\d+)\.")
    each = [len(tensors[f"{TRUNK}.blocks.{i}.attn.proj.weight"]) for i in range(depth)]
    widths, blocks = zip(*((width, len(list(same))) for width, same in groupby(each)), strict=True)
    window = tensors[f"{TRUNK}.pos_embed_window"].shape[-1]
    unseen = UNSEEN.get((blocks, widths[0]))
    if unseen is None or window != unseen["windows"][0]:
        raise UserError(
            f"{path} holds a Hiera of {', '.join(map(str, blocks))} blocks, {widths[0]} wide and "
            f"with windows of {window}: none of the published sizes tiny, small, base-plus and "
            "large, and how many attention heads it has cannot be seen. Convert it with "
            "transformers, and pass the folder."
        )
    return {
        "model_type": "sam2_hiera_det_model",
        "image_size": [side, side],
        "hidden_size": widths[0],
        "num_attention_heads": unseen["heads"],
        "blocks_per_stage": list(blocks),
        "embed_dim_per_stage": list(widths),
        "num_attention_heads_per_stage": [unseen["heads"] * 2**stage for stage in range(4)],
        "window_size_per_stage": unseen["windows"],
        "global_attention_blocks": unseen["global"],
        "window_positional_embedding_background_size": list(
            tensors[f"{TRUNK}.pos_embed"].shape[-2:]
        ),
        "mlp_ratio": len(tensors[f"{TRUNK}.blocks.0.mlp.layers.0.weight"]) / widths[0],
    }


def _memory(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a video's configuration says of the memory."""
    attention, encoder = "memory_attention.layers", "memory_encoder"
    return {
        "num_maskmem": len(tensors["maskmem_tpos_enc"]),
        "enable_occlusion_spatial_embedding": "no_obj_embed_spatial" in tensors,
        "enable_temporal_pos_encoding_for_object_pointers": "obj_ptr_tpos_proj.weight" in tensors,
        "memory_attention_hidden_size": len(tensors["memory_attention.norm.weight"]),
        "memory_attention_num_layers": count(tensors, r"memory_attention\.layers\.(\d+)\."),
        "memory_attention_feed_forward_hidden_size": len(tensors[f"{attention}.0.linear1.weight"]),
        "memory_encoder_hidden_size": len(tensors[f"{encoder}.pix_feat_proj.weight"]),
        "memory_encoder_output_channels": len(tensors[f"{encoder}.out_proj.weight"]),
        "mask_downsampler_embed_dim": len(tensors[f"{encoder}.pix_feat_proj.weight"]),
        "memory_fuser_num_layers": count(tensors, r"memory_encoder\.fuser\.layers\.(\d+)\."),
        "memory_fuser_embed_dim": len(tensors[f"{encoder}.fuser.layers.0.gamma"]),
        "memory_fuser_intermediate_dim": len(tensors[f"{encoder}.fuser.layers.0.pwconv1.weight"]),
    }
