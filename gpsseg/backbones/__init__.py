"""Pre-trained networks to adapt. A new family is one file here and one line in ``registry.py``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpsseg.backbones.base import Backbone, Facts, Prompt
    from gpsseg.backbones.registry import BACKBONES, FAMILIES, load_backbone

__all__ = ["BACKBONES", "FAMILIES", "Backbone", "Facts", "Prompt", "load_backbone"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``python -m gpsseg.backbones --help`` need not import torch."""
    if name not in __all__:
        raise AttributeError(f"module 'gpsseg.backbones' has no attribute '{name}'")
    home = "base" if name in ("Backbone", "Facts", "Prompt") else "registry"
    return getattr(importlib.import_module(f"gpsseg.backbones.{home}"), name)
