"""Layers that train only the selected entries of a weight.

``sparsify`` turns each selected weight into a frozen buffer and a 1-D parameter of its selected
values, so that gradient, optimiser and state hold these values and nothing else. The values are
written into the buffer before each use: the forward pass is the plain layer on a plain weight, and
``merge`` only has to give the weight back.

Linear layers and convolutions have backward passes of their own (``backward.py``). Any other layer
reads its weight as before, and its entries' gradients are picked from the dense one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.device import in_bf16
from gpsseg.errors import UserError
from gpsseg.gps.backward import SelectedConvolution, SelectedEntries, SelectedLinear, plan
from gpsseg.gps.frozen import freeze_norms, unfreeze_norms
from gpsseg.gps.halves import joined, split
from gpsseg.gps.neurons import CONVOLUTIONS, TRANSPOSED
from gpsseg.gps.select import Selection

HALVES = ("upper", "lower", "down")  # what ``split`` gives


def sparsify(model: nn.Module, selection: Selection, halves: bool = False) -> None:
    """Make ``model`` train exactly what ``selection`` says, in place; freeze everything else.

    Args:
        model: plain.
        selection: what trains.
        halves: whether it will compute in bfloat16 by autocast, and need no more casts then. What
            is trained and merged is the same.

    Raises:
        UserError: the selection is for another network (a name, shape or index does not fit), or
            the model is sparse already.
    """
    check_selection(model, selection)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in selection.dense:
        model.get_parameter(name).requires_grad_(True)
    for name, index in selection.indices.items():
        owner, _, attribute = name.rpartition(".")
        _make_sparse(model.get_submodule(owner), attribute, index, halves)
    freeze_norms(model)


def merge(model: nn.Module) -> None:
    """Undo ``sparsify`` in place: plain layers again, whose weights hold the trained values."""
    unfreeze_norms(model)
    for _, layer in list(sparse_layers(model)):
        names = layer.selected_names
        weights = [whole_weight(layer, name) for name in names]
        layer.__class__ = layer.dense_class
        for name, weight in zip(names, weights, strict=True):
            del layer._parameters[f"{name}_values"]
            layer._buffers.pop(name, None)
            for kind in ("index", "channels", "gather", *HALVES):
                layer._buffers.pop(f"{name}_{kind}", None)
            layer.register_parameter(name, nn.Parameter(weight, requires_grad=False))


def sparse_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield ``(name, layer)`` for every layer that ``sparsify`` changed."""
    for name, module in model.named_modules():
        if hasattr(type(module), "selected_names"):
            yield name, module


def with_dense_gradient(model: nn.Module) -> list[str]:
    """Return the sparse weights whose backward pass still forms the dense gradient.

    These are embeddings, bare parameters, and layers whose forward pass is their own.
    """
    return [
        f"{prefix}.{name}".lstrip(".")
        for prefix, layer in sparse_layers(model)
        for name in layer.selected_names
        if f"{name}_gather" not in layer._buffers
    ]


def whole_weight(layer: Any, name: str) -> Tensor:
    """A layer's weight with its trained values, (out, in, ...), as it is without ``sparsify``."""
    held = layer._buffers
    whole = held.get(name)
    if whole is None:
        whole = joined(*(held[f"{name}_{half}"] for half in HALVES))
    return _with_values(whole, layer, name)


def _with_values(weight: Tensor, layer: Any, name: str) -> Tensor:
    """Write a layer's trained values into a frozen weight, and return that.

    Every forward pass does so: it costs microseconds, and nothing has to watch the optimiser. The
    write goes around autograd's version counter, because writing the same values again (layers
    used twice, recomputed activations) does not invalidate what backward needs.
    """
    values = layer._parameters[f"{name}_values"].data
    index = layer._buffers[f"{name}_index"]
    weight.data.view(-1).index_copy_(0, index, values.to(weight.dtype))
    return weight


def check_selection(model: nn.Module, selection: Selection) -> None:
    """Refuse a selection of another network.

    Raises:
        UserError: a name, a shape or a position does not fit.
    """
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


