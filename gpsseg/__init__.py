"""gpsseg: adapt segmentation networks to medical images by Gradient-based Parameter Selection.

>>> from gpsseg import Delta, load_backbone                         # doctest: +SKIP
>>> model = load_backbone("litemedsam")                             # doctest: +SKIP
>>> applied = Delta.load("runs/.../delta.safetensors").apply(model) # doctest: +SKIP

``applied.remove()`` returns the base network bit for bit.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Delta", "__version__", "load_backbone"]

_HOMES = {"Delta": "gpsseg.gps.delta", "load_backbone": "gpsseg.backbones"}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that ``--help`` need not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpsseg' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
