"""The untuned network of a run that is there: what runs because the user named it, and no more."""

from __future__ import annotations

from collections.abc import Iterable

from gpsseg.backbones import Backbone
from gpsseg.backbones.registry import require_named_before
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.console import say
from gpsseg.data.cards.own import card_of
from gpsseg.gps import Delta
from gpsseg.runs.method import load_base


def base_of_run(config: FinetuneConfig, deltas: Iterable[Delta]) -> Backbone:
    """Load the network by a run's stored settings.

    Args:
        config: of the run, which may come from elsewhere.
        deltas: that were trained on it.

    Raises:
        UserError: it is not there, or it is code that nobody has named on this machine.
    """
    require_named_before(config.backbone)
    base = load_base(config, card_of(config) if config.separate_classes else None)
    version = base.facts.code
    if version and any(f"code {version}" not in each.metadata.get("base", "") for each in deltas):
        say(
            f"note: the code of {config.backbone} has changed since the delta was trained. Its "
            "weights are the same; whether it computes the same, gpsseg cannot know.",
            style="yellow",
        )
    return base
