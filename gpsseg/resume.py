"""The resume point of a training: written after every epoch, read by ``finetune --resume``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError
from gpsseg.files import save_tensors

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


def save_state(
    path: Path,
    trained: Mapping[str, nn.Parameter],
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
) -> None:
    """Write trained values, the best epoch's values, AdamW's moments and ``progress``, atomically.

    Args:
        path: a safetensors file; its folder is created.
        trained: parameter name -> parameter, as it is now.
        best: parameter name -> its value after the best epoch.
        optimizer: AdamW over ``trained``.
        progress: anything JSON can hold.
    """
    tensors = {f"now/{name}": parameter.detach() for name, parameter in trained.items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for name, parameter in trained.items():
        state = optimizer.state[parameter]
        tensors |= {f"{key}/{name}": state[key] for key in MOMENTS if key in state}
    path.parent.mkdir(exist_ok=True)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(path, tensors, {"progress": json.dumps(progress)})


@torch.no_grad()
def load_state(
    path: Path, trained: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put parameters and optimiser back to where ``save_state`` saw them.

    Returns:
        ``best`` and ``progress``.

    Raises:
        UserError: the file is missing or belongs to another selection.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist: the run ended before its first epoch did.")
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if {name for name in tensors if name.startswith("now/")} != {f"now/{n}" for n in trained}:
        raise UserError(f"{path} belongs to another selection. Start the run again.")
    for name, parameter in trained.items():
        parameter.copy_(tensors[f"now/{name}"])
        moments = {key: tensors[f"{key}/{name}"] for key in MOMENTS if f"{key}/{name}" in tensors}
        if moments:
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device)
                for key, value in moments.items()
            }
    best = {name: tensors[f"best/{name}"].to(p.device) for name, p in trained.items()}
    return best, progress
