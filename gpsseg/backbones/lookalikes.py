"""Which network a checkpoint is of, by a few names of tensors that no other network has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Reader = Literal["", "sam", "sam-hq", "sam2", "lite", "mobile", "smp", "monai"]
UNET = "pass it with --weights beside --backbone ARCHITECTURE:ENCODER, such as unet:resnet34"


@dataclass(frozen=True)
class Lookalike:
    """How a checkpoint looks.

    Attributes:
        words: whose it is, and where one can help, what to do.
        has: patterns, each of which the beginning of some "name (shape)" fits.
        reader: who reads such a file; empty if nobody does.
    """

    words: str
    has: tuple[str, ...]
    reader: Reader = ""


FIRST = r"image_encoder\.patch_embed\.seq\.0\.c\.weight"
_VIT = r"(image_encoder\.blocks|vision_encoder\.layers)\.\d+\."  # of the original, of transformers
_TUNED = "gpsseg does not build these additions; it tunes the plain checkpoint itself"
LOOKS = (  # the more particular first
    Lookalike(
        f"SAM-Med2D, or another SAM with adapters in its encoder: {_TUNED}", (_VIT + "Adapter",)
    ),
    Lookalike(
        f"Medical SAM Adapter: {_TUNED}",
        (_VIT + r"(MLP_Adapter|Space_Adapter|Depth_Adapter)\.",),
    ),
    Lookalike(
        "the LoRA matrices of SAMed or another SAM, which are of no use without the SAM that they "
        f"were trained in: {_TUNED}",
        (r"w_a_\d+ ", r"w_b_\d+ "),
    ),
    Lookalike(
        f"a network with LoRA matrices beside its own: merge them into it first, or take the plain "
        f"checkpoint; {_TUNED}",
        (r".*(\.lora_[AB]\b|\.linear_[ab]_[qv]\.)",),
    ),
    Lookalike(
        "Light HQ-SAM, a SAM-HQ with a TinyViT; gpsseg has SAM-HQ with a ViT",
        (r"mask_decoder\.hf_token", r"image_encoder\.layers\.\d+\.blocks\."),
    ),
    Lookalike(
        "SAM-HQ: pass it as --backbone itself",
        (r"mask_decoder\.hf_token", r"image_encoder\.blocks\."),
        "sam-hq",
    ),
    Lookalike(
        "SAM 3; gpsseg loads it from a folder that save_pretrained wrote",
        (r"detector\.", r"tracker\."),
    ),
    Lookalike(
        "EdgeTAM in its original names; gpsseg loads it from a folder that save_pretrained wrote",
        (r"spatial_perceiver\.", r"sam_mask_decoder\."),
    ),
    Lookalike(
        "SAM 2: pass it as --backbone itself",
        (r"sam_mask_decoder\.", r"image_encoder\.trunk\.pos_embed_window"),
        "sam2",
    ),
    Lookalike(
        "a relative of SAM 2 with another encoder, such as EfficientTAM; gpsseg has SAM 2 with "
        "Hiera, and EdgeTAM",
        (r"sam_mask_decoder\.", r"image_encoder\."),
    ),
    Lookalike(
        "EfficientSAM; gpsseg has SAM with a ViT or a TinyViT",
        (r"mask_decoder\.final_output_upscaling_layers\.",),
    ),
    Lookalike(
        "MobileSAM: pass it as --backbone itself",
        (r"mask_decoder\.", r"image_encoder\.layers\.\d+\.blocks\.", FIRST + r" \(\d+, 3, 3, 3\)"),
        "mobile",
    ),
    Lookalike(
        "LiteMedSAM: pass it as --backbone itself, or beside --backbone litemedsam",
        (r"mask_decoder\.", r"image_encoder\.layers\.\d+\.blocks\.", FIRST + r" \(\d+, 3, 1, 1\)"),
        "lite",
    ),
    Lookalike(
        "SAM with a TinyViT of another size than MobileSAM's and LiteMedSAM's",
        (r"mask_decoder\.", r"image_encoder\.layers\.\d+\.blocks\."),
    ),
    Lookalike(
        "SAM: pass it as --backbone itself",
        (r"mask_decoder\.", r"image_encoder\.blocks\.\d+\.attn\.rel_pos_h"),
        "sam",
    ),
    Lookalike(
        "a SAM of some kind with transformers' names: pass the folder that save_pretrained wrote, "
        "whose config.json says which",
        (r"mask_decoder\.", r"vision_encoder\."),
    ),
    Lookalike("nnU-Net; gpsseg has unet:ENCODER and monai:DynUNet", (r"decoder\.seg_layers\.",)),
    Lookalike(
        f"a segmentation-models-pytorch network: {UNET}",
        (r"encoder\.", r"segmentation_head\."),
        "smp",
    ),
    Lookalike(
        "MONAI's SwinUNETR: pass it with --weights beside --backbone monai:SwinUNETR",
        (r"swinViT\.",),
        "monai",
    ),
    Lookalike(
        "MONAI's DynUNet: pass it with --weights beside --backbone monai:DynUNet",
        (r"input_block\.conv1\.", r"upsamples\."),
        "monai",
    ),
    Lookalike("MONAI's UNet, which gpsseg does not build", (r"model\.\d+\..*conv\.unit0\.",)),
    Lookalike(
        "CLIP, which has no decoder for masks", (r"(visual|vision_model)\.", r".*token_embedding")
    ),
    Lookalike(
        f"torchvision's DeepLab or FCN; gpsseg builds segmentation-models-pytorch's: {UNET}",
        (r"backbone\.", r"classifier\.\d"),
    ),
    Lookalike(
        f"a ResNet without a decoder: {UNET}; there it becomes the encoder",
        (r"layer1\.0\.conv1\.", r"layer4\."),
    ),
    Lookalike(
        "a vision transformer without a decoder, such as DINO, MAE or timm's",
        (r"cls_token", r"blocks\.\d+\.attn\."),
    ),
)


def look_of(tensors: Mapping[str, Any]) -> Lookalike | None:
    """Find out how a checkpoint looks; None: like nothing known.

    Args:
        tensors: name -> tensor, or its shape.

    >>> look_of({"image_encoder.blocks.0.Adapter.channel.0.weight": (4, 4)}).words[:9]
    'SAM-Med2D'
    """
    known = [f"{name} {tuple(getattr(held, 'shape', held))}" for name, held in tensors.items()]
    for look in LOOKS:
        if all(any(re.match(pattern, line) for line in known) for pattern in look.has):
            return look
    return None


def looks_like(tensors: Mapping[str, Any], asked: Reader = "") -> str:
    """A sentence, with a space before it, that says how a refused checkpoint looks.

    Args:
        tensors: see ``look_of``.
        asked: who refuses it: that it looks like its own is no news.
    """
    look = look_of(tensors)
    if look is None or (asked and look.reader == asked):
        return ""
    return f" It looks like {look.words}."
