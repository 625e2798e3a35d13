"""Scores of two rules: of each neuron's entries some by one, the rest by another."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpsseg.gps.score import Scores
from gpsseg.gps.select import Selection, selection_at


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
        """Return float (neurons, inputs): in [2, 3] what is chosen first, in [0, 1] all else."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed ^ zlib.crc32(name.encode()))
            other = _up_to_one(self.other.rows(name))
        first = self.first.rows(name)
        return torch.where(self._of(first, name), 2 + _up_to_one(first), other)

    def chosen_first(self, name: str) -> Tensor:
        """Return bool (neurons, inputs): what the first rule chooses."""
        return self._of(self.first.rows(name), name)

    def numbers_first(self, name: str, neurons: int, inputs: int) -> Tensor:
        """Return int64 (neurons,): how many entries of each neuron the first rule chooses.

        Where K times the share is no whole number neurons differ by one, such that the layer has
        its share.
        """
        k = min(self.top_k[name], inputs)
        steps = torch.arange(neurons + 1, dtype=torch.float64)
        taken = (steps * k * (1 - self.share) + 0.5).floor()
        return (taken[1:] - taken[:-1]).long()

    def _of(self, first: Tensor, name: str) -> Tensor:
        own = self.numbers_first(name, *first.shape).to(first.device)
        rank = first.argsort(dim=1, descending=True).argsort(dim=1)
        return rank < own[:, None]


def chosen_first(model: nn.Module, mixed: Mixed) -> Selection:
    """Select what the first rule of a mix chooses, without what the other one adds."""
    left_out = set(mixed.without_gradient)
    names = [name for name in mixed.top_k if name not in left_out]
    best = {name: mixed.chosen_first(name).flatten().nonzero().flatten() for name in names}
    return selection_at(model, best)


def _up_to_one(rows: Tensor) -> Tensor:
    most = rows.amax(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return rows / most
