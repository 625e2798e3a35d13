"""``--format transformers``: save_pretrained of SAM, SAM 2, EdgeTAM and SAM 3.

The network is written for the size of images that it was tuned on: where that is another than in
pre-training, gpsseg interpolates SAM's positions at every pass, and here they are stored so. Mask
tokens of several classes are further multimask outputs to the library.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.mask_tokens import MaskTokens
from gpsseg.backbones.sam import Sam
from gpsseg.backbones.sam2 import Sam2
from gpsseg.backbones.sam3 import Sam3
from gpsseg.backbones.sam_hq import SamHQ
from gpsseg.export import sam3_folder
from gpsseg.export.format import ExportedNetwork, Format
from gpsseg.export.script import BY_TORCH, maps_by_script, quietly, write_script

LIBRARY = "transformers"
NOT_HQ = (
    "SAM-HQ's masks are made of image features that have attended to the prompt, and transformers "
    "(5.1 to 5.24) drops these, so that a folder for it would segment otherwise than the network "
    "that was tuned"
)


def fault(tuned: ExportedNetwork) -> str:
    """Why not."""
    if isinstance(tuned.model, SamHQ):
        return NOT_HQ
    if isinstance(tuned.model, Sam | Sam2 | Sam3):
        return sam3_folder.fault(tuned)
    return f"it is for SAM, SAM 2, EdgeTAM and SAM 3, and this is {tuned.model.facts.name}"


def write(tuned: ExportedNetwork, folder: Path) -> None:
    """Write config.json, model.safetensors and the example."""
    model: Any = tuned.model
    if isinstance(model, Sam3):
        sam3_folder.write(tuned, folder)
        return
    kind, packages = type(model.net).__name__, f"torch torchvision {LIBRARY}"
    packages += " timm" if kind.startswith("EdgeTam") else ""
    net = as_published(model, tuned.side)
    with quietly():
        net.save_pretrained(folder)
    imports = f"from transformers import {kind} as Model"
    write_script(tuned, folder, (LIBRARY, BY_TORCH), imports, packages)


def as_published(model: Sam | Sam2, side: int) -> Any:
    """The network as its library builds it, for images of one size.

    Args:
        model: plain; it is not changed.
        side: of the images in pixels.
    """
    net: Any = model.net
    config = copy.deepcopy(net.config)
    config._name_or_path = ""  # a folder of this machine
    config.prompt_encoder_config.image_size = side
    decoder = config.mask_decoder_config
    tensors = dict(net.state_dict())
    if isinstance(model, Sam2):
        _resize_sam2(config, side)
        decoder.dynamic_multimask_via_stability = False
    else:
        _resize_sam(config, tensors, side)
    if model.classes > 1:
        decoder.num_multimask_outputs += model.classes - 1
        tensors = _with_classes(net.mask_decoder, tensors, model.classes)
    with torch.device("meta"):
        found = type(net)(config)
    found.load_state_dict(tensors, strict=False, assign=True)
    found.tie_weights()
    return found.eval()


def _resize_sam(config: Any, tensors: dict[str, Tensor], side: int) -> None:
    """Let SAM's settings and positions be those of another size, in place."""
    vision = config.vision_config
    cells = side // vision.patch_size
    config.prompt_encoder_config.image_embedding_size = cells
    if side == vision.image_size:
        return
    vision.image_size = side
    name = "vision_encoder.pos_embed"
    if name in tensors:
        grid = tensors[name].permute(0, 3, 1, 2)
        grid = F.interpolate(grid, (cells, cells), mode="bicubic", antialias=True)
        tensors[name] = grid.permute(0, 2, 3, 1)
    for layer in vision.global_attn_indexes:
        for axis in ("h", "w"):
            name = f"vision_encoder.layers.{layer}.attn.rel_pos_{axis}"
            if name in tensors:
                row = tensors[name].T[None]
                tensors[name] = F.interpolate(row, 2 * cells - 1, mode="linear")[0].T


def _resize_sam2(config: Any, side: int) -> None:
    """Let SAM 2's settings be those of another size; its positions are interpolated by the library.

    EdgeTAM's convolutions know no size.
    """
    vision = config.vision_config
    before = vision.backbone_feature_sizes
    first = before[0][0]
    if getattr(vision.backbone_config, "image_size", None) is not None:
        vision.backbone_config.image_size = [side, side]
    vision.backbone_feature_sizes = [
        [side // 4 * size // first for size in sizes] for sizes in before
    ]


def _with_classes(
    decoder: nn.Module, tensors: dict[str, Tensor], classes: int
) -> dict[str, Tensor]:
    """Tokens of classes as the library's own, which come last among all.

    The head that guesses each mask's quality was tuned for none of them; they get the first one's.
    """
    place = "mask_decoder."
    named = {name: t for name, t in tensors.items() if not name.startswith(f"{place}mask_tokens.")}
    tokens: Any = decoder.mask_tokens
    assert isinstance(tokens, MaskTokens)
    named[f"{place}mask_tokens.weight"] = tokens.weight
    for part in ("weight", "bias"):
        name = f"{place}iou_prediction_head.proj_out.{part}"
        named[name] = torch.cat([named[name], *[named[name][:1]] * (classes - 1)])
    return named


def usage(tuned: ExportedNetwork) -> str:
    """See ``Format.usage``."""
    model: Any = tuned.model
    kind = type(model.net).__name__
    several = ""
    if tuned.classes:
        several = (
            f"\n\nThe classes' masks are the last {len(tuned.classes)} of those that "
            "`multimask_output=True` gives; the background's logits are 0, and a softmax over all "
            "makes probabilities. `iou_scores` say nothing of them."
        )
    return (
        f"`pip install torch torchvision {LIBRARY}`; the weights are `model.safetensors`.\n\n"
        f"```python\nfrom transformers import {kind}\n\n"
        f'network = {kind}.from_pretrained("THIS_FOLDER").eval()  # or the name of a repository\n'
        "```\n\nThere is no processor in this folder: the library's own keep an image's "
        "proportions or resize otherwise, and `segment.py` prepares images as in training."
        f"{several}{sam3_folder.usage(tuned)}"
    )


FORMAT = Format(
    name=LIBRARY,
    needs=((LIBRARY, LIBRARY),),
    fault=fault,
    write=write,
    read_maps=maps_by_script,
    usage=usage,
    library=LIBRARY,
    hub_name=LIBRARY,
)
