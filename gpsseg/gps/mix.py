"""Scores of two rules: of each neuron's entries some by one, the rest by another."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gpsseg.gps.score import Scores


@dataclass(frozen=True)
class Mixed:
    """What ``select`` takes in the place of ``Scores``; for the level "neuron".

    Attributes:
        first: the scores that choose first.
        other: of the rule that chooses among what is left.
        share: of the entries that the other rule chooses, in (0, 1).
        top_k: weight name -> K.
        seed: of a rule that draws at random.
    """

    first: Scores
    other: Scores
    share: float
    top_k: Mapping[str, int]
    seed: int

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """As ``Scores.without_gradient``, of the rule that chooses first."""
        return self.first.without_gradient

    def rows(self, name: str) -> Tensor:
        """Return float (neurons, inputs): in (1, 2] what is chosen first, in [0, 1] all else.

        Where K times the share is no whole number neurons differ by one, such that the layer has
        its share.
        """
        first = _up_to_one(self.first.rows(name))
        with torch.random.fork_rng():
            torch.manual_seed(self.seed ^ zlib.crc32(name.encode()))
            other = _up_to_one(self.other.rows(name))
        neurons, inputs = first.shape
        k = min(self.top_k[name], inputs)
        steps = torch.arange(neurons + 1, device=first.device, dtype=torch.float64)
        taken = (steps * k * (1 - self.share) + 0.5).floor()
        own = (taken[1:] - taken[:-1]).long()
        rank = first.argsort(dim=1, descending=True).argsort(dim=1)
        return torch.where(rank < own[:, None], 1 + first, other)


def _up_to_one(rows: Tensor) -> Tensor:
    most = rows.amax(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return rows / most
