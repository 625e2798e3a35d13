"""SSF: scale and shift the features after every layer (Lian et al. 2022)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ScaleShift(nn.Module):
    """``scale * y + shift`` per channel; the identity to begin with.

    Args:
        channels: of y.
        first: numbers of axes of a y whose channels are the second, (B, C, ...); of any other y
            they are the last.
    """

    def __init__(self, channels: int, first: Sequence[int]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.first = tuple(first)

    def forward(self, y: Tensor) -> Tensor:
        """Scale and shift y, of any dtype."""
        shape = (-1, *(1,) * (y.dim() - 2)) if y.dim() in self.first else (-1,)
        return y * self.scale.to(y.dtype).view(shape) + self.shift.to(y.dtype).view(shape)


def add_ssf(model: nn.Module, names: Sequence[str], blocks: Sequence[nn.Module], rank: int) -> None:
    """Scale and shift what every linear layer, convolution and normalisation gives."""
    layers = dict.fromkeys(n.rpartition(".")[0] for n in names if n.rpartition(".")[2] == "weight")
    for name in layers:
        layer = model.get_submodule(name)
        if isinstance(layer, nn.Embedding | nn.MultiheadAttention):
            continue  # the first is looked up, the second uses its weights without calling a layer
        assert isinstance(layer.weight, Tensor)
        outputs = getattr(layer, "out_channels", len(layer.weight))
        layer.add_module("ssf", ScaleShift(outputs, channels_first(layer)).to(layer.weight))
        layer.register_forward_hook(scale_and_shift)


@torch.no_grad()
def channels_first(layer: nn.Module) -> list[int]:
    """How many axes the inputs have whose channels a layer takes to be the second axis.

    Linear layers take none, convolutions all. Normalisations, of which there are many makes, are
    tried out on inputs whose other axes are of another length.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if weight.dim() > 1:
        return [] if isinstance(layer, nn.Linear) else [3, 4, 5]
    other, training, found = 2 if len(weight) != 2 else 3, layer.training, []
    layer.eval()
    for axes in (3, 4, 5):
        with contextlib.suppress(RuntimeError, ValueError, AssertionError):
            layer(weight.new_zeros(1, len(weight), *(other,) * (axes - 2)))
            found.append(axes)
    layer.train(training)
    return found


def scale_and_shift(layer: Any, inputs: Any, output: Tensor) -> Tensor:
    """What a layer's hook does with its output (B, ...)."""
    return layer.ssf(output)
