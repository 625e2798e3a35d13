"""Layers that train only the selected entries of a weight.

``sparsify`` turns each selected weight into a frozen buffer and a 1-D parameter of its selected
values, so that gradient, optimiser and state hold these values and nothing else. The values are
written into the buffer before each use: the forward pass is the plain layer on a plain weight, and
``merge`` only has to give the weight back.

For a linear layer ``y = x W^T`` the gradient of entry (i, j) is ``sum_t dy[t, i] * x[t, j]``: its
backward pass needs the *selected input channels* of x only, and never the dense gradient of W; a
1x1 convolution likewise. Selections concentrate on few channels, so little of x is kept. Every
other layer reads its weight through ``_Selected``, which gathers from the dense gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.errors import UserError
from gpsseg.gps.frozen import freeze_norms, unfreeze_norms
from gpsseg.gps.select import Selection


def sparsify(model: nn.Module, selection: Selection) -> None:
    """Make ``model`` train exactly what ``selection`` says, in place; freeze everything else.

    Raises:
        UserError: the selection is for another network (a name, shape or index does not fit), or
            the model is sparse already.
    """
    _check(model, selection)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in selection.dense:
        model.get_parameter(name).requires_grad_(True)
    for name, index in selection.indices.items():
        owner, _, attribute = name.rpartition(".")
        _make_sparse(model.get_submodule(owner), attribute, index)
    freeze_norms(model)


def merge(model: nn.Module) -> None:
    """Undo ``sparsify`` in place: plain layers again, whose weights hold the trained values."""
    unfreeze_norms(model)
    for _, layer in list(sparse_layers(model)):
        names = layer.selected_names
        for name in names:
            write_values(layer, name)
        layer.__class__ = layer.dense_class
        for name in names:
            weight = layer._buffers.pop(name)
            del layer._parameters[f"{name}_values"], layer._buffers[f"{name}_index"]
            layer.register_parameter(name, nn.Parameter(weight, requires_grad=False))


def sparse_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield ``(name, layer)`` for every layer that ``sparsify`` changed."""
    for name, module in model.named_modules():
        if hasattr(type(module), "selected_names"):
            yield name, module


def write_values(layer: Any, name: str) -> None:
    """Write a layer's trained values into its frozen weight.

    Every forward pass does so: it costs microseconds, and nothing has to watch the optimiser. The
    write goes around autograd's version counter, because writing the same values again (layers
    used twice, recomputed activations) does not invalidate what backward needs.
    """
    flat = layer._buffers[name].data.view(-1)
    values = layer._parameters[f"{name}_values"].data
    flat[layer._buffers[f"{name}_index"]] = values.to(flat.dtype)


def _check(model: nn.Module, selection: Selection) -> None:
    parameters = dict(model.named_parameters())
    wrong = "The selection was made for another network: "
    for name in selection.dense:
        if name not in parameters:
            raise UserError(f"{wrong}this one has no parameter {name}.")
    for name, index in selection.indices.items():
        if name not in parameters:
            raise UserError(f"{wrong}this one has no weight {name}.")
        parameter, shape = parameters[name], selection.shapes[name]
        if tuple(parameter.shape) != tuple(shape):
            raise UserError(f"{wrong}{name} is {tuple(parameter.shape)} here and {shape} there.")
        low, high = (int(index.min()), int(index.max())) if len(index) else (0, 0)
        if low < 0 or high >= parameter.numel():
            bad, last = low if low < 0 else high, parameter.numel() - 1
            raise UserError(f"{name}: selected position {bad} is outside the weight's 0..{last}.")
        if len(index.unique()) != len(index):
            raise UserError(f"{name}: the selection names a position twice. Select again.")


def _make_sparse(layer: Any, name: str, index: Tensor) -> None:
    weight = layer._parameters.pop(name)
    assert weight is not None
    flat = weight.detach().reshape(-1)
    index = index.to(weight.device, torch.long)
    layer.register_buffer(name, flat.view(weight.shape))
    layer.register_buffer(f"{name}_index", index, persistent=False)
    layer.register_parameter(f"{name}_values", nn.Parameter(flat[index].clone()))
    before = getattr(type(layer), "selected_names", ())
    dense_class = getattr(type(layer), "dense_class", type(layer))
    layer.__class__ = _sparse_class(dense_class, (*before, name))  # type: ignore[arg-type]


