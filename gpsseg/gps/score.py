"""Gradients -> scores: how much does every weight matter to this task?

GPS, sec. 3.2: run the *training* images through the pre-trained network once, with the task's loss
and no optimiser step; the score of a weight is the magnitude of its summed gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Scores:
    """One score per weight entry.

    Attributes:
        values: weight name -> float tensor of the weight's shape, >= 0; higher matters more.
        without_gradient: weights that no batch gave a gradient; they have no entry in ``values``.
    """

    values: dict[str, Tensor]
    without_gradient: tuple[str, ...]


def score(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    weights: Sequence[str],
) -> Scores:
    """Score weights by |sum of gradients| over all batches (GPS, eq. 3).

    The gradients add up in place, so that one dense set is the most memory this takes. The
    network's weights, its statistics and its ``requires_grad`` flags are left as they were.

    Args:
        model: the pre-trained network; put it into the mode (train or eval) it is tuned in.
        batches: training data, once through.
        loss: ``loss(model, batch)`` -> scalar, as for training.
        weights: names of the weights to score.

    Raises:
        UserError: there is no batch, or a gradient is not finite.
    """
    parameters = dict(model.named_parameters())
    wanted = {name: parameters[name] for name in weights}
    with _only_these_get_gradients(model, wanted.values()):
        seen = 0
        for batch in batches:
            loss(model, batch).backward()
            seen += 1
        if not seen:
            raise UserError("There is no training image to score the weights on.")
        gradients = {name: parameter.grad for name, parameter in wanted.items()}
    values = {name: g.float().abs_() for name, g in gradients.items() if g is not None and g.any()}
    for name, value in values.items():
        if not torch.isfinite(value).all():
            raise UserError(
                f"The gradient of {name} is not finite, so it cannot be scored. Check the images "
                "with --precision fp32."
            )
    return Scores(values, tuple(name for name in weights if name not in values))


@contextmanager
def _only_these_get_gradients(model: nn.Module, wanted: Iterable[nn.Parameter]) -> Iterator[None]:
    """Freeze all but ``wanted``; afterwards restore every flag and drop every gradient."""
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    chosen = set(wanted)
    for parameter in flags:
        parameter.requires_grad_(parameter in chosen)
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
            parameter.grad = None
