"""gpsseg: adapt segmentation networks to medical images by Gradient-based Parameter Selection.

>>> from gpsseg import load_run                                     # doctest: +SKIP
>>> mask = load_run("runs/...").predict(picture)                    # doctest: +SKIP

``picture`` is (H, W, 3) uint8 RGB or (H, W) grey, the mask (H, W) bool. Or take the file apart:

>>> from gpsseg import Delta, load_backbone                         # doctest: +SKIP
>>> model = load_backbone("litemedsam")                             # doctest: +SKIP
>>> applied = Delta.load("runs/.../delta.safetensors").apply(model) # doctest: +SKIP

``applied.remove()`` returns the base network bit for bit.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ imports, for type checkers and editors
    from gpsseg.backbones import load_backbone
    from gpsseg.config.finetune import FinetuneConfig
    from gpsseg.gps.delta import Delta
    from gpsseg.predict.network import load_run, load_tasks

if sys.platform == "darwin":  # torch reads it once, when it is imported, which is after this
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__version__ = "0.2.0"
__all__ = ["Delta", "FinetuneConfig", "__version__", "load_backbone", "load_run", "load_tasks"]

_HOMES = {
    "Delta": "gpsseg.gps.delta",
    "FinetuneConfig": "gpsseg.config.finetune",
    "load_backbone": "gpsseg.backbones",
    "load_run": "gpsseg.predict.network",
    "load_tasks": "gpsseg.predict.network",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that ``--help`` need not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpsseg' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
