"""Which weights of a network are neurons, and how a weight tensor falls into rows of inputs.

GPS (Zhang et al., CVPR 2024) selects, for every *output neuron*, its top K *input connections*.
Here a neuron is one output channel of a linear or convolutional layer, or one vector of an
embedding; its inputs are everything that its output is a weighted sum of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTS: Mapping[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys((nn.Linear, nn.Embedding, *CONVOLUTIONS, *TRANSPOSED), ("weight",)),
    nn.MultiheadAttention: ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
}


def neuron_weights(model: nn.Module) -> list[str]:
    """Return the names of all weights that GPS may select from, in the network's order."""
    return _owned(model, lambda weight: weight)


def neuron_biases(model: nn.Module, shifts: bool = False) -> list[str]:
    """Return the names of the biases of the same layers.

    Args:
        model: any network.
        shifts: also those of batch normalisations. With frozen statistics these are the affine end
            of the convolution before them, which has no bias of its own: their shift is its bias.
    """
    biases = _owned(model, lambda weight: weight.replace("weight", "bias"))
    norms = [name for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]
    own = {name for name, _ in model.named_parameters()}
    found = (f"{name}.bias".lstrip(".") for name in norms if shifts)
    return biases + [name for name in found if name in own]


def _owned(model: nn.Module, attribute_of: Callable[[str], str]) -> list[str]:
    """Names of parameters, once each, by the type of the layers that hold them."""
    own = dict.fromkeys(name for name, _ in model.named_parameters())
    names = (
        f"{prefix}.{attribute_of(weight)}".lstrip(".")
        for prefix, module in model.named_modules()
        for type_, weights in WEIGHTS.items()
        if isinstance(module, type_)
        for weight in weights
    )
    return [name for name in dict.fromkeys(names) if name in own]


def as_rows(tensor: Tensor, layer: nn.Module) -> Tensor:
    """Arrange a tensor of a layer's weight shape as one row per neuron.

    Args:
        tensor: the weight, its scores or its flat positions; any dtype, the weight's shape.
        layer: the layer that owns the weight.

    Returns:
        (neurons, inputs): ``(out, in)`` for Linear, ``(out, in / groups * kh * kw)`` for a
        convolution, ``(vectors, dim)`` for an embedding. A transposed convolution stores
        ``(in, out / groups, kh, kw)``; its rows are output channels too.
    """
    if isinstance(layer, TRANSPOSED):
        groups = layer.groups
        inputs, outputs, *kernel = tensor.shape
        split = tensor.reshape(groups, inputs // groups, outputs, *kernel)
        return split.transpose(1, 2).reshape(groups * outputs, -1)
    return tensor.reshape(tensor.shape[0], -1)


def owner(model: nn.Module, name: str) -> nn.Module:
    """Return the layer that holds the parameter of this name."""
    return model.get_submodule(name.rpartition(".")[0])
