"""The one optimiser: of training, and of what measures a training step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.device import fused_updates

BORN = "born"  # beside AdamW's own state: (n,) how many updates there were before each entry's own


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


def carry_over(
    old: dict[str, Tensor], index: Tensor, new_index: Tensor, values: Tensor
) -> dict[str, Tensor]:
    """The state of a parameter of selected entries when others are selected.

    What stays keeps its moments and its age; what is new has moments of 0 and the age 0.

    Args:
        old: the parameter's state, with or without ``BORN``.
        index: (n,) ascending positions of the entries so far.
        new_index: (m,) those from now on.
        values: (m,) the new parameter.
    """
    device = values.device
    places = torch.searchsorted(index, new_index).clamp(max=max(0, len(index) - 1)).to(device)
    stays = index.to(device)[places] == new_index.to(device)
    step = old["step"]
    born = old.get(BORN, torch.zeros_like(old["exp_avg"]))
    state = {name: old[name][places] * stays for name in ("exp_avg", "exp_avg_sq")}
    state[BORN] = torch.where(stays, born[places], step.to(born))
    return {"step": step.clone(), **state}


def correct_by_age(optimizer: torch.optim.Optimizer) -> None:
    """Let each entry's update be that of AdamW with the entry's own number of updates.

    AdamW divides the moments by 1 - beta^t, because they begin at 0, where t is one number for a
    whole parameter. An entry that is selected later has moments that began later: with the
    parameter's t its first update would be 3 times the rate, (1 - .9) / sqrt(1 - .999), and the
    following ones up to 6 times. AdamW's moments are right as they are; so the update of these
    entries, and of no other, is made anew from them.
    """
    before: dict[Tensor, Tensor] = {}

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        before.clear()
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            if parameter.grad is not None and BORN in optimizer.state.get(parameter, ()):
                before[parameter] = parameter.detach().clone()

    @torch.no_grad()
    def correct(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            for parameter in (p for p in group["params"] if p in before):
                state = optimizer.state[parameter]
                own = _updated(before[parameter], state, group)
                parameter.copy_(torch.where(state[BORN] > 0, own, parameter))

    optimizer.register_step_pre_hook(note)
    optimizer.register_step_post_hook(correct)


def _updated(values: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
    """AdamW's decoupled decay and update, by the age of each entry (Loshchilov & Hutter, 2019)."""
    rate, (beta1, beta2) = group["lr"], group["betas"]
    age = state["step"].to(values) - state[BORN]
    first, second = (-torch.expm1(age * math.log(beta)) for beta in (beta1, beta2))
    root = (state["exp_avg_sq"] / second).sqrt() + group["eps"]
    return values * (1 - rate * group["weight_decay"]) - rate * state["exp_avg"] / first / root
