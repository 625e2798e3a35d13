"""What `python -m gpsseg.backbones` can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from gpsseg.config.checked import check_types


@dataclass(frozen=True)
class ListBackbonesConfig:
    """List the networks that can be adapted, and whether their weights are on this machine.

    Example: python -m gpsseg.backbones
    """

    missing: bool = True
    """Also list those whose weights are not on this machine."""

    def __post_init__(self) -> None:
        check_types(self)
