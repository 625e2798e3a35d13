"""What a selection uses: which input channels its neurons read, and what chance would give."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpsseg.gps.neurons import as_rows, owner
from gpsseg.gps.score import Scores
from gpsseg.gps.select import Level, Selection, selection_at


@dataclass(frozen=True)
class Channels:
    """The input channels of one weight.

    Attributes:
        neurons: of each channel, how many neurons select an entry of it: int64 (channels,).
        selecting: how many neurons select any entry.
        by_chance: how many channels would be used if each neuron drew as many entries at random.
    """

    neurons: Tensor
    selecting: int
    by_chance: float

    @property
    def used(self) -> int:
        """How many channels any neuron selects an entry of."""
        return int((self.neurons > 0).sum())


def channels_of(
    model: nn.Module, selection: Selection, names: Iterable[str]
) -> dict[str, Channels]:
    """The input channels of each weight whose neurons have several to choose from.

    A channel of a linear layer is one input, one of a convolution its kernel's entries on one map.
    A depthwise convolution is left out: its neurons read one channel each.

    Args:
        model: the network.
        selection: of its entries.
        names: of all weights that could be selected from; it may have no entry of some.
    """
    found = {}
    for name in names:
        rows, groups = _rows(model, selection, name)
        size = _entries_of_channel(model, name)
        channels = rows.shape[1] // size
        if channels < 2:
            continue
        kept = rows.reshape(groups, -1, channels, size)
        entries = kept.sum(dim=(2, 3))
        found[name] = Channels(
            kept.any(dim=3).sum(dim=1).flatten(),
            int((entries > 0).sum()),
            _used_by_chance(entries, channels, size),
        )
    return found


def _used_by_chance(entries: Tensor, channels: int, size: int) -> float:
    """Expected number of channels that are used.

    A neuron that draws k of n entries leaves out a channel of s with C(n - s, k) / C(n, k).

    Args:
        entries: how many each neuron selects, (groups, neurons).
        channels: of a neuron.
        size: entries of a channel.
    """
    inputs = channels * size
    k = entries.double()
    log = torch.lgamma
    free = inputs - size - k  # entries of the other channels that are not selected
    ways = log(inputs - size + torch.ones_like(k)) - log(free.clamp_min(0) + 1)
    ways = ways - log(inputs + torch.ones_like(k)) + log(inputs - k + 1)
    missed = ways.masked_fill(free < 0, -math.inf).sum(dim=1).exp()
    return float((channels * (1 - missed)).sum())


def chance_of_overlap(
    model: nn.Module, selection: Selection, names: Iterable[str], level: Level = "neuron"
) -> float:
    """Expected ``overlap`` of two random selections of as many entries: for one of a neuron K / n.

    Args:
        model: the network.
        selection: whose numbers of entries they have, in each neuron, each layer or the network.
        names: of all weights that could be selected from.
        level: where entries compete.
    """
    pools: list[tuple[int, int]] = []  # of common size: sum of squared entries, entries
    common, entries = 0.0, 0
    for name in names:
        rows, _ = _rows(model, selection, name)
        kept = rows.sum(dim=1)
        if level == "neuron":
            common += float((kept.double() ** 2).sum()) / rows.shape[1]
            entries += int(kept.sum())
        else:
            pools.append((int(kept.sum()), rows.numel()))
    if level == "net":
        pools = [(sum(kept for kept, _ in pools), sum(size for _, size in pools))]
    common += sum(kept**2 / size for kept, size in pools if size)
    return common / max(1, entries + sum(kept for kept, _ in pools))


def share_of_scores(model: nn.Module, scores: Scores, selection: Selection) -> float:
    """What share of the sum of all scores the selected entries have; 0 where all are 0.

    All are those of every weight that has scores, also where none of it is selected.
    """
    kept = every = 0.0
    for name in scores.names:
        found = scores.rows(name).double()
        kept += float(found[_rows(model, selection, name)[0].to(found.device)].sum())
        every += float(found.sum())
    return kept / every if every else 0.0


def with_score(model: nn.Module, scores: Scores, selection: Selection) -> Selection:
    """The selected entries whose score is not 0.

    Where fewer than K entries of a neuron got a gradient of any image, others of it are selected
    too, by their order and not by the images: they say nothing of how alike two selections are.
    """
    places = {}
    for name in selection.indices:
        found = (scores.rows(name) != 0).cpu()
        places[name] = (_rows(model, selection, name)[0] & found).flatten().nonzero().flatten()
    return selection_at(model, places)


def _rows(model: nn.Module, selection: Selection, name: str) -> tuple[Tensor, int]:
    """Which entries of a weight are selected, bool (neurons, inputs), and its layer's groups."""
    layer, shape = owner(model, name), model.get_parameter(name).shape
    kept = torch.zeros(math.prod(shape), dtype=torch.bool)
    if name in selection.indices:
        kept[selection.indices[name].long().cpu()] = True
    return as_rows(kept.view(shape), layer), getattr(layer, "groups", 1)


def _entries_of_channel(model: nn.Module, name: str) -> int:
    """Entries that a neuron has for one input channel: its kernel's, of other layers one."""
    return math.prod(model.get_parameter(name).shape[2:])
