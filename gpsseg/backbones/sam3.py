"""Segment Anything 3 (Carion et al., 2025) on single images, by way of transformers.

Asked by words, its detector finds every instance of them, and ``sam3_union`` makes one mask of
these. Asked by a box or a point, or not at all, the head of its tracker answers, as SAM 2 does.
Both see the image through one encoder. What follows objects through a video is not loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.base import HALF, PROMPTS, Backbone, Facts, Prompt
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.hub import Repository, fetch, published
from gpsseg.backbones.sam2_head import decoded
from gpsseg.backbones.sam3_nets import (
    RELATIVES,
    TYPES,
    TrackerHead,
    random_networks,
    read_networks,
    take_any_size,
)
from gpsseg.backbones.sam3_text import read_tokenizer, tokens_of
from gpsseg.backbones.sam3_union import united
from gpsseg.backbones.sam_kind import TUNED, UNKNOWN, facts_of_sam, model_type
from gpsseg.errors import UserError

NAME = "sam3"
HOMEPAGE = "https://github.com/facebookresearch/sam3"
LICENCE = "SAM License (Meta's own; gated)"
GATED = (
    "yes: log in at https://huggingface.co/facebook/sam3, accept the SAM License there, and once "
    "that is granted give this machine a token (`hf auth login`, or HF_TOKEN)"
)
SACO = (
    "SA-Co: photographs and videos with the masks of 4 million noun phrases, and other people's "
    "sets; medical images among them are not ruled out, so a score on a public set may be "
    "optimistic."
)
REPOSITORY = Repository(
    "facebook/sam3", files=("config.json", "model.safetensors", "vocab.json", "merges.txt")
)
PARAMETERS = 852_400_071  # with the tracker's head, without its memory
ANYTHING = "anything"  # told to random weights, which know no words, and to what is measured


class Sam3(Backbone):
    """SAM 3 without its memory.

    Args:
        net: a transformers ``Sam3Model``, the detector.
        head: of the tracker, if there is one.
        tokenizer: see ``tokens_of``.
        name: as on the command line.
        prompt: see ``Facts.prompt``.
        text: see ``Facts.text``.
        pretraining: see ``Facts.pretraining``.
    """

    tokens: Tensor | None

    def __init__(
        self,
        net: Any,
        head: TrackerHead | None,
        tokenizer: Any,
        name: str = NAME,
        prompt: Prompt = "text",
        text: str = ANYTHING,
        pretraining: str = SACO,
    ):
        super().__init__()
        self.net, self.tokenizer = net, tokenizer
        self.head: Any = head  # a TrackerHead or None, whose prompts are then not taken
        self.statistics = HALF
        take_any_size(net.vision_encoder)
        self.register_buffer("tokens", None, persistent=False)
        self.facts = _facts(name, net.config.vision_config, pretraining, head is not None)
        self.tell(prompt, text)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What answers the prompt in use; all else is with what embeds prompts, and stays frozen.

        The encoder is that of images and that of words. The decoder is the detector with its
        scores and masks, or the tracker's mask decoder.
        """
        net, head = self.net, self.head
        vision = net.vision_encoder
        if self.facts.prompt == "text":
            encoder = [vision, net.text_encoder, net.text_projection]
            decoder = [net.detr_encoder, net.detr_decoder, net.dot_product_scoring]
            decoder += [net.mask_decoder]
            pixels = net.mask_decoder.pixel_decoder
            steps = len(vision.neck.fpn_layers) - 2  # up from the coarsest level in use
            idle = [vision.neck.fpn_layers[-1], net.text_encoder.text_projection]
            idle += [net.detr_decoder.box_head, net.mask_decoder.semantic_projection]
            idle += [*pixels.conv_layers[steps:], *pixels.norms[steps:]]
        else:
            encoder, decoder = [vision.backbone, head.neck], [head.mask_decoder]
            idle = [head.neck.fpn_layers[-1]]
        frozen = {id(p) for module in idle for p in module.parameters()}
        roles = {
            role: [p for m in modules for p in m.parameters() if id(p) not in frozen]
            for role, modules in (("encoder", encoder), ("decoder", decoder))
        }
        used = {id(p) for parameters in roles.values() for p in parameters}
        roles["prompt"] = [p for p in self.parameters() if id(p) not in used]
        return {role: nn.ParameterList(parameters) for role, parameters in roles.items()}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The ViT's layers."""
        return list(self.net.vision_encoder.backbone.layers)

    def tell(self, prompt: Prompt, text: str = "") -> None:
        """See ``Backbone.tell``. What is trained from then on are other parts; see ``parts``."""
        if prompt != "text":
            super().tell(prompt)
            return
        tokens = tokens_of(text, self.tokenizer, self.net.config.text_config, self.facts.name)
        super().tell(prompt, text)
        self.tokens = tokens.to(self.net.text_projection.weight.device)

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``. Masks are enlarged from two sevenths of the side."""
        seen = self.admitted(image, prompt)
        if self.facts.prompt == "text":
            size = image.shape[-2], image.shape[-1]
            return united(*self._instances(self._pyramid(seen, self.net.vision_encoder.neck)), size)
        pyramid = self._pyramid(seen, self.head.neck)
        masks = decoded(self.head, pyramid, image, self.facts.prompt, prompt)
        return F.interpolate(masks, image.shape[-2:], mode="bilinear")

    def _pyramid(self, image: Tensor, neck: Any) -> list[Tensor]:
        """(B, C, h, w) features, fine to coarse, without a level that nothing looks at."""
        features = self.net.vision_encoder.backbone(image).last_hidden_state
        patch = self.facts.image_multiple
        grid = image.shape[-2] // patch, image.shape[-1] // patch
        features = features.transpose(1, 2).unflatten(2, grid)
        return [layer(features) for layer in neck.fpn_layers[:-1]]

    def _instances(self, pyramid: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What the detector finds of the words, as ``united`` takes it.

        As in ``Sam3Model``, without what only boxes need. The words are read once for all images,
        and have no padding, so that there is nothing to mask.
        """
        net, coarse = self.net, pyramid[-1]
        words = net.get_text_features(input_ids=self.tokens, return_dict=True).pooler_output
        words = words.expand(coarse.shape[0], -1, -1)
        encoding = net.vision_encoder.neck.position_encoding
        where = encoding(coarse.shape, coarse.device, coarse.dtype)
        encoded = net.detr_encoder(
            vision_features=[coarse], text_features=words, vision_pos_embeds=[where]
        ).last_hidden_state
        found = net.detr_decoder(
            vision_features=encoded,
            text_features=words,
            vision_pos_encoding=where.flatten(2).transpose(1, 2),
            spatial_shapes=np.array([coarse.shape[-2:]]),  # numbers, also where torch.export traces
        )
        queries = found.intermediate_hidden_states[-1]
        masks = net.mask_decoder(
            decoder_queries=queries,
            backbone_features=pyramid,
            encoder_hidden_states=encoded,
            prompt_features=words,
        ).pred_masks
        scores = net.dot_product_scoring(queries[None], words)[0, ..., 0]
        return masks, scores, found.presence_logits[-1]


