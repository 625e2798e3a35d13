"""Several deltas of one base, one at work at a time: the base is in memory once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError
from gpsseg.gps.delta import Delta
from gpsseg.gps.delta_faults import Entries, fault_for

Put = Callable[[], None]


@dataclass(frozen=True)
class Member:
    """One of several deltas in one network; called, it takes the place of whichever is at work.

    It writes every entry that any of them changes: the base's own value where this one leaves it.

    Attributes:
        model: the network.
        entries: weight name -> (n,) flat positions, which all members share, and (n,) values.
        whole: parameter name -> tensor.
    """

    model: nn.Module
    entries: Mapping[str, Entries]
    whole: Mapping[str, Tensor]

    @torch.no_grad()
    def __call__(self) -> None:
        """Write its values into the network, in place."""
        parameters = dict(self.model.named_parameters())
        for name, (places, values) in self.entries.items():
            parameter = parameters[name]
            parameter.view(-1).index_copy_(
                0, places.to(parameter.device), values.to(parameter.device)
            )
        for name, tensor in self.whole.items():
            parameters[name].copy_(tensor)
        self.model.train(self.model.training)  # layers that cache a function of their weights


def apply_all(
    model: nn.Module,
    deltas: Sequence[Delta],
    add_layers: Callable[[nn.Module], None] | None = None,
) -> tuple[Put, ...]:
    """Prepare a base network for several deltas; the first is at work then.

    Args:
        model: the base, changed in place.
        deltas: one or more.
        add_layers: as for ``Delta.apply``; the same for all of them.

    Returns:
        What puts each delta to work; nothing for a single one, which is.

    Raises:
        UserError: as ``Delta.apply``, or they are of different bases.
    """
    for delta in deltas:
        refuse_other_base(deltas[0], delta)
    applied = deltas[0].apply(model, add_layers)
    if len(deltas) == 1:
        return ()
    for delta in deltas[1:]:
        if fault := fault_for(model, delta.sparse, delta.dense, strict=True):
            raise delta.error(fault)
    applied.remove()
    members = _members(model, deltas)
    members[0]()
    return members


def refuse_other_base(first: Delta, other: Delta) -> None:
    """Refuse two deltas that do not fit one network.

    Raises:
        UserError: they were made from different bases.
    """
    hashes = [each.metadata.get("base_hash", "none") for each in (first, other)]
    if hashes[0] != hashes[1] or set(first.free) != set(other.free):
        bases = [each.metadata.get("base", "another base") for each in (first, other)]
        raise UserError(
            f"{other.path or 'A delta'} was made from {bases[1]} with hash {hashes[1][:12]}, but "
            f"{first.path or 'the first'} from {bases[0]} with hash {hashes[0][:12]}, expected one "
            "base. Use networks that were tuned from the same one."
        )


@torch.no_grad()
def _members(model: nn.Module, deltas: Sequence[Delta]) -> tuple[Member, ...]:
    """What writes each delta into a network that holds the base's own values now."""
    parameters = dict(model.named_parameters())
    whole = sorted({name for delta in deltas for name in delta.dense})
    some = sorted({name for delta in deltas for name in delta.sparse} - {*whole})
    places = {
        name: torch.cat([d.sparse[name][0] for d in deltas if name in d.sparse]).long().unique()
        for name in some
    }
    members = []
    for delta in deltas:
        entries = {
            name: (index, _values(parameters[name].reshape(-1)[index], index, delta, name))
            for name, index in places.items()
        }
        members.append(
            Member(model, entries, {name: _whole(parameters[name], delta, name) for name in whole})
        )
    return tuple(members)


def _values(base: Tensor, places: Tensor, delta: Delta, name: str) -> Tensor:
    """A delta's values at (n,) sorted places of a weight, and elsewhere the base's own."""
    values = base.clone()
    if name in delta.sparse:
        own, changed = delta.sparse[name]
        values[torch.searchsorted(places, own.long())] = changed.to(values)
    return values


def _whole(parameter: Tensor, delta: Delta, name: str) -> Tensor:
    """The tensor that a delta makes of a parameter."""
    if name in delta.dense:
        return delta.dense[name].to(parameter.dtype)
    tensor = parameter.clone()
    if name in delta.sparse:
        own, changed = delta.sparse[name]
        tensor.view(-1)[own.long()] = changed.to(tensor)
    return tensor
