"""What `python -m gpsseg.info` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.checked import check_types


@dataclass(frozen=True, kw_only=True)
class AboutConfig:
    """Say what this machine and this installation are, to be pasted where you ask for help.

    It holds versions, processor, memory, GPUs, and which networks are here. No place or name of
    yours is in it: no user, machine, folder, file, image, or value of the environment.

    Example: python -m gpsseg.info

    Example: python -m gpsseg.info --backbone litemedsam --output about.md
    """

    backbone: str | None = None
    """Also what is known of this network: a name from `python -m gpsseg.backbones`, or as
    finetune's option of this name. One of your own is not named."""
    output: Path | None = None
    """File for the same text (Markdown); must not exist. Default: print only."""

    def __post_init__(self) -> None:
        check_types(self)
