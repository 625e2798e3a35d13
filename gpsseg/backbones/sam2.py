"""Segment Anything 2 and 2.1 (Ravi et al., 2024), and EdgeTAM, on single images.

By way of transformers; what follows objects through a video is not loaded. One mask is asked for,
and it is the same mask token in training and afterwards: SAM 2's choice among several masks by
their stability is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.base import IMAGENET, PROMPTS, Backbone, Prompt, repeated_blocks
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.folders import pretrained
from gpsseg.backbones.hub import Repository, fetch, published
from gpsseg.backbones.mask_tokens import add_classes, class_layers, class_logits
from gpsseg.backbones.sam2_head import decoded
from gpsseg.backbones.sam2_original import is_medical, read_original, require_version
from gpsseg.backbones.sam_kind import TUNED, UNKNOWN, facts_of_sam, model_type, reader_of
from gpsseg.errors import UserError, few

HOMEPAGE = "https://github.com/facebookresearch/sam2"
MULTIPLE = 32  # patches of 4 pixels in windows of 8
SAV = "SA-1B photographs and SA-V videos; not known to hold medical images."
HIERA: Mapping[str, dict[str, Any]] = {
    "tiny": {},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "base-plus": {
        "hidden_size": 112,
        "num_attention_heads": 2,
        "blocks_per_stage": [2, 3, 16, 3],
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "large": {
        "hidden_size": 144,
        "num_attention_heads": 2,
        "blocks_per_stage": [2, 6, 36, 4],
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8],
        "global_attention_blocks": [23, 33, 43],
    },
}
MEDICAL = (
    "SA-1B photographs and SA-V videos, then medical volumes and videos of several modalities with "
    "box prompts; they may include public endoscopy, so a score on such a set may be optimistic."
)
EDGETAM = "edgetam"
TYPES = ("sam2", "sam2_video", "edgetam", "edgetam_video")
PARAMETERS = {  # without what follows objects through a video
    "tiny": 31_440_721,
    "small": 38_538_577,
    "base-plus": 73_328_401,
    "large": 216_924_865,
    EDGETAM: 9_120_641,
}
REPVIT = {
    "model_type": "timm_wrapper",
    "architecture": "repvit_m1",
    "num_classes": 1,
    "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
}
REPOSITORIES = {
    **{
        f"{version}-hiera-{size}": Repository(f"facebook/{version}-hiera-{size}")
        for version in ("sam2.1", "sam2")
        for size in HIERA
    },
    EDGETAM: Repository("yonigozlan/EdgeTAM-hf"),
}


class Sam2(Backbone):
    """SAM 2 without its memory.

    Args:
        net: a transformers ``Sam2Model`` or ``EdgeTamModel``.
        name: as on the command line.
        prompt: see ``Facts.prompt``.
        pretraining: see ``Facts.pretraining``.
        classes: C of the logits.
    """

    def __init__(
        self,
        net: Any,
        name: str = "sam2.1-hiera-tiny",
        prompt: Prompt = "none",
        pretraining: str = SAV,
        classes: int = 1,
    ):
        super().__init__()
        self.net, self.classes = net, classes
        self.statistics = IMAGENET
        add_classes(net.mask_decoder, classes)
        net.mask_decoder.dynamic_multimask_via_stability = False
        size = net.config.prompt_encoder_config.image_size
        self.facts = facts_of_sam(name, HOMEPAGE, pretraining, size, MULTIPLE, prompt)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The image encoder with its pyramid, the mask decoder, and what embeds prompts."""
        net = self.net
        without_memory = nn.ParameterList([net.no_memory_embedding])
        prompt = [net.prompt_encoder, net.shared_image_embedding, without_memory]
        return {
            "encoder": net.vision_encoder,
            "decoder": net.mask_decoder,
            "prompt": nn.ModuleList(prompt),
        }

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Hiera's blocks, or what EdgeTAM's encoder repeats."""
        return repeated_blocks(self.net.vision_encoder.backbone)

    @property
    def added(self) -> Sequence[nn.Module]:
        """The classes' mask tokens and hypernetworks."""
        return class_layers(self.net.mask_decoder, self.classes)

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``. As in SAM 2, logits are enlarged from a quarter of the side."""
        pyramid = self.net.vision_encoder(self.admitted(image, prompt)).fpn_hidden_states
        several = self.classes > 1
        logits = decoded(self.net, pyramid, image, self.facts.prompt, prompt, several)
        logits = class_logits(logits, self.classes)
        return F.interpolate(logits, image.shape[-2:], mode="bilinear")


def load(order: Order) -> Sam2:
    """Build SAM 2 or EdgeTAM from the hub, a local folder, an original checkpoint, or at random.

    Raises:
        UserError: the weights are not on this machine and the hub cannot be reached, or a
            checkpoint is not SAM 2's.
    """
    medical = order.path is not None and is_medical(order.path)
    prompt = order.choose_prompt(PROMPTS, "full-box" if medical else "none")
    named = order.name in REPOSITORIES
    pretraining = (f"{SAV} {TUNED}" if named else UNKNOWN) if order.path else SAV
    if order.path:
        pretraining = MEDICAL if medical else pretraining
        net = _own(order.path)
        _require_size(order, net)
    elif order.random_weights:
        net = random_net(order.name)
    else:
        instead = f"--backbone {order.name} --weights FOLDER"
        net = _folder(fetch(REPOSITORIES[order.name], order.name, instead), own=False)
    return Sam2(net, order.name, prompt, pretraining, order.classes)


def _own(path: Path) -> Any:
    """A network from a folder that save_pretrained wrote, or from an original checkpoint."""
    return _folder(path) if path.is_dir() else read_original(path)


def _folder(folder: Path, own: bool = True) -> Any:
    from transformers import EdgeTamModel, Sam2Model

    model = EdgeTamModel if model_type(str(folder)).startswith(EDGETAM) else Sam2Model
    return pretrained(model, folder, "SAM 2", TYPES, own)


def _require_size(order: Order, net: Any) -> None:
    """Refuse a checkpoint of another network than the name says.

    Raises:
        UserError: they are of another size, of EdgeTAM, or of the other version of SAM 2.
    """
    if order.name not in REPOSITORIES or order.path is None or order.path.is_dir():
        return
    with torch.device("meta"):
        named = random_net(order.name)
    shapes = [{n: t.shape for n, t in each.state_dict().items()} for each in (named, net)]
    wrong = [n for n in shapes[0].keys() | shapes[1].keys() if shapes[0].get(n) != shapes[1].get(n)]
    if wrong:
        raise UserError(
            f"{order.path} holds another network than {order.name}: {few(sorted(wrong))} are of "
            "another shape or missing. Pass the file itself as --backbone."
        )
    require_version(order.path, order.name)


def random_net(name: str) -> Any:
    """A network of a published one's size with random weights."""
    from transformers import EdgeTamConfig, EdgeTamModel, Sam2Config, Sam2Model

    if name == EDGETAM:
        return EdgeTamModel(EdgeTamConfig(vision_config={"backbone_config": REPVIT}))
    hiera = dict(HIERA[name.partition("-hiera-")[2]])
    channels = hiera.get("embed_dim_per_stage", [96, 192, 384, 768])[::-1]
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **hiera},
        "backbone_channel_list": channels,
    }
    net = Sam2Model(Sam2Config(vision_config={"model_type": "sam2_vision_model", **vision}))
    for name_, parameter in net.named_parameters():
        if "pos_embed" in name_ or name_ == "no_memory_embedding":
            nn.init.normal_(parameter, std=0.02)
    return net


FAMILY = Family(
    title="SAM 2 and EdgeTAM on single images",
    pattern="any SAM 2 checkpoint, such as MedSAM2's, or folder",
    published={
        name: published(
            repository,
            PARAMETERS[name.rpartition("-hiera-")[2]],
            32,
            HOMEPAGE,
            SAV,
        )
        for name, repository in REPOSITORIES.items()
    },
    takes=lambda name: reader_of(name) == "sam2" or model_type(name) in TYPES,
    load=load,
)
