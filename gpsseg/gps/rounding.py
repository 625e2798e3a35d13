"""How much of a selection rounding may decide."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gpsseg.gps.mix import Mixed
from gpsseg.gps.score import Scores
from gpsseg.gps.select import Level


def within_rounding(
    scores: Scores | Mixed,
    top_k: Mapping[str, int],
    level: Level = "neuron",
    share: float = 1e-4,
) -> int:
    """Count the selected entries that are as good as equal to the best one that is left out.

    Sums of gradients depend in their last digits on the order in which they are added up, and which
    of two such entries is selected depends on these. Scores of 0 do not. In a mix each rule leaves
    out on its own.

    Args:
        scores: as for ``select``.
        top_k: as for ``select``.
        level: as for ``select``.
        share: of a score, that rounding may change; as it is, that of float32 sums.
    """
    left_out = set(scores.without_gradient)
    names = [name for name in top_k if name not in left_out]
    if isinstance(scores, Mixed):
        return sum(_of_mix(scores, name, top_k[name], share) for name in names)
    rows = {name: scores.rows(name) for name in names}
    budgets = {n: min(top_k[n], each.shape[1]) for n, each in rows.items()}
    if level != "neuron":
        budgets = {n: budgets[n] * len(each) for n, each in rows.items()}
        rows = {n: each.reshape(1, -1) for n, each in rows.items()}
    if level == "net" and rows:
        budget = sum(budgets.values())
        best = [e.flatten().topk(min(budget + 1, e.numel())).values for e in rows.values()]
        rows, budgets = {"net": torch.cat(best)[None]}, {"net": budget}
    return sum(_exchangeable(e, torch.tensor([budgets[n]]), share) for n, e in rows.items())


def _of_mix(mixed: Mixed, name: str, top_k: int, share: float) -> int:
    """The same of one weight, of which two rules choose; one that is blind knows no rounding."""
    first = mixed.first.rows(name)
    neurons, inputs = first.shape
    if top_k >= inputs:
        return 0  # all are selected, by whichever rule
    own = mixed.numbers_first(name, neurons, inputs)
    ties = _exchangeable(first, own, share)
    if not mixed.other.is_blind:
        rest = mixed.other.rows(name).masked_fill(mixed.chosen_first(name), -1)
        ties += _exchangeable(rest, top_k - own, share)
    return ties


def _exchangeable(rows: Tensor, k: Tensor, share: float) -> int:
    """Of the best ``k`` of each row, how many are within a share of the next.

    Args:
        rows: float (rows, entries).
        k: int64, one for each row or one for all.
        share: of a score.
    """
    each = k.to(rows.device).expand(len(rows))[:, None]
    best = rows.topk(min(int(k.max()) + 1, rows.shape[1]), dim=1).values
    following = best.gather(1, each.clamp_max(best.shape[1] - 1))
    chosen = torch.arange(best.shape[1], device=rows.device) < each
    chosen &= each < rows.shape[1]
    return int(((best - following <= share * best) & (best > 0) & chosen).sum())