def _make_sparse(layer: Any, name: str, index: Tensor, halves: bool) -> None:
    weight = layer._parameters.pop(name)
    assert weight is not None
    flat = weight.detach().reshape(-1)
    index = index.to(weight.device, torch.long)
    layer.register_buffer(f"{name}_index", index, persistent=False)
    layer.register_parameter(f"{name}_values", nn.Parameter(flat[index].clone()))
    dense_class = getattr(type(layer), "dense_class", type(layer))
    if name == "weight" and dense_class.forward in FORWARDS:
        groups, transposed = getattr(layer, "groups", 1), getattr(layer, "transposed", False)
        channels, gather = plan(index, weight.shape, groups, transposed)
        layer.register_buffer(f"{name}_channels", channels, persistent=False)
        layer.register_buffer(f"{name}_gather", gather, persistent=False)
    # Weights of grouped convolutions are small; a CPU computes with them in float32.
    own_backward = f"{name}_gather" in layer._buffers and getattr(layer, "groups", 1) == 1
    if halves and own_backward and weight.dtype == torch.float32:
        for half, tensor in zip(HALVES, split(flat.view(weight.shape)), strict=True):
            layer.register_buffer(f"{name}_{half}", tensor, persistent=False)
    else:
        layer.register_buffer(name, flat.view(weight.shape))
    before = getattr(type(layer), "selected_names", ())
    layer.__class__ = _sparse_class(dense_class, (*before, name))  # type: ignore[arg-type]


@functools.cache
def _sparse_class(dense_class: Any, names: tuple[str, ...]) -> Any:
    """Return the subclass of ``dense_class`` in which the weights ``names`` are sparse."""
    members: dict[str, Any] = {
        name: property(functools.partial(_read, name=name)) for name in names
    }
    members |= {"selected_names": names, "dense_class": dense_class, "__reduce_ex__": _reduce}
    if names == ("weight",) and dense_class.forward in FORWARDS:
        members["forward"] = FORWARDS[dense_class.forward]
    return type(f"Sparse{dense_class.__name__}", (dense_class,), members)


def _reduce(layer: Any, protocol: int) -> tuple[Any, ...]:
    """Copy and pickle by the dense class and the names; the sparse class itself has no address."""
    return _blank, (layer.dense_class, layer.selected_names), layer.__dict__


def _blank(dense_class: Any, names: tuple[str, ...]) -> Any:
    sparse = _sparse_class(dense_class, names)
    return sparse.__new__(sparse)


def _read(layer: Any, name: str) -> Tensor:
    """What ``layer.weight`` answers: the whole weight, whose gradient flows to the values."""
    weight, index = whole_weight(layer, name), layer._buffers[f"{name}_index"]
    return SelectedEntries.apply(weight, layer._parameters[f"{name}_values"], index)


def _arguments(layer: Any, x: Tensor) -> tuple[Any, ...]:
    """Weight, bias, values and plan of a layer, after writing its values."""
    held = layer._buffers
    plan_ = (held["weight_channels"], held["weight_gather"])
    if "weight_upper" in held and in_bf16(x.device.type):
        weight = _with_values(held["weight_upper"], layer, "weight")
    else:
        weight = whole_weight(layer, "weight")
    return weight, layer.bias, layer._parameters["weight_values"], *plan_


def _linear(layer: Any, x: Tensor) -> Tensor:
    return SelectedLinear.apply(x, *_arguments(layer, x))


def _convolution(layer: Any, x: Tensor) -> Tensor:
    if x.dim() != len(layer.kernel_size) + 2:  # a single image, without a batch
        return layer.dense_class.forward(layer, x)
    padding = layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
        padding = (0,) * len(layer.stride)
    settings = (layer.stride, padding, layer.dilation, False, layer.output_padding, layer.groups)
    return SelectedConvolution.apply(x, *_arguments(layer, x), settings)


def _transposed_convolution(
    layer: Any, x: Tensor, output_size: Sequence[int] | None = None
) -> Tensor:
    if x.dim() != len(layer.kernel_size) + 2:
        return layer.dense_class.forward(layer, x, output_size)
    same = (layer.stride, layer.padding)
    kernel, dims = layer.kernel_size, len(layer.kernel_size)
    extra = layer._output_padding(x, output_size, *same, kernel, dims, layer.dilation)
    settings = (*same, layer.dilation, True, extra, layer.groups)
    return SelectedConvolution.apply(x, *_arguments(layer, x), settings)


FORWARDS: Mapping[Callable[..., Tensor], Callable[..., Tensor]] = {
    nn.Linear.forward: _linear,
    **{layer.forward: _convolution for layer in CONVOLUTIONS},
    **{layer.forward: _transposed_convolution for layer in TRANSPOSED},
}
