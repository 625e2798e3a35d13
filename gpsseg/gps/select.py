"""Scores -> selection: keep the top K input connections of every neuron (GPS)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError, name_text, shown
from gpsseg.files import save_tensors
from gpsseg.gps.neurons import as_rows, owner
from gpsseg.gps.tensorfile import listed, read_tensors

Level = Literal["neuron", "layer", "net"]


class AnyScores(Protocol):
    """Scores: ``gpsseg.gps.Scores``, or those of two rules, ``gpsseg.gps.Mixed``."""

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """Weights that have no scores."""

    def rows(self, name: str) -> Tensor:
        """Return one weight's scores: float (neurons, inputs), >= 0; higher matters more."""


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

    def save(self, path: Path, **facts: str) -> None:
        """Write the selection as safetensors, one int32 tensor per weight, and facts beside it."""
        metadata = {"shapes": json.dumps(self.shapes), "dense": json.dumps(self.dense), **facts}
        save_tensors(path, {name: index.cpu() for name, index in self.indices.items()}, metadata)

    @classmethod
    def load(cls, path: Path) -> Selection:
        """Read what ``save`` wrote.

        Raises:
            UserError: there is no such file, or it is damaged.
        """
        indices, metadata = read_tensors(path, "selection")
        dense = tuple(listed(metadata, "dense", path, list))
        shapes = listed(metadata, "shapes", path, dict)
        for name, index in indices.items():
            if index.dim() != 1 or index.dtype not in (torch.int32, torch.int64):
                kind = str(index.dtype).removeprefix("torch.")
                raise UserError(
                    f"{path}: {name_text(name)} is {kind} of shape {tuple(index.shape)}, "
                    "expected positions: int32 (n,). Select again."
                )
            if name in dense:
                raise UserError(
                    f"{path}: {name_text(name)} trains whole and by entries. Select again."
                )
        for name in indices.keys() | shapes.keys():
            shape = shapes.get(name)
            whole = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
            if not whole or name not in indices:
                raise UserError(
                    f"{path}: the shape of {name_text(name)} is {shown(shape)}, expected whole "
                    "numbers, and the positions to it. Select again."
                )
        return cls(indices, {name: tuple(shape) for name, shape in shapes.items()}, dense)


def select(
    model: nn.Module, scores: AnyScores, top_k: Mapping[str, int], level: Level = "neuron"
) -> Selection:
    """Keep the inputs with the highest score: for every neuron, its best ``top_k``.

    Args:
        model: the network whose weights were scored (only its layers' shapes are read).
        scores: from ``score``; a weight without gradient is left out.
        top_k: weight name -> K. A neuron with fewer than K inputs keeps them all.
        level: "neuron" is the paper's. "layer" spends what a layer's neurons may keep on the best
            entries of the layer, "net" all that may be kept on the best of the network.

    Returns:
        A selection with ``min(K, inputs)`` entries per neuron of each scored weight, at the other
        levels with as many in all.

    Raises:
        UserError: K is below 1, or larger than every neuron it was asked for.
    """
    check_top_k(model, top_k)
    left_out = set(scores.without_gradient)
    names = [name for name in top_k if name not in left_out]
    best = {name: _best(scores.rows(name), top_k[name], level) for name in names}
    if level == "net":
        best = _best_of_all(scores, best)
    return selection_at(model, best)


def selection_at(model: nn.Module, chosen: Mapping[str, Tensor]) -> Selection:
    """A selection of entries whose places are known.

    Args:
        model: whose weights they are of.
        chosen: weight name -> int64 (n,), positions among its flattened (neurons, inputs).
    """
    shapes = {name: tuple(model.get_parameter(name).shape) for name in chosen}
    indices = {}
    for name, places in chosen.items():
        positions = torch.arange(math.prod(shapes[name]), device=places.device)
        rows = as_rows(positions.view(shapes[name]), owner(model, name))
        indices[name] = rows.flatten()[places].sort().values.int()
    return Selection(indices, shapes)


def overlap(one: Selection, other: Selection) -> float:
    """Share of the entries of ``one`` that ``other`` has too, in [0, 1]."""
    common = 0
    for name, index in one.indices.items():
        if name in other.indices:
            common += int(torch.isin(index, other.indices[name]).sum())
    return common / max(1, sum(len(index) for index in one.indices.values()))


def _best(rows: Tensor, k: int, level: Level) -> Tensor:
    """Positions of the best entries among the flattened rows of one weight."""
    neurons, inputs = rows.shape
    if level == "neuron":
        best = rows.topk(min(k, inputs), dim=1, sorted=False).indices
        first = torch.arange(neurons, device=rows.device)[:, None] * inputs
        return (first + best).flatten()
    return rows.flatten().topk(neurons * min(k, inputs), sorted=False).indices


def _best_of_all(scores: AnyScores, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Spend the sum of all weights' budgets on the best entries of the network."""
    budget = sum(len(chosen) for chosen in best.values())
    candidates = {}
    for name in best:
        flat = scores.rows(name).flatten()
        candidates[name] = flat.topk(min(budget, len(flat)))
    values = torch.cat([found.values for found in candidates.values()])
    kept = torch.zeros(len(values), dtype=torch.bool, device=values.device)
    kept[values.topk(budget, sorted=False).indices] = True
    parts = kept.split([len(found.values) for found in candidates.values()])
    chosen = {
        name: found.indices[part]
        for (name, found), part in zip(candidates.items(), parts, strict=True)
    }
    return {name: index for name, index in chosen.items() if len(index)}


def check_top_k(model: nn.Module, top_k: Mapping[str, int]) -> None:
    """Refuse an impossible K before anything is scored.

    Raises:
        UserError: K is below 1, or larger than every neuron it is asked for.
    """
    widths: dict[int, int] = {}
    for name, k in top_k.items():
        width = as_rows(model.get_parameter(name), owner(model, name)).shape[1]
        widths[k] = max(width, widths.get(k, 0))
    for k, widest in widths.items():
        if not 1 <= k <= widest:
            raise UserError(
                f"K = {k} input connections per neuron were asked for, but the widest neuron has "
                f"{widest}. Choose K between 1 and {widest}; the paper uses 1."
            )
