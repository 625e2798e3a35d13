"""A run's tuned network as other libraries know it: none of gpsseg's own layers left."""

from __future__ import annotations

from pathlib import Path

from gpsseg.backbones import Backbone
from gpsseg.runs.members import load_networks, refuse_study


def merged(folder: Path, untrained: bool = False) -> Backbone:
    """The network of a run with the tuned values in its own weights: float32, on the CPU.

    Args:
        folder: of the run.
        untrained: whether a network that was stopped before its first validation will do.

    Raises:
        UserError: it is no run's or has no result, or the method's layers cannot be merged.
    """
    refuse_study(folder)
    model = load_networks(folder, untrained).model
    merge(model)
    return model


def merge(model: Backbone) -> None:
    """Merge a method's own layers into a network's weights, in place; most methods have none.

    Raises:
        UserError: they cannot be; the network is as it was.
    """
