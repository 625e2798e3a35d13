"""What `python -m gpsseg.backbones` can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, refuse_idle

CONDITIONS: Conditions = {
    "missing": Condition("the list, not with --details", lambda config: config.details is None)
}


@dataclass(frozen=True)
class ListBackbonesConfig:
    """List the networks that can be adapted, and whether their weights are on this machine.

    Example: python -m gpsseg.backbones

    Example: python -m gpsseg.backbones --details sam2.1-hiera-tiny
    """

    missing: bool = True
    """Also list those whose weights are not on this machine."""

    details: str | None = None
    """Say all that is known of one instead: its size, licence and pre-training, what it can be
    told, where its weights go by hand, the memory of a step. A name of the list, one like
    unet:resnet50, or a checkpoint or folder of your own. Nothing is downloaded."""

    def __post_init__(self) -> None:
        check_types(self)
        refuse_idle(self, CONDITIONS)
