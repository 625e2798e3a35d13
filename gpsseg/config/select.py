"""What `python -m gpsseg.select` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.shared import BackboneConfig, DataConfig


@dataclass(frozen=True, kw_only=True)
class SelectConfig(BackboneConfig, DataConfig):
    """Show what GPS would select: per layer, with counts and shares; nothing is trained.

    Example: python -m gpsseg.select --dataset kvasir --top-k 1
    """

    output: Path | None = None
    """Folder to write selection.safetensors and selection.json to. Default: print only."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        DataConfig.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class SettledSelectConfig(SelectConfig):
    """A configuration that leaves nothing to the backbone any more."""

    image_size: int
