"""All entries that were ever selected, where a selection is made anew during the training.

Sparse optimisation (SO, arXiv 2504.12436) draws the entries that train anew every few updates,
GASDU (OpenReview eNLFrvhdEw) selects them anew by the gradient, RigL (arXiv 1911.11134) drops and
grows connections so.
Here what leaves a selection keeps the value that it has reached, so that a delta has to name every
entry that ever was in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpsseg.gps.select import Selection
from gpsseg.gps.sparse import HALVES, sparse_layers, whole_weight


@dataclass(frozen=True)
class Union:
    """The entries of several selections. A value: no method changes it.

    Attributes:
        selection: of all these entries, and of what trains whole.
        base: weight name -> (n,), of the weight's dtype: what each entry was before it was selected
            for the first time.
    """

    selection: Selection
    base: Mapping[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module, selection: Selection) -> Union:
        """The union of one selection.

        Args:
            model: as it is before that trains; plain, or made sparse by that selection.
            selection: the first.
        """
        return cls(Selection({}, {}, selection.dense), {}).joined(model, selection)

    def joined(self, model: nn.Module, selection: Selection) -> Union:
        """The union with one more selection, of whose new entries none has moved in ``model``."""
        indices, base = dict(self.selection.indices), dict(self.base)
        for name, index in selection.indices.items():
            old = indices.get(name, index[:0]).cpu()
            new = index.cpu()[~torch.isin(index.cpu(), old)]
            both, order = torch.cat([old, new]).sort()
            found = entries_of(model, name, new)
            base[name] = torch.cat([base.get(name, found[:0]), found])[order.to(found.device)]
            indices[name] = both
        shapes = {**self.selection.shapes, **selection.shapes}
        return Union(Selection(indices, shapes, selection.dense), base)

    def values(self, model: nn.Module) -> dict[str, Tensor]:
        """What each entry is in ``model``, plain or sparse, by the weight's name: copies."""
        of = self.selection.indices
        return {name: entries_of(model, name, index) for name, index in of.items()}

    def base_of(self, name: str, index: Tensor) -> Tensor:
        """What some entries of a weight were before they were selected.

        Args:
            name: of the weight.
            index: (n,) int flat positions, all of them in the union.

        Returns:
            (n,) of the weight's dtype.
        """
        base = self.base[name]
        places = torch.searchsorted(self.selection.indices[name].long(), index.long().cpu())
        return base[places.to(base.device)]


def entries_of(model: nn.Module, name: str, index: Tensor) -> Tensor:
    """Copy entries (n,), of a weight's dtype, plain or sparse, at integer flat positions (n,)."""
    owner, _, attribute = name.rpartition(".")
    layer = model.get_submodule(owner)
    if attribute in getattr(type(layer), "selected_names", ()):
        weight = whole_weight(layer, attribute)
    else:
        weight = model.get_parameter(name).detach()
    return weight.reshape(-1)[index.to(weight.device, torch.long)]


@torch.no_grad()
def write(model: nn.Module, indices: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Write entries into the weights of a plain network, in place.

    Args:
        model: plain.
        indices: weight name -> (n,) flat positions.
        values: weight name -> (n,) what to write there.
    """
    for name, index in indices.items():
        weight = model.get_parameter(name)
        places = index.to(weight.device, torch.long)
        weight.view(-1).index_copy_(0, places, values[name].to(weight))


def selected_in(model: nn.Module) -> Selection:
    """What trains in a sparse network."""
    indices, shapes = {}, {}
    for prefix, layer in sparse_layers(model):
        for name in layer.selected_names:
            path = f"{prefix}.{name}".lstrip(".")
            indices[path] = layer._buffers[f"{name}_index"].cpu().int()
            held = layer._buffers.get(name, layer._buffers.get(f"{name}_{HALVES[0]}"))
            shapes[path] = tuple(held.shape)
    values = {f"{name}_values" for name in indices}
    trains = (name for name, p in model.named_parameters() if p.requires_grad)
    return Selection(indices, shapes, tuple(name for name in trains if name not in values))
