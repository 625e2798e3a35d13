"""Where the trained weights sit: one bar per layer, or per block of a deep network."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MOST_BARS = 40
FEW = 3  # equal bars in a row that are shown one by one


@dataclass(frozen=True)
class Bar:
    """One layer or block.

    Attributes:
        name: of the layer, without what all names of its panel start with; of several that are
            one bar, the first and the last and how many they are.
        weights: its entries.
        trained: those of them that train.
        share: trained / weights.
        length: of the bar, in percent of the longest bar of its panel.
    """

    name: str
    weights: int
    trained: int
    share: float
    length: float


@dataclass(frozen=True)
class Panel:
    """The bars of one role ("encoder", "decoder", "prompt"), in the network's order."""

    role: str
    bars: tuple[Bar, ...]
    longest: float

    @property
    def plain(self) -> str:
        """What all layers are, "frozen" or "whole"; empty where they differ, so that bars tell."""
        shares = {bar.share for bar in self.bars}
        return {0.0: "frozen", 1.0: "whole"}.get(shares.pop(), "") if len(shares) == 1 else ""


def layer_panels(layers: Sequence[dict[str, Any]]) -> list[Panel]:
    """Turn the rows of selection.json's "layers" into one panel of at most ``MOST_BARS`` per role.

    Bars of one panel share a scale; panels do not, as an encoder may train 1 % and a decoder all.
    """
    roles = dict.fromkeys(row["role"] for row in layers)
    return [_panel(role, [row for row in layers if row["role"] == role]) for role in roles]


def _panel(role: str, layers: Sequence[dict[str, Any]]) -> Panel:
    """The bars of one role, at the finest depth of the layers' names that has few enough."""
    depth = max(row["layer"].count(".") + 1 for row in layers)
    while depth > 1 and len({_cut(row["layer"], depth) for row in layers}) > MOST_BARS:
        depth -= 1
    totals: dict[str, tuple[int, int]] = {}
    for row in layers:
        name = _cut(row["layer"], depth)
        weights, trained = totals.get(name, (0, 0))
        totals[name] = weights + row["weights"], trained + row["selected"] + row["whole"]
    shares = {name: trained / max(weights, 1) for name, (weights, trained) in totals.items()}
    longest, prefix = max(shares.values()), _shared_prefix(list(totals))
    bars = [
        Bar(name[len(prefix) :], *totals[name], share, 100 * share / (longest or 1))
        for name, share in shares.items()
    ]
    return Panel(role, tuple(_folded(bars)), longest)


def _folded(bars: Sequence[Bar]) -> Iterable[Bar]:
    """The bars, but several in a row that train whole, or not at all, as one."""
    for share, run in itertools.groupby(bars, key=lambda bar: bar.share):
        alike = list(run)
        if share not in (0, 1) or len(alike) <= FEW:
            yield from alike
            continue
        name = f"{alike[0].name} to {alike[-1].name} ({len(alike)})"
        weights, trained = sum(b.weights for b in alike), sum(b.trained for b in alike)
        yield Bar(name, weights, trained, share, alike[0].length)


def _cut(layer: str, depth: int) -> str:
    """The first ``depth`` parts of a dotted name.

    >>> _cut("net.encoder.blocks.0.conv", 3)
    'net.encoder.blocks'
    """
    return ".".join(layer.split(".")[:depth])


def _shared_prefix(names: Sequence[str]) -> str:
    """The dotted parts that all names start with, never a whole name.

    >>> _shared_prefix(["net.encoder.a", "net.decoder.b"])
    'net.'
    """
    shared = ""
    for parts in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared += parts[0] + "."
    return shared
