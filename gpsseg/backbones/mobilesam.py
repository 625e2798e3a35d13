"""MobileSAM (Zhang et al., 2023) and what has its tensors: a TinyViT under SAM's two decoders.

It is LiteMedSAM's network but for the first two convolutions, which here shrink the image to a
quarter of its side; so it takes images of 1024 pixels, normalised as SAM's are.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from gpsseg.backbones.base import IMAGENET, PROMPTS, Facts
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.litemedsam import TinyVitSam, tiny_net
from gpsseg.backbones.sam_kind import UNKNOWN, facts_of_sam, reader_of
from gpsseg.backbones.weights import fill_weights, read_checkpoint

SIZE = 1024
HOMEPAGE = "https://github.com/ChaoningZhang/MobileSAM"
SA1B = "Distilled from SAM on a hundredth of SA-1B's photographs; not known to hold medical images."
PUBLISHED_FILE = "mobile_sam.pt"
UNUSED = (
    "image_encoder.head.",
    "image_encoder.norm_head.",
)  # TinyViT's classifier: no mask sees it


class MobileSAM(TinyVitSam):
    """MobileSAM; its arguments are ``TinyVitSam``'s."""

    def __init__(self, net: Any, facts: Facts, classes: int = 1):
        super().__init__(net, facts, classes)
        self.statistics = IMAGENET


def mobile_net() -> Any:
    """MobileSAM's network with random weights."""
    net = tiny_net()
    first = net.image_encoder.patch_embed.seq
    for place in (0, 2):
        before = first[place].c
        first[place].c = nn.Conv2d(
            before.in_channels, before.out_channels, 3, stride=2, padding=1, bias=False
        )
    net.prompt_encoder.input_image_size = (SIZE, SIZE)
    return net


def load(order: Order) -> MobileSAM:
    """Build it from an original checkpoint; the classifier that some bring is left out.

    Raises:
        UserError: the checkpoint is another network's.
    """
    prompt = order.choose_prompt(PROMPTS, "none")
    assert order.path is not None  # there are no names to load it by
    tensors = read_checkpoint(order.path)
    net = mobile_net()
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(UNUSED)}
    fill_weights(net, own, order.path, "a MobileSAM checkpoint", reader="mobile")
    published = order.path.name == PUBLISHED_FILE
    pretraining = SA1B if published else UNKNOWN
    facts = facts_of_sam(order.name, HOMEPAGE, pretraining, SIZE, 0, prompt)
    return MobileSAM(net, facts, order.classes)


FAMILY = Family(
    title="MobileSAM",
    pattern="any MobileSAM checkpoint, such as mobile_sam.pt",
    published={},
    takes=lambda name: reader_of(name) == "mobile",
    load=load,
)
