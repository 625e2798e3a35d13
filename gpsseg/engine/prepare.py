"""What is done to a network before it trains: modes, precision, memory."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gpsseg.backbones import Backbone
from gpsseg.backbones.base import tuning_mode as tuning_mode
from gpsseg.device import drawn_again
from gpsseg.engine.machine import Machine
from gpsseg.gps.backward import SelectedConvolution
from gpsseg.gps.sparse import FORWARDS


def prepare(backbone: Backbone, machine: Machine, checkpointed: bool) -> None:
    """Make a plain network ready to train on a machine, in place.

    Args:
        backbone: plain.
        machine: where it will train.
        checkpointed: whether to trade time for memory, see ``checkpoint_activations``.
    """
    if checkpointed:
        checkpoint_activations(backbone)
    depthwise_in_float32(backbone, machine)


def let_go(model: nn.Module) -> None:
    """Undo what was replaced in a copy that nobody needs any more: its memory is free at once.

    A layer whose forward pass was replaced refers to itself, and would stay for a while.
    """
    for layer in model.modules():
        layer.__dict__.pop("forward", None)


def gradient_bytes(model: nn.Module) -> int:
    """What each of several processes sends and gets of gradients in a step.

    These are of everything that trains and of nothing else: a weight of which entries are selected
    is a buffer, and only its values are a parameter.
    """
    trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
    return sum(parameter.numel() * parameter.element_size() for parameter in trained)


def depthwise_in_float32(model: nn.Module, machine: Machine) -> None:
    """Where a CPU trains in bf16, compute depthwise convolutions in float32, in place.

    Their backward pass in bf16 takes 3 to 12 times as long as in float32 (torch 2.14).
    """
    if machine.precision != "bf16" or machine.device.type != "cpu":
        return
    for layer in model.modules():
        if _is_depthwise(layer):
            layer.forward = functools.partial(_in_float32, layer)


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def _in_float32(layer: Any, x: Tensor) -> Tensor:
    """A layer's forward pass outside of autocast, where a backward pass is to follow.

    That keeps the input as it came and no copy in float32, unless the layer has its own ways.
    """
    forward = type(layer).forward  # asked for now: sparsify changes the class
    if not (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
        return forward(layer, x)
    usual = x.dim() == 4 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    with torch.autocast("cpu", enabled=False):
        if type(layer) is nn.Conv2d and usual:
            y = _convolved(layer, x)
        else:
            y = forward(layer, x if forward in FORWARDS.values() and usual else x.float())
    return y.to(torch.get_autocast_dtype("cpu"))


def _convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What the layer computes, by what computes it where some entries train, and here all do."""
    weight, none = layer.weight, torch.empty(0, dtype=torch.long)
    settings = (layer.stride, layer.padding, layer.dilation, False, (0, 0), layer.groups)
    return SelectedConvolution.apply(
        x, weight.detach(), layer.bias, weight.flatten(), none, None, settings
    )


def checkpoint_activations(backbone: Backbone) -> None:
    """Keep only the input of each of the backbone's blocks, and compute the rest again."""
    for block in backbone.blocks:
        block.forward = functools.partial(
            checkpoint, block.forward, use_reentrant=False, context_fn=drawn_again
        )
