"""The network that a training has just made: the base with the new delta on it."""

from __future__ import annotations

from pathlib import Path

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.console import working
from gpsseg.gps import Delta
from gpsseg.processes import by_main
from gpsseg.runs.method import add_layers
from gpsseg.runs.trained import check_trained


def apply_delta(
    path: Path, model: Backbone, config: FinetuneConfig, untrained: bool = False
) -> None:
    """Turn the base into the tuned network, in place, as a user would from the file.

    Raises:
        UserError: the file is no delta, was made from another base, or is of an untrained network
            and ``untrained`` does not allow that.
    """
    by_main(lambda: check_trained(path.parent, config.epochs, untrained))
    with working(f"applying {path.name}"):
        delta = by_main(lambda: Delta.load(path))  # just written, perhaps on another machine's disk
        delta.apply(model, lambda _: add_layers(model, config))
