"""How large the inputs of every layer are: what a criterion without gradients adds up.

FPS (arXiv 2510.27359) scores a weight by its magnitude times the mean magnitude of its input, which
forward passes alone can tell: no gradient is formed, and one number per input channel is held.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.gps.neurons import CONVOLUTIONS, TRANSPOSED, owner


@contextmanager
def inputs_go_to(
    totals: dict[str, Tensor], model: nn.Module, weights: Sequence[str]
) -> Iterator[None]:
    """Add up, of every call of every layer, its inputs' mean magnitudes.

    Args:
        totals: weight name -> float32 (channels,) as in ``no_input``, which goes on growing. The
            inputs of embeddings are choices, and a joint projection of an attention is no layer:
            these weights have 1 each time the network is called.
        model: the network.
        weights: names of the weights.
    """

    def add(name: str, seen: Tensor) -> None:
        totals[name] = totals[name].add_(seen) if name in totals else seen

    def see(layer: nn.Module, args: tuple[Any, ...], *, name: str) -> None:
        axis = _channel_axis(layer)
        size = args[0].detach().float().abs()
        others = [i for i in range(size.dim()) if i != size.dim() + axis]
        add(name, size.mean(others) if others else size)

    def see_call(_: nn.Module, args: tuple[Any, ...], *, name: str) -> None:
        add(name, torch.ones(1, device=model.get_parameter(name).device))

    hooks = []
    for name in weights:
        layer = owner(model, name)
        plain = _channel_axis(layer) != 0
        hook = functools.partial(see if plain else see_call, name=name)
        hooks.append((layer if plain else model).register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def no_input(layer: nn.Module) -> Tensor:
    """Zeros: float32 (input channels,), or (1,) of a layer whose inputs are not looked at."""
    if isinstance(layer, nn.Linear):
        return torch.zeros(layer.in_features)
    if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return torch.zeros(layer.in_channels)
    return torch.zeros(1)


def over_weight(total: Tensor, weight: Tensor, layer: nn.Module) -> Tensor:
    """Arrange a number per input channel, float (channels,), to the shape of the layer's weight."""
    axis = _channel_axis(layer)
    if axis in (0, -1):
        return total.expand(weight.shape)
    ones = (1,) * (weight.dim() - 2)
    if isinstance(layer, TRANSPOSED):
        return total.view(-1, 1, *ones).expand(weight.shape)
    groups = layer.groups
    assert isinstance(groups, int)
    rows = total.view(groups, 1, -1).expand(groups, weight.shape[0] // groups, -1)
    return rows.reshape(weight.shape[0], -1, *ones).expand(weight.shape)


def _channel_axis(layer: nn.Module) -> int:
    """Which axis of a layer's input its channels are on, from the end; 0 if it is not looked at."""
    if isinstance(layer, nn.Linear):
        return -1
    if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return 1 - layer.weight.dim()
    return 0
