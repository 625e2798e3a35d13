"""Two-dimensional networks of MONAI: ``monai:SwinUNETR`` and ``monai:DynUNet`` (nnU-Net's).

No weights are published for them in this form: they start from random weights, or from a checkpoint
of your own (``--weights``), as the default settings below build them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from gpsseg.backbones.attention import lighten
from gpsseg.backbones.base import HALF, UNET_OWN_RATES, UNET_RATES, Backbone, Facts, repeated_blocks
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.weights import fill_weights, read_checkpoint
from gpsseg.errors import UserError, look_up

PREFIX = "monai:"
DEPTH = 6  # resolutions of DynUNet


@dataclass(frozen=True)
class Network:
    """How one of MONAI's networks is built.

    Attributes:
        build: classes -> the network, from 3 channels to so many.
        encoder: its children that make the encoder; all others are the decoder.
    """

    build: Callable[[int], nn.Module]
    encoder: tuple[str, ...]


def swin_unetr(classes: int, **settings: Any) -> nn.Module:
    """A Swin transformer with a convolutional decoder (Hatamizadeh et al., 2022), 6.3 M in 2-D.

    Raises:
        UserError: einops, which MONAI needs for it, is not installed.
    """
    if find_spec("einops") is None:
        raise UserError("monai:SwinUNETR needs einops, which is missing. Run: pip install einops")
    from monai.networks.nets.swin_unetr import SwinUNETR, WindowAttention

    net = SwinUNETR(in_channels=3, out_channels=classes, spatial_dims=2, **settings)
    lighten(layer for layer in net.modules() if isinstance(layer, WindowAttention))
    return net


def dyn_unet(classes: int, **settings: Any) -> nn.Module:
    """nnU-Net's network (Isensee et al., 2021) with six resolutions."""
    from monai.networks.nets import DynUNet

    strides = [1] + [2] * (DEPTH - 1)
    return DynUNet(2, 3, classes, [3] * DEPTH, strides, strides[1:], **settings)


NETWORKS: Mapping[str, Network] = {
    "SwinUNETR": Network(swin_unetr, ("swinViT",)),
    "DynUNet": Network(dyn_unet, ("input_block", "downsamples", "bottleneck")),
}


class MonaiNet(Backbone):
    """A network of MONAI.

    Args:
        net: the network; its logits have the images' size.
        encoder: names of its children that make the encoder.
        facts: see ``Facts``.
    """

    def __init__(self, net: nn.Module, encoder: Sequence[str], facts: Facts) -> None:
        super().__init__()
        self.net, self.encoder, self.facts = net, tuple(encoder), facts
        self.statistics = HALF

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The encoder's children, and all others."""
        children = dict(self.net.named_children())
        children.pop("skip_layers", None)  # DynUNet's other view of the same layers
        first = [child for name, child in children.items() if name in self.encoder]
        others = [child for name, child in children.items() if name not in self.encoder]
        return {"encoder": nn.ModuleList(first), "decoder": nn.ModuleList(others)}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """What encoder and decoder repeat."""
        return [block for part in self.parts.values() for block in repeated_blocks(part)]

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``. Images are mapped to -1..1."""
        return self.net(self.admitted(image, prompt))


def load(order: Order) -> MonaiNet:
    """Build a network of MONAI.

    Raises:
        UserError: it is not one that gpsseg knows, or no weights were named.
    """
    order.choose_prompt(("none",), "none")
    network = look_up(order.name.removeprefix(PREFIX), NETWORKS, "network of MONAI")
    net = network.build(order.classes)
    if order.path:
        what = f"a checkpoint of {order.name}"
        fill_weights(net, read_checkpoint(order.path), order.path, what, reader="monai")
    elif not order.random_weights:
        raise UserError(
            f"No weights are published for {order.name}. Pass your own with --weights FILE, or "
            "start from random ones with --weights random."
        )
    own = "A checkpoint of the user's own; its training is not known."
    return MonaiNet(
        net,
        network.encoder,
        Facts(
            name=order.name,
            licence="Apache-2.0 (network)",
            homepage="https://github.com/Project-MONAI/MONAI",
            pretraining=own if order.path else "None: random weights.",
            image_size=256,
            image_multiple=32,
            prompt="none",
            batch_size=4,
            batch_size_on_gpu=8,
            learning_rates=UNET_RATES,
            own_rates=UNET_OWN_RATES,
            scratch=frozenset() if order.path else frozenset({"encoder", "decoder"}),
        ),
    )


FAMILY = Family(
    title="MONAI networks in 2-D",
    pattern=" or ".join(f"{PREFIX}{name}" for name in NETWORKS),
    published={},
    takes=lambda name: name.startswith(PREFIX),
    load=load,
)
