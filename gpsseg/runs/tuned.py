"""A run's network: the base with the run's delta on it."""

from __future__ import annotations

from pathlib import Path

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.resuming import read_config
from gpsseg.console import working
from gpsseg.data.cards.own import card_of
from gpsseg.errors import UserError
from gpsseg.gps import Delta
from gpsseg.processes import by_main
from gpsseg.runs.method import add_layers, load_base
from gpsseg.runs.settle import settle
from gpsseg.runs.trained import check_trained


def load_tuned(folder: Path, untrained: bool = False) -> tuple[SettledConfig, Backbone]:
    """Return a run's configuration and its tuned network; say so if its training was stopped.

    Args:
        folder: of the run.
        untrained: whether a network that was stopped before its first validation will do.

    Raises:
        UserError: the folder is no run folder, or the run ended before it had a result.
    """
    config = read_config(folder)
    if not (config.image_size and isinstance(config.batch_size, int)):
        raise UserError(
            f"{folder}/config.json lacks image_size or batch_size, expected whole numbers. Put "
            "back the file as gpsseg wrote it."
        )
    require_delta(folder)
    model = load_base(config, card_of(config) if config.separate_classes else None)
    apply_delta(RunFolder(folder).delta, model, config, untrained)
    return settle(config, model.facts), model


def require_delta(folder: Path) -> None:
    """Refuse a run without a result, before anything long begins.

    Raises:
        UserError: it has none.
    """
    if not RunFolder(folder).delta.is_file():
        raise UserError(
            f"{folder} has no delta.safetensors: the run was stopped before it had a result. "
            "Go on with `python -m gpsseg.finetune --resume`."
        )


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
