"""What a resume point holds besides where the selection is made anew: the selections themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gpsseg.engine.state import fault_of
from gpsseg.errors import UserError
from gpsseg.gps import Selection
from gpsseg.gps.sparse import check_selection
from gpsseg.gps.tensorfile import read_tensors

KINDS = ("selected", "union", "kept")  # now; ever so far; by the best epoch


def to_tensors(selections: Sequence[Selection], moved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a resume point.

    Args:
        selections: one of each of ``KINDS``.
        moved: weight name -> (n,) what the entries of the union are now.
    """
    tensors = {
        f"{kind}/{name}": index
        for kind, selection in zip(KINDS, selections, strict=True)
        for name, index in selection.indices.items()
    }
    return tensors | {f"moved/{name}": values for name, values in moved.items()}


def read_selections(
    path: Path, model: nn.Module, dense: tuple[str, ...]
) -> tuple[list[Selection], dict[str, Tensor]]:
    """Read what ``to_tensors`` made.

    Args:
        path: of the resume point.
        model: plain.
        dense: names of what trains whole.

    Returns:
        One selection of each of ``KINDS``, and what the entries of the union are.

    Raises:
        UserError: the file is damaged, or of another network.
    """
    tensors, _ = read_tensors(path, "resume point")
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    selections = []
    for kind in KINDS:
        start = f"{kind}/"
        found = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        for name, index in found.items():
            if index.dim() != 1 or index.dtype != torch.int32 or bool((index.diff() <= 0).any()):
                raise _damaged(path, f"{kind}/{name} is no list of ascending positions")
        of = {name: shapes.get(name, ()) for name in found}
        selections.append(Selection(found, of, dense))
        check_selection(model, selections[-1])
    union = selections[1].indices
    for kind, selection in zip(KINDS, selections, strict=True):
        for name, index in selection.indices.items():
            if name not in union or not bool(torch.isin(index, union[name]).all()):
                raise _damaged(path, f"{kind}/{name} has entries that union/{name} lacks")
    moved = {}
    for name, index in union.items():
        if f"moved/{name}" not in tensors:
            raise _damaged(path, f"it lacks moved/{name}")
        if fault := fault_of(tensors, f"moved/{name}", (len(index),)):
            raise _damaged(path, fault)
        moved[name] = tensors[f"moved/{name}"]
    return selections, moved


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path}: {fault}. Start the run again.")
