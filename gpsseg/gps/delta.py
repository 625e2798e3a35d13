"""The result of a run: the changed entries and nothing else.

A delta holds, per weight, flat int32 positions and the trained values, and whole tensors for what
trained whole. Applied to the very base it was made from it gives the tuned network; ``remove``
gives the base back, bit for bit.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError, name_text
from gpsseg.files import save_tensors
from gpsseg.gps.delta_faults import Entries, fault_for, own_fault
from gpsseg.gps.tensorfile import hash_of, listed, read_tensors
from gpsseg.gps.union import entries_of, selected_in, write


def model_hash(model: nn.Module, skip: Collection[str] = ()) -> str:
    """Return the SHA-256 over a plain network's tensors but ``skip``: names, shapes and bits."""
    return hash_of({n: tensor for n, tensor in model.state_dict().items() if n not in skip})


@dataclass(frozen=True)
class Delta:
    """What a run changed.

    Attributes:
        sparse: weight name -> (int32 (n,) flat positions, (n,) trained values).
        dense: parameter name -> whole trained tensor.
        metadata: text values; ``base`` (the base's name), ``base_hash``, and whatever the run adds.
        free: names in ``dense`` whose base values come from no checkpoint (a random decoder); they
            are left out of ``base_hash``.
        path: of the file it was read from, for messages.
    """

    sparse: dict[str, Entries]
    dense: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    path: Path | None = field(default=None, compare=False, repr=False)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What its file holds: ``<name>.indices``, ``<name>.values``, ``<name>.dense``."""
        tensors = {f"{name}.dense": tensor for name, tensor in self.dense.items()}
        for name, (indices, values) in self.sparse.items():
            tensors[f"{name}.indices"], tensors[f"{name}.values"] = indices, values
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    @property
    def sha256(self) -> str:
        """Over its tensors: equal means the same values, whatever its metadata say."""
        return hash_of(self.tensors)

    @property
    def untrained(self) -> bool:
        """Whether it says that its values are those from before the training."""
        return self.metadata.get("best_epoch") == "0"

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, see ``tensors``."""
        tensors = self.tensors
        facts = {"free": json.dumps(self.free), "sha256": hash_of(tensors)}
        save_tensors(Path(path), tensors, {**self.metadata, **facts})

    @classmethod
    def load(cls, path: Path | str) -> Delta:
        """Read a delta.

        Raises:
            UserError: there is no such file, it is not a delta, or it is damaged; see ``check``.
        """
        tensors, metadata = read_tensors(path, "delta")
        if "base_hash" not in metadata:
            raise UserError(f"{path} is a safetensors file but not a gpsseg delta: no base_hash.")
        free = tuple(listed({"free": "[]", **metadata}, "free", path, list))
        metadata.pop("free", None)
        written = metadata.pop("sha256", None)  # version 0.1 wrote none
        dense, pairs = _sorted_out(tensors, path)
        delta = cls(pairs, dense, metadata, free, Path(path))
        delta.check()
        if written not in (None, hash_of(tensors)):
            raise delta.error("its values are not those that were written")
        return delta

    def check(self) -> None:
        """Refuse what no network could be given.

        Raises:
            UserError: it is empty, a position is negative or comes twice, a value is missing, NaN
                or infinite, or a tensor of ``free`` is not there.
        """
        if fault := own_fault(self.sparse, self.dense, self.free):
            raise self.error(fault)

    def error(self, fault: str) -> UserError:
        """What to say where a delta is damaged or does not fit."""
        where = self.path or "This delta"
        return UserError(f"{where} cannot be applied: {fault}. Copy it again, or train anew.")

    def refuse_other_base(self, model: nn.Module) -> None:
        """Refuse a network that this delta was not made from.

        Raises:
            UserError: ``model`` is one.
        """
        found, expected = model_hash(model, self.free), self.metadata.get("base_hash", "none")
        if found != expected:
            raise UserError(
                f"{self.path or 'This delta'} was made from "
                f"{self.metadata.get('base', 'another base')} with hash {expected[:12]}, but the "
                f"network at hand has hash {found[:12]}. Name that base by --backbone, --weights "
                "and --prompt, or load it with gpsseg.load_backbone (a delta cannot be applied "
                "twice or to another base)."
            )

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
            UserError: ``model`` is not the base this delta was made from, or the delta is damaged
                or does not fit. The model is left untouched.
        """
        self.check()
        self.refuse_other_base(model)
        if fault := fault_for(model, self.sparse, self.dense, strict=add_layers is None):
            raise self.error(fault)
        take_back = _layers_of(model)
        try:
            if add_layers:
                add_layers(model)
            if fault := fault_for(model, self.sparse, self.dense, strict=True):
                raise self.error(fault)
            replaced = Delta(
                {n: (i, entries_of(model, n, i)) for n, (i, _) in self.sparse.items()},
                {name: model.get_parameter(name).clone() for name in self.dense},
            )
        except BaseException:
            take_back()
            raise
        _write(model, self)
        return AppliedDelta(model, replaced)


def _sorted_out(
    tensors: Mapping[str, Tensor], path: Path | str
) -> tuple[dict[str, Tensor], dict[str, Entries]]:
    """The dense tensors and the entries of a file, by the name of their parameter.

    Raises:
        UserError: a name is none that ``save`` gives, or one of a pair is missing.
    """
    found: dict[str, dict[str, Tensor]] = {"dense": {}, "indices": {}, "values": {}}
    for name, tensor in tensors.items():
        parameter, _, kind = name.rpartition(".")
        if kind not in found or not parameter:
            raise UserError(
                f"{path} holds {name_text(name)}, expected names that end in .indices, "
                ".values or .dense. Pass a run's delta.safetensors."
            )
        found[kind][parameter] = tensor
    for name in sorted(found["indices"].keys() ^ found["values"].keys()):
        has, lacks = ("indices", "values") if name in found["indices"] else ("values", "indices")
        raise UserError(
            f"{path} has the {has} of {name_text(name)} and lacks its {lacks}, expected both. Copy "
            "the file again, or train anew."
        )
    pairs = {name: (index, found["values"][name]) for name, index in found["indices"].items()}
    return found["dense"], pairs


def _layers_of(model: nn.Module) -> Callable[[], None]:
    """Remember which layers and hooks a network has; returns what puts these back."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    before = [
        (
            module,
            module.__class__,
            {k: copy.copy(v) if isinstance(v, dict) else v for k, v in module.__dict__.items()},
        )
        for module in model.modules()
    ]

    def take_back() -> None:
        for module, kind, content in before:
            module.__class__ = kind
            module.__dict__.clear()
            module.__dict__.update(content)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)

    return take_back


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
    indices = {name: index for name, (index, _) in delta.sparse.items()}
    write(model, indices, {name: values for name, (_, values) in delta.sparse.items()})
    for name, tensor in delta.dense.items():
        model.get_parameter(name).copy_(tensor)
    model.train(model.training)  # layers that cache a function of their weights do so here


def extract(
    model: nn.Module, base: str, base_hash: str, free: tuple[str, ...] = (), **metadata: str
) -> Delta:
    """Read the delta out of a network that ``sparsify`` prepared and an optimiser trained."""
    selection = selected_in(model)

    def now(name: str) -> Tensor:
        return model.get_parameter(name).detach().cpu().clone()

    sparse = {name: (index, now(f"{name}_values")) for name, index in selection.indices.items()}
    dense = {name: now(name) for name in selection.dense}
    return Delta(sparse, dense, {"base": base, "base_hash": base_hash, **metadata}, free)