@functools.cache
def _sparse_class(dense_class: Any, names: tuple[str, ...]) -> Any:
    """Return the subclass of ``dense_class`` in which the weights ``names`` are sparse."""
    members: dict[str, Any] = {
        name: property(functools.partial(_read, name=name)) for name in names
    }
    members |= {"selected_names": names, "dense_class": dense_class, "__reduce_ex__": _reduce}
    if names == ("weight",) and dense_class.forward is nn.Linear.forward:
        members["forward"] = _linear_forward
    if names == ("weight",) and dense_class.forward is nn.Conv2d.forward:
        members["forward"] = _conv_forward
    return type(f"Sparse{dense_class.__name__}", (dense_class,), members)


def _reduce(layer: Any, protocol: int) -> tuple[Any, ...]:
    """Copy and pickle by the dense class and the names; the sparse class itself has no address."""
    return _blank, (layer.dense_class, layer.selected_names), layer.__dict__


def _blank(dense_class: Any, names: tuple[str, ...]) -> Any:
    sparse = _sparse_class(dense_class, names)
    return sparse.__new__(sparse)


def _read(layer: Any, name: str) -> Tensor:
    """What ``layer.weight`` answers: the whole weight, whose gradient flows to the values."""
    write_values(layer, name)
    weight, index = layer._buffers[name], layer._buffers[f"{name}_index"]
    return _Selected.apply(weight, layer._parameters[f"{name}_values"], index)


def _linear_forward(layer: Any, x: Tensor) -> Tensor:
    write_values(layer, "weight")
    buffers = layer._buffers
    return _SparseLinear.apply(
        x, buffers["weight"], layer.bias, layer.weight_values, buffers["weight_index"]
    )


def _conv_forward(layer: Any, x: Tensor) -> Tensor:
    """A 1x1 convolution is a linear layer over channels; others gather from the dense gradient."""
    pointwise = layer.kernel_size == layer.stride == (1, 1) and layer.groups == 1
    if not pointwise or layer.padding not in ((0, 0), "valid", "same"):
        return layer._conv_forward(x, layer.weight, layer.bias)
    write_values(layer, "weight")
    buffers = layer._buffers
    matrix = buffers["weight"].flatten(1)
    last = x.permute(0, 2, 3, 1)
    y = _SparseLinear.apply(last, matrix, layer.bias, layer.weight_values, buffers["weight_index"])
    return y.permute(0, 3, 1, 2)


class _Selected(torch.autograd.Function):
    """A frozen weight that already holds ``values``; backward gathers their gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        return None, gradient.reshape(-1)[index], None


class _SparseLinear(torch.autograd.Function):
    """``F.linear`` on a frozen weight that already holds ``values``.

    Keeps for backward only the input channels that some row selected; where these are more than
    half of all, keeping the input itself (which costs nothing new) is cheaper.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, values: Tensor, index: Tensor
    ) -> Tensor:
        y = F.linear(x, weight, bias)
        width = weight.shape[1]
        channels, slots = (index % width).unique(return_inverse=True)
        if 2 * len(channels) > width:
            kept, slots = x, index % width
        else:
            kept = x[..., channels].to(y.dtype)
        ctx.save_for_backward(kept, weight, index.div(width, rounding_mode="floor"), slots)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight, rows, slots = ctx.saved_tensors
        dx = db = dvalues = None
        flat = dy.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            dx = (flat @ weight.to(dy.dtype)).view(*dy.shape[:-1], -1)
        if ctx.needs_input_grad[2]:
            db = flat.sum(0)
        if ctx.needs_input_grad[3]:
            dvalues = (flat.T @ kept.flatten(0, -2).to(dy.dtype))[rows, slots]
        return dx, None, db, dvalues, None
