"""Segment Anything (Kirillov et al., 2023) and MedSAM (Ma et al., 2024) by way of transformers.

The position embeddings of images of another size than in pre-training are interpolated at every
pass, so that the network itself, and with it a delta, is the same for all sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.attention import lighten
from gpsseg.backbones.base import IMAGENET, PROMPTS, Backbone, Prompt, full_precision
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.folders import pretrained
from gpsseg.backbones.hub import Repository, fetch, published
from gpsseg.backbones.mask_tokens import add_classes, class_layers, class_logits
from gpsseg.backbones.positions import image_positions, prompt_points
from gpsseg.backbones.sam_kind import TUNED, UNKNOWN, facts_of_sam, model_type, reader_of
from gpsseg.backbones.sam_original import read_original
from gpsseg.errors import UserError

HOMEPAGE = "https://github.com/facebookresearch/segment-anything"
MEDSAM_HOMEPAGE = "https://github.com/bowang-lab/MedSAM"
SA1B = "SA-1B: 11 million photographs; not known to hold medical images."
MEDICAL = (
    "SA-1B photographs, then 1.6 million medical images of 10 modalities with box prompts; they "
    "include public endoscopy and dermoscopy images, so a score on such a set may be optimistic."
)
REPOSITORIES = {
    "sam-vit-base": Repository("facebook/sam-vit-base"),
    "sam-vit-large": Repository("facebook/sam-vit-large"),
    "sam-vit-huge": Repository("facebook/sam-vit-huge"),
    "medsam": Repository(
        "wanglab/medsam-vit-base",
        "de8488bca37bb1d4fb190f612c516126d739ce3b",
        ("config.json", "pytorch_model.bin"),
    ),
}
ORIGINALS = {
    "sam-vit-base": "sam_vit_b_01ec64.pth",
    "sam-vit-large": "sam_vit_l_0b3195.pth",
    "sam-vit-huge": "sam_vit_h_4b8939.pth",
    "medsam": "medsam_vit_b.pth",
}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
ENCODERS: Mapping[str, dict[str, Any]] = {
    "sam-vit-base": {**BASE, "global_attn_indexes": [2, 5, 8, 11]},
    "medsam": {**BASE, "global_attn_indexes": [2, 5, 8, 11]},
    "sam-vit-large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "sam-vit-huge": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}
ELSE = ("sam", "", "smp", "monai")  # who reads a file that is no other SAM's; some are refused
PARAMETERS = {
    "sam-vit-base": 93_735_728,
    "sam-vit-large": 312_343_088,
    "sam-vit-huge": 641_090_864,
    "medsam": 93_735_728,
}


class Sam(Backbone):
    """SAM or MedSAM.

    Args:
        net: a transformers ``SamModel``.
        name: as on the command line.
        prompt: see ``Facts.prompt``.
        medical: prepare images as MedSAM does, each stretched to its own range, and not by the
            mean and standard deviation of photographs.
        pretraining: see ``Facts.pretraining``.
        classes: C of the logits.
    """

    def __init__(
        self,
        net: Any,
        name: str = "sam-vit-base",
        prompt: Prompt = "none",
        medical: bool = False,
        pretraining: str = SA1B,
        classes: int = 1,
    ):
        super().__init__()
        self.net, self.medical, self.classes = net, medical, classes
        self.statistics = None if medical else IMAGENET
        add_classes(net.mask_decoder, classes)
        lighten([layer.attn for layer in net.vision_encoder.layers])
        vision = net.config.vision_config
        homepage = MEDSAM_HOMEPAGE if medical else HOMEPAGE
        size, multiple = vision.image_size, vision.patch_size
        self.facts = facts_of_sam(name, homepage, pretraining, size, multiple, prompt)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The image encoder, the mask decoder, and the prompt encoder with its embeddings."""
        prompt = nn.ModuleList([self.net.prompt_encoder, self.net.shared_image_embedding])
        return {
            "encoder": self.net.vision_encoder,
            "decoder": self.net.mask_decoder,
            "prompt": prompt,
        }

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The ViT's layers."""
        return list(self.net.vision_encoder.layers)

    @property
    def added(self) -> Sequence[nn.Module]:
        """The classes' mask tokens and hypernetworks."""
        return class_layers(self.net.mask_decoder, self.classes)

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``. As in SAM, logits are enlarged from a quarter of the side."""
        features, early = self.encode(self.admitted(image, prompt))
        with full_precision(image):
            positions = image_positions(self.net, features)
            sparse, dense = self._prompt(image, prompt, features)
        masks, _ = self.decode(
            early,
            image_embeddings=features,
            image_positional_embeddings=positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        logits = class_logits(masks[:, 0], self.classes)
        return F.interpolate(logits, image.shape[-2:], mode="bilinear")

    def decode(self, early: Tensor, **embeddings: Any) -> tuple[Tensor, Tensor]:
        """(B, 1, masks, H / 4, W / 4) logits, and the (B, 1, masks) IoU that SAM expects of them.

        SAM-HQ takes the early features too.
        """
        masks, iou, *_ = self.net.mask_decoder(**embeddings, multimask_output=self.classes > 1)
        return masks, iou

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 256, H / 16, W / 16), and the first global layer's output."""
        encoder = self.net.vision_encoder
        x = encoder.patch_embed.projection(image).permute(0, 2, 3, 1)
        if encoder.pos_embed is not None:
            grid = encoder.pos_embed.permute(0, 3, 1, 2)
            if grid.shape[-2:] != x.shape[1:3]:
                grid = F.interpolate(grid, x.shape[1:3], mode="bicubic", antialias=True)
            x = x + grid.permute(0, 2, 3, 1)
        early = None
        for layer in encoder.layers:  # these interpolate their relative positions themselves
            x = layer(x)
            early = x if early is None and layer.window_size == 0 else early
        return encoder.neck(x), x if early is None else early

    def _prompt(
        self, image: Tensor, given: Tensor | None, features: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        """Embed the prompt: (B, 1, 2, 256) tokens or None, and (B, 256, h, w)."""
        encoder = self.net.prompt_encoder
        dense = encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(features.shape)
        where = prompt_points(self.facts.prompt, image, given)
        if where is None:
            return None, dense
        tokens = encoder.shared_embedding(where)
        if self.facts.prompt == "point":
            tokens = tokens + encoder.point_embed[1].weight
            padding = encoder.not_a_point_embed.weight.expand_as(tokens)
            return torch.cat([tokens, padding], dim=2), dense
        corners = torch.cat([encoder.point_embed[2].weight, encoder.point_embed[3].weight])
        return tokens + corners, dense


def load(order: Order) -> Sam:
    """Build SAM or MedSAM from the hub, a local folder, an original checkpoint, or at random.

    A checkpoint with "medsam" in its name, or one named beside ``medsam``, gets images as MedSAM
    wants them.

    Raises:
        UserError: the weights are not on this machine and the hub cannot be reached, or a
            checkpoint is not SAM's.
    """
    from transformers import SamConfig, SamModel

    medical = "medsam" in Path(order.name).name.lower() or (
        order.path is not None and "medsam" in order.path.name.lower()
    )
    prompt = order.choose_prompt(PROMPTS, "full-box" if medical else "none")
    pretraining = MEDICAL if medical else SA1B
    if order.path:
        net = _own(order.path)
        require_encoder(order, net)
        if order.name in PARAMETERS:
            pretraining = f"{pretraining} {TUNED}"
        elif order.path.name not in ORIGINALS.values():
            pretraining = UNKNOWN
    elif order.random_weights:
        net = random_sam(SamConfig(vision_config=dict(ENCODERS[order.name])))
    else:
        original = ORIGINALS[order.name]
        instead = (
            f"--backbone {order.name} --weights FOLDER, or --weights {original} if you have it"
        )
        folder = fetch(REPOSITORIES[order.name], order.name, instead)
        net = pretrained(SamModel, folder, "a SAM", ["sam"], own=False)
    return Sam(net, order.name, prompt, medical, pretraining, order.classes)


def _own(path: Path) -> Any:
    """A ``SamModel`` from a folder that save_pretrained wrote, or from an original checkpoint."""
    from transformers import SamModel

    return pretrained(SamModel, path, "a SAM", ["sam"]) if path.is_dir() else read_original(path)


def require_encoder(order: Order, net: Any) -> None:
    """Refuse weights of SAM or SAM-HQ of another size than the name says.

    Raises:
        UserError: they are.
    """
    expected = ENCODERS.get(order.name.replace("-hq", ""))
    found = net.config.vision_config.hidden_size
    if expected and found != expected["hidden_size"]:
        raise UserError(
            f"{order.path} holds an encoder {found} wide, but {order.name} has "
            f"{expected['hidden_size']}. Pass the file itself as --backbone."
        )


def random_sam(config: Any, kind: Any = None) -> Any:
    """A ``SamModel`` (or ``kind``) whose random weights are of a trained one's size.

    Its own are near zero.
    """
    from transformers import SamModel

    config.vision_config.initializer_range = 0.02
    net = (kind or SamModel)(config)
    for module in net.vision_encoder.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name in ("pos_embed", "rel_pos_h", "rel_pos_w"):
                nn.init.normal_(parameter, std=0.02)
    return net


FAMILY = Family(
    title="SAM and MedSAM",
    pattern="any SAM checkpoint or folder",
    published={
        name: published(
            repository,
            PARAMETERS[name],
            16,
            MEDSAM_HOMEPAGE if name == "medsam" else HOMEPAGE,
            MEDICAL if name == "medsam" else SA1B,
            f"--weights FOLDER, or --weights {ORIGINALS[name]} if you have it",
        )
        for name, repository in REPOSITORIES.items()
    },
    takes=lambda name: reader_of(name) in ELSE or model_type(name) == "sam",
    load=load,
)
