"""Several deltas of one base, one at work at a time: the base is in memory once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpsseg.gps.alike import refuse_other_base
from gpsseg.gps.delta import Delta
from gpsseg.gps.delta_faults import fault_for

Put = Callable[[], None]
Entries = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Change:
    """What one delta changes in a network, ready to be written, and what stood there before.

    Attributes:
        some: weight name -> (n,) int64 flat positions, (n,) values, and (n,) the base's own.
        whole: parameter name -> tensor, and the base's own.
    """

    some: dict[str, Entries]
    whole: dict[str, tuple[Tensor, Tensor]]

    @property
    def names(self) -> frozenset[str]:
        """Of all that it changes."""
        return frozenset((*self.some, *self.whole))

    @torch.no_grad()
    def write(
        self, parameters: Mapping[str, Tensor], own: bool, leave: Collection[str] = ()
    ) -> None:
        """Write its values, or the base's own.

        Args:
            parameters: of the network, by name.
            own: whether the base's own.
            leave: names that are written whole afterwards.
        """
        which = 1 if own else 0
        for name, held in self.some.items():
            if name not in leave:
                weight = parameters[name]
                places, *values = self.some[name] = _beside(weight, held)
                weight.view(-1).index_copy_(0, places, values[which])
        for name, tensors in self.whole.items():
            if name not in leave:
                parameter = parameters[name]
                if tensors[0].device != parameter.device:
                    tensors = self.whole[name] = tensors[0].to(parameter), tensors[1].to(parameter)
                parameter.data = tensors[which]  # takes no copy, and no time


class Parameters(Mapping[str, Tensor]):
    """A network's parameters by name, as they are by now; to look one up takes no search.

    Args:
        model: whose modules stay the same.
    """

    def __init__(self, model: nn.Module):
        self._homes: dict[str, tuple[nn.Module, str]] = {}
        for name, _ in model.named_parameters():
            place, _, own = name.rpartition(".")
            self._homes[name] = model.get_submodule(place), own

    def __getitem__(self, name: str) -> Tensor:
        module, own = self._homes[name]
        found = module._parameters[own]
        assert found is not None
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


def _keepers(model: nn.Module) -> list[nn.Module]:
    """The outermost modules that do more than PyTorch's when they are told whether they train.

    Some then make what they keep of their weights, such as the biases of an attention.
    """
    if type(model).train is not nn.Module.train:
        return [model]
    return [found for child in model.children() for found in _keepers(child)]


def _own(model: nn.Module, keeper: nn.Module) -> frozenset[str]:
    """Names of the weights that such a module, and those within it, hold themselves.

    Empty where one of them has none: then nothing tells what it makes.
    """
    inner = [each for each in keeper.modules() if type(each).train is not nn.Module.train]
    held = [{id(p) for p in each.parameters(recurse=False)} for each in inner]
    if not all(held):
        return frozenset()
    wanted = set().union(*held)
    return frozenset(name for name, p in model.named_parameters() if id(p) in wanted)


def _beside(weight: Tensor, held: Entries) -> Entries:
    """Entries on the device where the network is by now; they stay there for the next time."""
    if held[0].device == weight.device:
        return held
    return held[0].to(weight.device), held[1].to(weight), held[2].to(weight)


class Turns:
    """Several deltas in one network; each takes the place of whichever is at work.

    Putting one to work that is at work already costs nothing. Whoever puts one to work and then
    uses the network holds ``lock`` meanwhile, so that no other thread puts another one there.

    Args:
        model: the base, with the layers that the deltas need; none is at work.
        deltas: which fit it.

    Attributes:
        lock: of the network.
        members: what puts each delta to work, in their order.
    """

    def __init__(self, model: nn.Module, deltas: Sequence[Delta]):
        self.lock = threading.RLock()
        self._model, self._keepers = model, [(each, _own(model, each)) for each in _keepers(model)]
        self._at_work: Change | None = None
        self._sure = True  # that what is at work is all there; not while it is written
        self._written: list[Change] = []  # those whose values may stand in the network
        parameters, kept = Parameters(model), dict[str, Tensor]()
        self._parameters = parameters
        whole = {name for delta in deltas for name in delta.dense}
        changes = [_change(parameters, delta, whole, kept) for delta in deltas]
        self.members: tuple[Put, ...] = tuple(self._putting(change) for change in changes)

    def base(self) -> None:
        """Put the base's own values back, bit for bit; added layers do nothing then."""
        self._put(None)

    def _putting(self, change: Change) -> Put:
        return lambda: self._put(change)

    def _put(self, change: Change | None) -> None:
        with self.lock:
            if self._sure and self._at_work is change:
                return
            self._sure = False  # an interruption from here on leaves what the next call mends
            parameters = self._parameters
            leave = () if change is None else change.whole
            for other in self._written:
                if other is not change:
                    other.write(parameters, own=True, leave=leave)
            if change is not None:
                if change not in self._written:
                    self._written.append(change)
                change.write(parameters, own=False)
            self._tell({name for each in self._written for name in each.names})
            self._written = [] if change is None else [change]
            self._at_work, self._sure = change, True

    def _tell(self, changed: Collection[str]) -> None:
        """Let modules that keep a function of their own weights make it anew, if these changed."""
        for module, own in self._keepers:
            if not own or not own.isdisjoint(changed):
                module.train(self._model.training)


def apply_all(
    model: nn.Module,
    deltas: Sequence[Delta],
    add_layers: Callable[[nn.Module], None] | None = None,
) -> Turns:
    """Prepare a base network for several deltas; the first is at work then.

    Args:
        model: the base, changed in place.
        deltas: one or more.
        add_layers: as for ``Delta.apply``; the same for all of them.

    Raises:
        UserError: as ``Delta.apply``, or they are of different bases.
    """
    for delta in deltas:
        refuse_other_base(deltas[0], delta)
    applied = deltas[0].apply(model, add_layers)
    for delta in deltas[1:]:
        if fault := fault_for(model, delta.sparse, delta.dense, strict=True):
            raise delta.error(fault)
    applied.remove()
    turns = Turns(model, deltas)
    turns.members[0]()
    return turns


@torch.no_grad()
def _change(
    parameters: Mapping[str, Tensor], delta: Delta, whole: Collection[str], kept: dict[str, Tensor]
) -> Change:
    """What a delta changes in a network that holds the base's own values now.

    Args:
        parameters: of the network, by name.
        delta: which fits it.
        whole: names that any of the deltas changes whole, which are exchanged whole by all.
        kept: the base's own whole tensors, which all changes share; new ones are added.
    """
    some, all_of = {}, {}
    for name, (places, values) in delta.sparse.items():
        weight = parameters[name]
        index = places.long().to(weight.device)
        if name in whole:
            tensor = weight.detach().clone()
            tensor.view(-1)[index] = values.to(weight)
            all_of[name] = tensor
        else:
            some[name] = (index, values.to(weight), weight.reshape(-1)[index].clone())
    for name, tensor in delta.dense.items():
        all_of[name] = tensor.to(parameters[name], copy=True)
    for name in all_of:
        if name not in kept:
            kept[name] = parameters[name].detach().clone()
    return Change(some, {name: (tensor, kept[name]) for name, tensor in all_of.items()})
