"""Which input channels a selection uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.gps import Selection

NAMED = 5  # channels of a layer


def channels(backbone: Backbone, selection: Selection, names: Iterable[str]) -> dict[str, Any]:
    """The input channels that a selection uses, in all and of each weight; see docs/files.md.

    Args:
        backbone: whose weights they are of.
        selection: of their entries.
        names: of all weights that were selected from.
    """
    rows: list[dict[str, Any]] = []
    for name, found in gps.channels_of(backbone, selection, names).items():
        most = found.neurons.topk(min(NAMED, len(found.neurons)))
        pairs = zip(most.indices.tolist(), most.values.tolist(), strict=True)
        rows.append(
            {
                "weight": name,
                "inputs": len(found.neurons),
                "used": found.used,
                "by_chance": found.by_chance,
                "neurons": found.selecting,
                "most": [{"channel": each, "neurons": count} for each, count in pairs if count],
            }
        )
    every = max(1, sum(row["inputs"] for row in rows))
    shares = {key: sum(row[key] for row in rows) / every for key in ("used", "by_chance")}
    return {**shares, "weights": rows}
