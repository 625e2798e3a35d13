"""The resume point of a training: written after every epoch, read by ``finetune --resume``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.engine.optimizer import BORN
from gpsseg.errors import UserError
from gpsseg.files import save_tensors
from gpsseg.gps.tensorfile import listed, read_tensors
from gpsseg.writing import make_folder

NONE: Mapping[str, Tensor] = MappingProxyType({})
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


def save_state(
    path: Path,
    trained: Mapping[str, nn.Parameter],
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
    more: Mapping[str, Tensor] = NONE,
) -> None:
    """Write trained values, the best epoch's values, AdamW's moments and ``progress``, atomically.

    Args:
        path: a safetensors file; its folder is created.
        trained: parameter name -> parameter, as it is now.
        best: parameter name -> its value after the best epoch.
        optimizer: AdamW over ``trained``.
        progress: anything JSON can hold.
        more: further tensors, by names that the others do not have.
    """
    tensors = {f"now/{name}": parameter.detach() for name, parameter in trained.items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for name, parameter in trained.items():
        state = optimizer.state[parameter]
        tensors |= {f"{key}/{name}": state[key] for key in (*MOMENTS, BORN) if key in state}
    tensors |= more
    make_folder(path.parent)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(path, tensors, {"progress": json.dumps(progress)})


@torch.no_grad()
def load_state(
    path: Path,
    trained: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put parameters and optimiser back to where ``save_state`` saw them.

    Args:
        path: of the resume point.
        trained: parameter name -> parameter.
        optimizer: AdamW over these.
        kept: name -> shape of what ``best`` holds, where that is not of what trains.

    Returns:
        ``best`` and ``progress``.

    Raises:
        UserError: the file is missing, damaged or belongs to another selection. Nothing was
            changed.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: the run ended before its first epoch did.")
    tensors, metadata = read_tensors(path, "resume point")
    progress: dict[str, Any] = listed(metadata, "progress", path, dict)
    if {name for name in tensors if name.startswith("now/")} != {f"now/{n}" for n in trained}:
        raise UserError(f"{path} belongs to another selection. Start the run again.")
    kept = {name: tuple(p.shape) for name, p in trained.items()} if kept is None else kept
    if fault := _progress_fault(progress) or _state_fault(tensors, trained, kept):
        raise UserError(f"{path}: {fault}. Start the run again.")
    for name, parameter in trained.items():
        parameter.copy_(tensors[f"now/{name}"])
        keys = [key for key in (*MOMENTS, BORN) if f"{key}/{name}" in tensors]
        moments = {key: tensors[f"{key}/{name}"] for key in keys}
        if moments:
            optimizer.state[parameter] = moments
    optimizer.load_state_dict(optimizer.state_dict())  # puts each where its optimiser wants it
    device = next((p.device for p in trained.values()), torch.device("cpu"))
    best = {name: tensors[f"best/{name}"].to(device) for name in kept}
    return best, progress


def _progress_fault(progress: Mapping[str, Any]) -> str:
    """What is wrong with the notes of a resume point, or an empty string."""
    history = progress.get("history")
    epochs = history.get("epochs") if isinstance(history, dict) else None
    if not isinstance(epochs, list) or not all(isinstance(row, dict) for row in epochs):
        return "its history is damaged, expected the list of the epochs"
    counts = {"updates": progress.get("updates", 0)}
    refresh = progress.get("refresh", {})  # of a run that selects anew
    counts |= refresh if isinstance(refresh, dict) else {"refresh": refresh}
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            return f"{name} is {str(count)[:80]}, expected a whole number"
    return ""


def _state_fault(
    tensors: Mapping[str, Tensor],
    trained: Mapping[str, nn.Parameter],
    kept: Mapping[str, tuple[int, ...]],
) -> str:
    """What is wrong with the tensors of a resume point, or an empty string."""
    for name, best in kept.items():
        if f"best/{name}" not in tensors:
            return f"it lacks the best values of {name}"
        if fault := fault_of(tensors, f"best/{name}", best):
            return fault
    for name, parameter in trained.items():
        found = [key for key in MOMENTS if f"{key}/{name}" in tensors]
        if found and len(found) < len(MOMENTS):
            return f"of {name} it has {', '.join(found)}, expected {', '.join(MOMENTS)}"
        if f"{BORN}/{name}" in tensors:
            found.append(BORN)
        for key in ("now", *found):
            shape = () if key == "step" else tuple(parameter.shape)
            if fault := fault_of(tensors, f"{key}/{name}", shape, key == "now"):
                return fault
    return ""


def fault_of(
    tensors: Mapping[str, Tensor], key: str, shape: tuple[int, ...], finite: bool = True
) -> str:
    """What is wrong with one of them, or an empty string."""
    tensor = tensors[key]
    if tuple(tensor.shape) != shape or not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        return f"{key} is {kind} {tuple(tensor.shape)}, expected floats {shape}"
    if finite and not bool(torch.isfinite(tensor).all()):
        return f"{key} holds NaN or infinity, expected numbers"
    return ""
