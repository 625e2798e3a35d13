"""Methods that train parameters which are there already, each of them whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

Roles = Mapping[str, str]
AttributesOf = Callable[[nn.Module], Sequence[str]]


def full(model: nn.Module, roles: Roles) -> list[str]:
    """Train every weight of encoder and decoder: full fine-tuning."""
    return [name for name, role in roles.items() if role != "prompt"]


def decoder(model: nn.Module, roles: Roles) -> list[str]:
    """Train the decoder only, as linear probing trains a classifier's head alone."""
    return [name for name, role in roles.items() if role == "decoder"]


def bias(model: nn.Module, roles: Roles) -> list[str]:
    """Train the biases of all layers, normalisation included (BitFit, Ben Zaken et al. 2022)."""
    return _of_layers(model, roles, lambda layer: ("bias",))


def norm(model: nn.Module, roles: Roles) -> list[str]:
    """Train scale and shift of the normalisation layers; running statistics stay frozen."""
    return _of_layers(model, roles, lambda layer: ("weight", "bias") if is_norm(layer) else ())


def is_norm(layer: nn.Module) -> bool:
    """Whether a layer scales its channels: of its own parameters, ``weight`` is a vector.

    Holds for every make of layer, batch, group and RMS normalisation, and for no other layer that
    the backbones have.
    """
    weight = layer._parameters.get("weight")
    return weight is not None and weight.dim() == 1 and not isinstance(layer, nn.PReLU)


def _of_layers(model: nn.Module, roles: Roles, attributes_of: AttributesOf) -> list[str]:
    """Names of the named parameters of every layer outside the prompt encoder."""
    names = [
        f"{prefix}.{attribute}".lstrip(".")
        for prefix, layer in model.named_modules()
        for attribute in attributes_of(layer)
        if layer._parameters.get(attribute) is not None
    ]
    return [name for name in names if roles.get(name, "prompt") != "prompt"]
