"""SSF: scale and shift the features after every layer (Lian et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ScaleShift(nn.Module):
    """``scale * y + shift`` per channel; the identity to begin with.

    Args:
        channels: of y.
        last: whether the channels are y's last axis, (B, ..., C), rather than (B, C, ...).
    """

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        self.scale, self.shift = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )
        self.last = last

    def forward(self, y: Tensor) -> Tensor:
        """Scale and shift y, of any dtype."""
        shape = (-1,) if self.last else (-1, *(1,) * (y.dim() - 2))
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
        layer.add_module("ssf", ScaleShift(outputs, _channels_last(layer)).to(layer.weight))
        layer.register_forward_hook(_scale_and_shift)


def _channels_last(layer: nn.Module) -> bool:
    first = getattr(layer, "data_format", "") == "channels_first"  # transformers' LayerNorm
    return isinstance(layer, nn.Linear | nn.LayerNorm | nn.RMSNorm) and not first


def _scale_and_shift(layer: Any, inputs: Any, output: Tensor) -> Tensor:
    return layer.ssf(output)
