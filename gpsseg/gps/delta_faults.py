"""What is wrong with a delta, by itself and for a network, before anything is changed by it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from gpsseg.errors import name_text

Entries = tuple[Tensor, Tensor]


def own_fault(
    sparse: Mapping[str, Entries], dense: Mapping[str, Tensor], free: Collection[str]
) -> str:
    """Say what no network could be given, or return an empty string."""
    if not sparse and not dense:
        return "it holds no tensor, expected what a training changed"
    if both := sorted(set(sparse) & set(dense)):
        return f"{both[0]} is there as entries and whole, expected one of them"
    if missing := sorted(set(free) - set(dense)):
        return f"it lacks {missing[0]}, expected whole, as the base's values of it are random"
    for name, (indices, values) in sparse.items():
        if fault := _entries_fault(indices, values):
            return f"{name_text(name)}: {fault}"
    for name, tensor in dense.items():
        if fault := _values_fault(tensor):
            return f"{name_text(name)}: {fault}"
    return ""


def _entries_fault(indices: Tensor, values: Tensor) -> str:
    if indices.dtype not in (torch.int32, torch.int64):
        return f"its positions are {_kind(indices)}, expected int32"
    if indices.dim() != 1 or values.shape != indices.shape:
        got = f"positions {tuple(indices.shape)} and values {tuple(values.shape)}"
        return f"it has {got}, expected as many values as positions, (n,) both"
    if len(indices) and int(indices.min()) < 0:
        return f"position {int(indices.min())} is negative, expected 0 or more"
    if len(indices.unique()) != len(indices):
        return "it names a position twice, expected each once"
    return _values_fault(values)


def _values_fault(values: Tensor) -> str:
    if not values.is_floating_point():
        return f"its values are {_kind(values)}, expected floating-point numbers"
    if bad := int((~torch.isfinite(values.float())).sum()):
        return f"{bad} of its {values.numel()} values are NaN or infinite, expected numbers"
    return ""


def fault_for(
    model: nn.Module, sparse: Mapping[str, Entries], dense: Mapping[str, Tensor], strict: bool
) -> str:
    """Say what does not fit a network, or return an empty string.

    Args:
        model: to change.
        sparse: without a fault of its own.
        dense: the same.
        strict: whether a name that the network does not have is a fault; it is none as long as
            layers are still to be added.
    """
    parameters = dict(model.named_parameters())
    for name in (*sparse, *dense):
        if name not in parameters:
            if strict:
                return f"the network has no parameter {name_text(name)}"
            continue
        parameter = parameters[name]
        values = dense[name] if name in dense else sparse[name][1]
        if name in dense and values.shape != parameter.shape:
            return f"{name} is {tuple(values.shape)}, expected {tuple(parameter.shape)}"
        if name in sparse and len(values):
            last, highest = parameter.numel() - 1, int(sparse[name][0].max())
            if highest > last:
                return f"{name}: position {highest} is outside the weight, expected 0..{last}"
        if not parameter.is_floating_point():
            return f"{name} is {_kind(parameter)} in the network, expected floating-point numbers"
        if not bool(torch.isfinite(values.to(parameter.dtype)).all()):
            return f"{name}: a value is too large for {_kind(parameter)}, the network's numbers"
    return ""


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
