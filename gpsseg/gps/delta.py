"""The result of a run: the changed entries and nothing else.

A delta holds, per weight, flat int32 positions and the trained values, and whole tensors for what
trained whole. Applied to the very base it was made from it gives the tuned network; ``remove``
gives the base back, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError
from gpsseg.files import save_tensors
from gpsseg.gps.sparse import sparse_layers

Entries = tuple[Tensor, Tensor]


def model_hash(model: nn.Module, skip: Collection[str] = ()) -> str:
    """Return the SHA-256 over a plain network's tensors but ``skip``: names, shapes and bits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name not in skip:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@dataclass(frozen=True)
class Delta:
    """What a run changed.

    Attributes:
        sparse: weight name -> (int32 (n,) flat positions, (n,) trained values).
        dense: parameter name -> whole trained tensor.
        metadata: text values; ``base`` (the base's name), ``base_hash``, and whatever the run adds.
        free: names in ``dense`` whose base values come from no checkpoint (a random decoder); they
            are left out of ``base_hash``.
    """

    sparse: dict[str, Entries]
    dense: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    free: tuple[str, ...] = ()

    def save(self, path: Path | str) -> None:
        """Write one safetensors file: ``<name>.indices``, ``<name>.values``, ``<name>.dense``."""
        tensors = {f"{name}.dense": tensor for name, tensor in self.dense.items()}
        for name, (indices, values) in self.sparse.items():
            tensors[f"{name}.indices"], tensors[f"{name}.values"] = indices, values
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_tensors(Path(path), tensors, {**self.metadata, "free": json.dumps(self.free)})

    @classmethod
    def load(cls, path: Path | str) -> Delta:
        """Read a delta.

        Raises:
            UserError: there is no such file, or it is not a delta.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (FileNotFoundError, IsADirectoryError):
            raise UserError(f"{path} does not exist. Pass a run's delta.safetensors.") from None
        except SafetensorError as error:
            raise UserError(f"{path} is not a readable delta ({error}).") from None
        if "base_hash" not in metadata:
            raise UserError(f"{path} is a safetensors file but not a gpsseg delta: no base_hash.")
        free = tuple(json.loads(metadata.pop("free", "[]")))
        dense = {n.removesuffix(".dense"): t for n, t in tensors.items() if n.endswith(".dense")}
        sparse = {
            name.removesuffix(".indices"): (
                tensor,
                tensors[name.removesuffix("indices") + "values"],
            )
            for name, tensor in tensors.items()
            if name.endswith(".indices")
        }
        return cls(sparse, dense, metadata, free)

    @torch.no_grad()
    def apply(
        self, model: nn.Module, add_layers: Callable[[nn.Module], None] | None = None
    ) -> AppliedDelta:
        """Write the trained entries into the base network, in place.

        Args:
            model: the base.
            add_layers: for a delta of a method that brings layers of its own, such as LoRA: puts
                them into the model, once it is known to be the right one.

        Raises:
            UserError: ``model`` is not the base this delta was made from. It is left untouched.
        """
        found, expected = model_hash(model, self.free), self.metadata["base_hash"]
        if found != expected:
            raise UserError(
                f"This delta was made from {self.metadata.get('base', 'another base')} with hash "
                f"{expected[:12]}, but the network at hand has hash {found[:12]}. Load that base "
                "with gpsseg.load_backbone (a delta cannot be applied twice or to another base)."
            )
        if add_layers:
            add_layers(model)
        parameters = dict(model.named_parameters())
        replaced = Delta(
            {n: (i, parameters[n].view(-1)[i.long()].clone()) for n, (i, _) in self.sparse.items()},
            {name: parameters[name].clone() for name in self.dense},
        )
        _write(model, self)
        return AppliedDelta(model, replaced)


@dataclass(frozen=True)
class AppliedDelta:
    """A delta at work in ``model``, with the entries it ``replaced``."""

    model: nn.Module
    replaced: Delta

    def remove(self) -> None:
        """Put the base's own entries back, bit for bit; added layers do nothing again."""
        _write(self.model, self.replaced)


@torch.no_grad()
def _write(model: nn.Module, delta: Delta) -> None:
    parameters = dict(model.named_parameters())
    for name, (indices, values) in delta.sparse.items():
        parameter = parameters[name]
        parameter.view(-1)[indices.long().to(parameter.device)] = values.to(parameter)
    for name, tensor in delta.dense.items():
        parameters[name].copy_(tensor)
    model.train(model.training)  # layers that cache a function of their weights do so here


def extract(
    model: nn.Module, base: str, base_hash: str, free: tuple[str, ...] = (), **metadata: str
) -> Delta:
    """Read the delta out of a network that ``sparsify`` prepared and an optimiser trained."""
    sparse = {}
    for layer_name, layer in sparse_layers(model):
        for name in layer.selected_names:
            index, values = layer._buffers[f"{name}_index"], layer._parameters[f"{name}_values"]
            path = f"{layer_name}.{name}".lstrip(".")
            sparse[path] = (index.cpu().int(), values.detach().cpu().clone())
    values_names = {f"{name}_values" for name in sparse}
    dense = {
        name: parameter.detach().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name not in values_names
    }
    return Delta(sparse, dense, {"base": base, "base_hash": base_hash, **metadata}, free)
