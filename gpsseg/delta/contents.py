"""What is in a delta: its entries and whole tensors, by layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gpsseg.gps import Delta


def bytes_of(delta: Delta) -> dict[str, int]:
    """How many bytes its positions, its values and its whole tensors take."""

    def size(*tensors: Tensor) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    return {
        "positions": size(*(index for index, _ in delta.sparse.values())),
        "values": size(*(values for _, values in delta.sparse.values())),
        "whole": size(*delta.dense.values()),
    }


def layers_of(delta: Delta) -> list[dict[str, Any]]:
    """A row a layer: how many of its entries the delta changes, and how many numbers whole."""
    rows: dict[str, dict[str, Any]] = {}

    def row(name: str) -> dict[str, Any]:
        layer = name.rpartition(".")[0]
        return rows.setdefault(layer, {"layer": layer, "selected": 0, "whole": 0})

    for name, (_, values) in delta.sparse.items():
        row(name)["selected"] += len(values)
    for name, tensor in delta.dense.items():
        row(name)["whole"] += tensor.numel()
    return [rows[layer] for layer in sorted(rows, key=in_order)]


def in_order(name: str) -> list[tuple[int, str]]:
    """A key that puts layer 2 before layer 10.

    >>> sorted(["a.10", "a.2"], key=in_order)
    ['a.2', 'a.10']
    """
    return [(int(part) if part.isdecimal() else -1, part) for part in name.split(".")]


def contents_of(delta: Delta) -> dict[str, int]:
    """How many weights have changed entries, how many entries; and tensors that trained whole."""
    return {
        "weights": len(delta.sparse),
        "entries": sum(len(values) for _, values in delta.sparse.values()),
        "whole_tensors": len(delta.dense),
        "whole": sum(tensor.numel() for tensor in delta.dense.values()),
    }
