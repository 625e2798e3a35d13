"""How a library's attention computes where a network trains in bfloat16."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from gpsseg.device import in_bf16

SOFTMAX = (torch.softmax, Tensor.softmax, nn.functional.softmax)


def lighten(layers: Iterable[nn.Module]) -> None:
    """Let attention layers take less memory where they train in bfloat16, in place.

    Their softmax gives what is multiplied next, bfloat16, and keeps this alone for its backward
    pass (``HalfSoftmax``). On a CPU they compute plain products: SAM's adds relative positions to
    its scores, and where these have a gradient torch has no fused kernel and takes the steps of
    one one by one. In float32 both are as fast; without a gradient fused is faster.

    Args:
        layers: which compute one softmax, of the scores, and multiply it. A fused one's parent
            class computes plain products.
    """
    for layer in layers:
        layer.forward = functools.partial(_attend, layer)


def _attend(layer: Any, *inputs: Any, **named: Any) -> Any:
    kind: Any = type(layer)
    x = next(each for each in (*inputs, *named.values()) if isinstance(each, Tensor))
    if not (in_bf16(x.device.type) and _has_gradient(layer, x)):
        return kind.forward(layer, *inputs, **named)
    if x.device.type == "cpu":
        kind = next(parent for parent in kind.__mro__ if nn.Module in parent.__bases__)
    with _HalvedSoftmax():
        return kind.forward(layer, *inputs, **named)


def _has_gradient(layer: nn.Module, x: Tensor) -> bool:
    trains = x.requires_grad or any(parameter.requires_grad for parameter in layer.parameters())
    return torch.is_grad_enabled() and trains


class HalfSoftmax(Function):
    """A softmax that gives bfloat16 and keeps nothing else for its backward pass.

    Sums are float32's. A library's own computes and keeps float32, of which the product that
    follows makes and keeps a copy in bfloat16: three times the memory.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        """Softmax of scores (..., keys), float32 or bfloat16, over the keys."""
        probabilities = torch.ops.aten._softmax(scores, -1, False).to(torch.bfloat16)
        ctx.save_for_backward(probabilities)
        return probabilities

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        """Of ``dy`` (..., keys), bfloat16: the gradient of the scores, which autograd casts."""
        (probabilities,) = ctx.saved_tensors
        return torch.ops.aten._softmax_backward_data(dy, probabilities, -1, torch.bfloat16)


class _HalvedSoftmax(TorchFunctionMode):
    """Within it a softmax over the last axis is a ``HalfSoftmax``, also one asked for float32.

    One asked for another dtype, or outside of autocast, stays what it is.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in SOFTMAX and args and _may_be_halved(*args, **named):
            return HalfSoftmax.apply(args[0])
        return func(*args, **named)


def _may_be_halved(scores: Tensor, *more: Any, **named: Any) -> bool:
    dim = named["dim"] if "dim" in named else more[0]
    asked = {each for each in (*more, *named.values()) if isinstance(each, torch.dtype)}
    last = dim in (-1, scores.dim() - 1) and named.get("out") is None
    known = scores.dtype in (torch.bfloat16, torch.float32)
    return last and known and asked <= {torch.float32} and in_bf16(scores.device.type)
