"""Frozen batch normalisation that keeps nothing of its input for backward.

With frozen statistics and scale it is ``y = a x + b`` per channel, so the gradient of x is ``a dy``
and that of b the sum of dy: the input, which autograd would keep for the scale's, can go. In a
network of convolutions this is a fifth of all memory kept for backward.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose scale is frozen; the same output, bit for bit."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) by the running statistics, unless in training mode."""
        if self.training or self.running_mean is None:
            return super().forward(x)
        return _normalise(self, x)


class FrozenBatchNormAct2d(BatchNormAct2d):
    """The same for timm's batch normalisation, which is followed by an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) by the running statistics, unless in training mode; activate."""
        if self.training or self.running_mean is None:
            return super().forward(x)
        return self.act(self.drop(_normalise(self, x)))


def _normalise(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return _FrozenNorm.apply(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps
    )


class _FrozenNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(var, weight)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        var, weight = ctx.saved_tensors
        scale = (var + ctx.eps).rsqrt() * weight
        dx = dy * scale.to(dy.dtype)[:, None, None] if ctx.needs_input_grad[0] else None
        shift = dy.float().sum((0, 2, 3)) if ctx.needs_input_grad[4] else None
        return dx, None, None, None, shift, None


FROZEN: dict[type, type] = {
    nn.BatchNorm2d: FrozenBatchNorm2d,
    BatchNormAct2d: FrozenBatchNormAct2d,
}
PLAIN = {frozen: plain for plain, frozen in FROZEN.items()}


def freeze_norms(model: nn.Module) -> None:
    """Swap in the frozen class wherever the scale of a batch normalisation is frozen."""
    for module in model.modules():
        if type(module) in FROZEN and module.affine and not module.weight.requires_grad:
            module.__class__ = FROZEN[type(module)]


def unfreeze_norms(model: nn.Module) -> None:
    """Undo ``freeze_norms``."""
    for module in model.modules():
        if type(module) in PLAIN:
            module.__class__ = PLAIN[type(module)]
