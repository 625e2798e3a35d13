"""The backward passes of layers that train selected entries only.

For a linear layer ``y = x W^T`` the gradient of entry (i, j) is ``sum_t dy[t, i] * x[t, j]``: it
needs the *selected input channels* of x and nothing else of it. Selections concentrate on few
channels, so little of x is kept and little is multiplied; a convolution is the same with a kernel
position beside the channel. The gradient of x needs the frozen weight alone.

``SelectedEntries`` is the general case: the dense gradient is formed, and the entries are picked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F


def plan(
    index: Tensor, shape: torch.Size, groups: int = 1, transposed: bool = False
) -> tuple[Tensor, Tensor]:
    """Say which input channels to keep for backward, and where the entries are among them.

    Args:
        index: (n,) int64 flat positions of the selected entries.
        shape: of the weight, (out, in / groups, *kernel); transposed (in, out / groups, *kernel).
        groups: of a convolution; with more than one, every input channel is kept.
        transposed: whether the weight is a transposed convolution's.

    Returns:
        ``channels``: (c,) int64 ascending input channels, or empty where it is as cheap to keep
        all. ``gather``: (n,) int64 flat positions in a gradient of ``shape`` with c in the place
        of in.
    """
    inputs = shape[0] if transposed else shape[1]
    inner = shape[int(not transposed) + 1 :].numel()
    channel = index // inner % inputs
    channels, slot = channel.unique(return_inverse=True)
    if groups > 1 or 2 * len(channels) > inputs:
        return index.new_empty(0), index
    row = index // (inner * inputs)
    return channels, (row * len(channels) + slot) * inner + index % inner


class SelectedEntries(Function):
    """A frozen weight that already holds ``values``; backward picks from its dense gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, values: Tensor, index: Tensor) -> Tensor:
        """The weight (out, ...) unchanged; ``index`` (n,) are the places of the n values in it."""
        ctx.save_for_backward(index)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the n values, (n,), out of the one of the weight; none of the rest."""
        (index,) = ctx.saved_tensors
        return None, gradient.take(index), None


class SelectedLinear(Function):
    """``F.linear`` on a frozen weight that already holds ``values``; see ``plan``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        values: Tensor,
        channels: Tensor,
        gather: Tensor,
    ) -> Tensor:
        """``x @ weight.T + bias``, (..., out); only columns with chosen entries are kept.

        Args:
            ctx: autograd's.
            x: (..., in).
            weight: (out, in).
            bias: (out,), or None.
            values: (n,), what trains: its gradient is asked for.
            channels: (c,) columns of ``x`` to keep; empty: all.
            gather: (n,) places of the values in (out, c).
        """
        y = F.linear(x, weight, bias)
        kept = x.index_select(-1, channels) if len(channels) else x
        ctx.save_for_backward(kept.to(y.dtype), weight, gather)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Of ``dy`` (..., out): the gradients of ``x``, ``bias`` and ``values``, if needed."""
        kept, weight, gather = ctx.saved_tensors
        dx = db = dvalues = None
        flat = dy.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            dx = (flat @ weight.to(dy.dtype)).view(*dy.shape[:-1], -1)
        if ctx.needs_input_grad[2]:
            db = flat.sum(0)
        if ctx.needs_input_grad[3]:
            small = kept.flatten(0, -2).T @ flat  # (c, out): twice as fast as its transpose
            dvalues = small.T.take(gather)
        return dx, None, db, dvalues, None, None


class SelectedConvolution(Function):
    """``torch.convolution`` on a frozen weight that already holds ``values``; see ``plan``.

    ``settings`` are its stride, padding, dilation, transposed, output padding and groups.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        values: Tensor,
        channels: Tensor,
        gather: Tensor | None,
        settings: tuple[Any, ...],
    ) -> Tensor:
        """A convolution (B, in, ...) -> (B, out, ...) that keeps the chosen input channels only.

        It computes in the wider dtype of the two, or autocast's, and keeps ``x`` as it came.

        Args:
            ctx: autograd's.
            x: (B, in, ...).
            weight: (out, in / groups, ...), or transposed (in, out / groups, ...).
            bias: (out,), or None.
            values: (n,), what trains: its gradient is asked for.
            channels: (c,) channels of ``x`` to keep; empty: all.
            gather: (n,) places of the values in the gradient of those channels' weight; None:
                they are all of it.
            settings: of ``torch.convolution``, from stride to groups.
        """
        dtype = torch.promote_types(x.dtype, weight.dtype)
        if torch.is_autocast_enabled(x.device.type):  # which does not know this function
            dtype = torch.get_autocast_dtype(x.device.type)
            x = x.to(dtype)
        y = torch.convolution(
            x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), *settings
        )
        kept = x
        if not ctx.needs_input_grad[3]:
            kept = x.new_empty(0)
        elif len(channels):  # channels last: convolutions prefer it
            kept = x.movedim(1, -1).index_select(-1, channels).movedim(-1, 1)
        ctx.save_for_backward(kept, weight, gather)
        ctx.settings, ctx.shape, ctx.layout = settings, x.shape, _memory_format(x)
        ctx.inputs_along = 0 if settings[3] else 1
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Of ``dy`` (B, out, ...): the gradients of ``x``, ``bias`` and ``values``, if needed."""
        kept, weight, gather = ctx.saved_tensors
        needs, settings = ctx.needs_input_grad, ctx.settings
        backward, biases = torch.ops.aten.convolution_backward, [dy.shape[1]]
        dvalues = None
        if needs[3]:  # first: what it takes is free again when there is a gradient of x, too
            shape = list(weight.shape)
            if kept.shape != ctx.shape:
                shape[ctx.inputs_along] = kept.shape[1]
            w = weight.new_empty(shape, dtype=dy.dtype)  # its shape is read, and nothing else
            _, dw, _ = backward(dy, kept.to(dy.dtype), w, None, *settings, [False, True, False])
            dvalues = dw.flatten() if gather is None else dw.take(gather)
        # Nor does the gradient of x depend on x: only its shape and layout are read.
        x = torch.empty(ctx.shape, dtype=dy.dtype, device=dy.device, memory_format=ctx.layout)
        dx, _, db = backward(
            dy, x, weight.to(dy.dtype), biases, *settings, [needs[0], False, needs[2]]
        )
        return dx, None, db, dvalues, None, None, None


def _memory_format(x: Tensor) -> torch.memory_format:
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    if x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d):
        return torch.channels_last_3d
    return torch.contiguous_format
