"""Scores -> selection: keep the top K input connections of every neuron (GPS, sec. 3.2, fig. 2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError
from gpsseg.gps.neurons import as_rows
from gpsseg.gps.score import Scores


@dataclass(frozen=True)
class Selection:
    """What trains; all else is frozen. A value: no method changes it.

    Attributes:
        indices: weight name -> int32 (n,), ascending flat positions of its selected entries.
        shapes: weight name -> the whole weight's shape, for each name in ``indices``.
        dense: names of parameters that train whole (biases, a dense decoder).
    """

    indices: dict[str, Tensor]
    shapes: dict[str, tuple[int, ...]]
    dense: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 over names, shapes, positions and dense names: equal means the same selection."""
        digest = hashlib.sha256(json.dumps(sorted(self.dense)).encode())
        for name in sorted(self.indices):
            digest.update(json.dumps([name, self.shapes[name]]).encode())
            digest.update(self.indices[name].cpu().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the selection as safetensors, one int32 tensor per weight."""
        from safetensors.torch import save_file

        metadata = {"shapes": json.dumps(self.shapes), "dense": json.dumps(self.dense)}
        save_file({name: index.cpu() for name, index in self.indices.items()}, path, metadata)

    @classmethod
    def load(cls, path: Path) -> Selection:
        """Read what ``save`` wrote."""
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            indices = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(shape) for name, shape in json.loads(metadata["shapes"]).items()}
        return cls(indices, shapes, tuple(json.loads(metadata["dense"])))


def select(model: nn.Module, scores: Scores, top_k: Mapping[str, int]) -> Selection:
    """Keep, for every neuron, the ``top_k`` inputs with the highest score.

    Args:
        model: the network whose weights were scored (only its layers' shapes are read).
        scores: from ``score``; a weight without gradient is left out.
        top_k: weight name -> K. A neuron with fewer than K inputs keeps them all.

    Returns:
        A selection with ``min(K, inputs)`` entries per neuron of each scored weight.

    Raises:
        UserError: K is below 1, or larger than every neuron it was asked for.
    """
    check_top_k(model, top_k)
    chosen = {name: scores.values[name] for name in top_k if name in scores.values}
    indices = {}
    for name, value in chosen.items():
        row = as_rows(value, _owner(model, name))
        positions = torch.arange(value.numel(), device=value.device).view(value.shape)
        best = row.topk(min(top_k[name], row.shape[1]), dim=1, sorted=False).indices
        flat = as_rows(positions, _owner(model, name)).gather(1, best).flatten()
        indices[name] = flat.sort().values.int()
    return Selection(indices, {name: tuple(value.shape) for name, value in chosen.items()})


def check_top_k(model: nn.Module, top_k: Mapping[str, int]) -> None:
    """Refuse an impossible K before anything is scored.

    Raises:
        UserError: K is below 1, or larger than every neuron it is asked for.
    """
    widths: dict[int, int] = {}
    for name, k in top_k.items():
        width = as_rows(model.get_parameter(name), _owner(model, name)).shape[1]
        widths[k] = max(width, widths.get(k, 0))
    for k, widest in widths.items():
        if not 1 <= k <= widest:
            raise UserError(
                f"K = {k} input connections per neuron were asked for, but the widest neuron has "
                f"{widest}. Choose K between 1 and {widest}; the paper uses 1."
            )


def _owner(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])
