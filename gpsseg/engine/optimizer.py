"""The one optimiser: of training, and of what measures a training step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from gpsseg.device import fused_updates


def adamw(
    groups: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    weight_decay: float,
    device: torch.device,
) -> torch.optim.AdamW:
    """AdamW over parameters that lie on ``device``, or will before the first update.

    >>> weights = [nn.Parameter(torch.zeros(1))]
    >>> [adamw(weights, 0, torch.device(name)).defaults["fused"] for name in ("cpu", "cuda")]
    [None, True]
    """
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=fused_updates(device))
