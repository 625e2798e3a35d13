"""How two deltas of one base differ: which entries they share, and how far values lie apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gpsseg.delta.contents import in_order
from gpsseg.errors import UserError, told
from gpsseg.gps import Delta

Changed = tuple[Tensor, Tensor]  # flat positions, ascending, and the values there


@dataclass
class Sums:
    """What is added up over parameters.

    Attributes:
        one, other, both: how many entries the first delta changes, the second, and both.
        apart: squared differences of values at shared entries.
        furthest: the largest of these differences.
        moved: squared changes of the base by each, and the sum of the products of both.
    """

    one: int = 0
    other: int = 0
    both: int = 0
    apart: float = 0.0
    furthest: float = 0.0
    moved: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def add(self, more: Sums) -> None:
        """Add up."""
        self.one, self.other = self.one + more.one, self.other + more.other
        self.both, self.apart = self.both + more.both, self.apart + more.apart
        self.furthest = max(self.furthest, more.furthest)
        self.moved = [a + b for a, b in zip(self.moved, more.moved, strict=True)]

    def row(self, relative: bool) -> dict[str, Any]:
        """Counts, shares and sizes, as `delta diff` tells them.

        Args:
            relative: whether changes of the base are known.
        """
        union = self.one + self.other - self.both
        row: dict[str, Any] = {
            "one": self.one,
            "other": self.other,
            "both": self.both,
            "jaccard": self.both / union if union else None,
            "rms": math.sqrt(self.apart / self.both) if self.both else None,
            "most": self.furthest if self.both else None,
        }
        if relative:
            first, second, product = self.moved
            row["one_moves"] = math.sqrt(first / self.one) if self.one else None
            row["other_moves"] = math.sqrt(second / self.other) if self.other else None
            norm = math.sqrt(first * second)
            row["cosine"] = product / norm if norm else None
        return row


def difference(
    one: Delta, other: Delta, base: Mapping[str, Tensor] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Compare two deltas of one base.

    Args:
        one: the first.
        other: the second.
        base: the base's parameters, where changes of it are asked for.

    Returns:
        The row of all, with "selected" for the weights of which both select entries; and a row for
        each layer; see ``Sums.row``.

    Raises:
        UserError: a tensor that both have whole has two shapes.
    """
    names = {*one.sparse, *one.dense, *other.sparse, *other.dense}
    rows: dict[str, Sums] = {}
    whole, chosen = Sums(), Sums()
    for name in sorted(names):
        start = base.get(name) if base is not None else None
        sums = _of_parameter(name, one, other, start)
        rows.setdefault(name.rpartition(".")[0], Sums()).add(sums)
        whole.add(sums)
        if name in one.sparse and name in other.sparse:
            chosen.add(sums)
    layers = [
        {"layer": layer, **rows[layer].row(base is not None)}
        for layer in sorted(rows, key=in_order)
    ]
    return whole.row(base is not None) | {"selected": chosen.row(False)}, layers


def _of_parameter(name: str, one: Delta, other: Delta, start: Tensor | None) -> Sums:
    if (
        name in one.dense
        and name in other.dense
        and one.dense[name].shape != other.dense[name].shape
    ):
        raise UserError(
            f"{told(name)} is {tuple(one.dense[name].shape)} in one delta and "
            f"{tuple(other.dense[name].shape)} in the other, expected one shape."
        )
    (here, ours), (there, theirs) = _changed(one, name), _changed(other, name)
    shared = torch.isin(here, there)
    back = torch.isin(there, here)
    apart = ours[shared] - theirs[back]
    sums = Sums(len(here), len(there), int(shared.sum()), float(apart.square().sum()))
    sums.furthest = float(apart.abs().max()) if len(apart) else 0.0
    if start is not None:
        first, second = _moved(here, ours, start, name), _moved(there, theirs, start, name)
        product = float((first[shared] * second[back]).sum())
        sums.moved = [float(first.square().sum()), float(second.square().sum()), product]
    return sums


def _changed(delta: Delta, name: str) -> Changed:
    """The positions and values of a parameter that a delta changes; all of one that is whole."""
    if name in delta.dense:
        values = delta.dense[name].double().reshape(-1)
        return torch.arange(len(values)), values
    if name in delta.sparse:
        index, values = delta.sparse[name]
        order = index.long().sort()
        return order.values, values.double()[order.indices]
    return torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.double)


def _moved(index: Tensor, values: Tensor, start: Tensor, name: str) -> Tensor:
    """How far each value lies from the base's.

    Raises:
        UserError: the base has no such entry.
    """
    if len(index) and int(index.max()) >= start.numel():
        raise UserError(
            f"{told(name)} has {start.numel():,} entries in the base, and a delta changes entry "
            f"{int(index.max()):,}. Copy the delta again, or train anew."
        )
    return values - start.detach().double().reshape(-1)[index]


def lines_of(row: Mapping[str, Any], names: tuple[str, str]) -> Iterator[str]:
    """What `delta diff` says of all layers together, in words."""
    one, other, both = row["one"], row["other"], row["both"]
    yield f"A  {one:>12,} entries  {names[0]}"
    yield f"B  {other:>12,} entries  {names[1]}"
    of_a, of_b = (f"{both / n:.1%}" if n else "none" for n in (one, other))
    union = "none" if row["jaccard"] is None else f"{row['jaccard']:.3f}"
    yield f"shared {both:>8,} entries: {of_a} of A, {of_b} of B, Jaccard index {union}"
    if both:
        yield (
            f"values at shared entries differ by {row['rms']:.3g} (root mean square), at most "
            + (f"{row['most']:.3g}")
        )
    if "cosine" in row:
        sizes = [_size(row[name]) for name in ("one_moves", "other_moves")]
        yield f"A moves the base's values by {sizes[0]}, B by {sizes[1]} (root mean square)"
        if row["cosine"] is not None:
            yield f"cosine of the two changes {row['cosine']:.3f} (1: the same way, 0: unrelated)"


def table_of(layers: list[dict[str, Any]]) -> Iterator[str]:
    """The same, a line a layer."""
    relative = bool(layers) and "cosine" in layers[0]
    more = f" {'A moves':>9} {'B moves':>9} {'cosine':>7}" if relative else ""
    yield f"{'A':>10} {'B':>10} {'shared':>10} {'differ':>9}{more}  layer"
    for row in layers:
        cells = [f"{row[name]:>10,}" for name in ("one", "other", "both")]
        cells.append(f"{_size(row['rms']):>9}")
        if relative:
            cells += [f"{_size(row[name]):>9}" for name in ("one_moves", "other_moves")]
            cells.append(f"{_size(row['cosine']):>7}")
        yield f"{' '.join(cells)}  {told(row['layer'], 200)}"


def _size(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