def _facts(name: str, vision: Any, pretraining: str, with_head: bool) -> Facts:
    patch = vision.backbone_config.patch_size
    facts = facts_of_sam(name, HOMEPAGE, pretraining, vision.image_size, patch, "text")
    licence = facts.licence if pretraining == UNKNOWN else LICENCE
    prompts: tuple[Prompt, ...] = ("text", *(PROMPTS if with_head else ()))
    return dataclasses.replace(facts, licence=licence, prompts=prompts)


def load(order: Order) -> Sam3:
    """Build SAM 3 from the hub, from a folder, or at random.

    Raises:
        UserError: the weights are not on this machine and the hub does not give them, or the folder
            holds something else, or no words are given, or too many.
    """
    order.refuse_classes()
    prompt = order.choose_prompt(("text", *PROMPTS), "text")
    named = order.name == NAME
    pretraining = (f"{SACO} {TUNED}" if named else UNKNOWN) if order.path else SACO
    if order.random_weights and not order.path:
        text = order.text or ANYTHING
        return Sam3(*random_networks(), None, order.name, prompt, text, pretraining)
    folder = order.path or fetch(REPOSITORY, NAME, f"--backbone {NAME} --weights FOLDER")
    net, head = read_networks(folder, own=order.path is not None)
    if prompt != "text" and head is None:
        raise UserError(
            f"{folder} holds SAM 3's detector without its tracker, which --prompt {prompt} is for. "
            "Leave the option out (it is asked by words then), or take a whole folder of "
            f"{REPOSITORY.repo}."
        )
    tokenizer = read_tokenizer(folder)
    return Sam3(net, head, tokenizer, order.name, prompt, order.text, pretraining)


FAMILY = Family(
    title="SAM 3 on single images",
    pattern="",
    published={
        NAME: published(
            *(REPOSITORY, PARAMETERS, 14, HOMEPAGE, SACO), size=1008, licence=LICENCE, gated=GATED
        )
    },
    takes=lambda name: model_type(name) in (*TYPES, *RELATIVES),
    load=load,
)
