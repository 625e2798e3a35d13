"""The learning rates of a training: a warm-up, then half a cosine down to zero."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from gpsseg.config.finetune import SettledConfig


class Schedule:
    """The learning rates over all updates: see ``_cosine``.

    Args:
        optimizer: whose rates are set.
        config: epochs and warm-up.
        updates: of an epoch.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: SettledConfig, updates: int):
        self._optimizer = optimizer
        self._factor = _cosine(config.epochs * updates, config.warmup)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)

    def go_to(self, done: int) -> None:
        """Stand where so many updates were made."""
        self._schedule.last_epoch = done
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self._factor(self._schedule.last_epoch)

    def step(self) -> None:
        """One update was made."""
        self._schedule.step()

    @property
    def done(self) -> int:
        """How many updates were made."""
        return int(self._schedule.last_epoch)

    @property
    def rate(self) -> float:
        """The highest of the present rates."""
        return float(max(self._schedule.get_last_lr()))


def _cosine(total: int, warmup: float) -> Callable[[int], float]:
    """Linear warm-up over a share of all updates, then half a cosine down to zero.

    A warm-up takes one update at least, but the last update is never the one at the peak.

    >>> [round(_cosine(4, 0.1)(update), 3) for update in range(5)]
    [0.5, 1.0, 0.75, 0.25, 0.0]
    >>> [round(_cosine(2, 0.1)(update), 3) for update in range(3)]
    [1.0, 0.5, 0.0]
    """
    rising = max(1, round(warmup * total)) if warmup else 0
    if 0 < rising == total - 1:
        rising -= 1

    def factor(update: int) -> float:
        if update < rising:
            return (update + 1) / (rising + 1)
        if update >= total:
            return 0.0
        return 0.5 * (1 + math.cos(math.pi * (update - rising) / max(1, total - rising)))

    return factor
