"""Gradients -> scores: how much does every weight matter to this task?

GPS (Zhang et al., CVPR 2024): run the *training* images through the pre-trained network once, with
the task's loss and no optimiser step; the score of a weight is the magnitude of its summed
gradient, as in the method's public code. One criterion looks at the layers' inputs instead, see
``gpsseg.gps.inputs``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError, look_up
from gpsseg.gps.criteria import CRITERIA, Criterion
from gpsseg.gps.inputs import inputs_go_to, no_input, over_weight
from gpsseg.gps.neurons import as_rows, owner

Batch = TypeVar("Batch")


class NotFiniteError(UserError):
    """A gradient is NaN or infinite, so that no score can be made of it."""


class Scores:
    """One score per weight entry, worked out weight by weight when it is asked for.

    So the sums of gradients are all that is held: one number for every entry.

    Args:
        model: the network.
        criterion: how sums become scores.
        totals: weight name -> sum over the batches; it goes on growing while batches come.
        weights: names of all weights that were to be scored.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        totals: Mapping[str, Tensor],
        weights: Sequence[str],
    ):
        self._model, self._criterion, self._totals = model, criterion, totals
        self._weights = weights

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """The weights that no batch gave a gradient; they have no scores."""
        if self._criterion.is_blind:
            return ()
        totals = self._totals
        return tuple(n for n in self._weights if n not in totals or not totals[n].any())

    @property
    def names(self) -> tuple[str, ...]:
        """The weights that have scores."""
        left_out = set(self.without_gradient)
        return tuple(name for name in self._weights if name not in left_out)

    @property
    def is_blind(self) -> bool:
        """Whether they look at no image."""
        return self._criterion.is_blind

    @property
    def totals(self) -> Mapping[str, Tensor]:
        """Weight name -> what was added up so far; none where no batch gave any."""
        return self._totals

    def of(self, totals: Mapping[str, Tensor]) -> Scores:
        """What the same criterion makes of other sums."""
        return Scores(self._model, self._criterion, totals, self._weights)

    def summed(self, add: Callable[[Tensor], Tensor]) -> Scores:
        """The scores of all images, where each of several processes has seen some of them.

        Args:
            add: gives the sum of all processes' tensors; it is called for every weight in turn,
                also where this process has no gradient.
        """
        if self._criterion.is_blind:
            return self

        def own(name: str) -> Tensor:
            if name in self._totals:
                return self._totals[name]
            weight = self._model.get_parameter(name)
            wide = no_input(owner(self._model, name)) if self._criterion.of_input else weight
            return torch.zeros_like(wide, device=weight.device)

        totals = {name: add(own(name).detach()) for name in self._weights}
        return Scores(self._model, self._criterion, totals, self._weights)

    def by(self, criterion: str) -> Scores:
        """What another criterion makes of the same sums.

        Raises:
            UserError: it is unknown, or needs other sums.
        """
        other = look_up(criterion, CRITERIA, "criterion")
        if not (other.is_blind or other.of_gradient is self._criterion.of_gradient is not None):
            raise UserError(f"The criterion {criterion} adds up something else than this one does.")
        return Scores(self._model, other, self._totals, self._weights)

    def rows(self, name: str) -> Tensor:
        """Return one weight's scores: float (neurons, inputs), >= 0; higher matters more.

        Raises:
            NotFiniteError: a score is not finite.
        """
        found = self._of(name, self._criterion.of_total)
        if not torch.isfinite(found).all():
            raise NotFiniteError(
                f"The gradient of {name} is not finite, so it cannot be scored. Check the images "
                "with --precision fp32."
            )
        return found

    def parts(self, name: str) -> Tensor:
        """Return what adds up over parts of the images: float (neurons, inputs), of both signs.

        The magnitude of the sum of all parts' is the score by all images, ``rows``.

        Raises:
            UserError: the criterion's scores are made of more than such sums.
        """
        if self._criterion.of_part is None:
            raise UserError("These scores cannot be added up: choose --criterion gradient.")
        return self._of(name, self._criterion.of_part)

    def _of(self, name: str, rule: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        layer, weight = owner(self._model, name), self._model.get_parameter(name).detach()
        groups = getattr(layer, "groups", 1)

        def grouped(tensor: Tensor) -> Tensor:
            rows = as_rows(tensor, layer)
            return rows.reshape(groups, -1, rows.shape[1])

        total = self._totals.get(name, weight)
        if self._criterion.of_input and name in self._totals:
            total = over_weight(total, weight, layer)
        return rule(grouped(total), grouped(weight)).flatten(0, 1)


def score(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    weights: Sequence[str],
    criterion: str = "gradient",
) -> Scores:
    """Score weights by what their gradients add up to over all batches.

    Args:
        model: the pre-trained network; put it into the mode (train or eval) it is tuned in.
        batches: training data, once through; a criterion that is blind reads none of it.
        loss: ``loss(model, batch)`` -> scalar, as for training.
        weights: names of the weights to score.
        criterion: a key of ``CRITERIA``; "gradient" is the paper's.

    Raises:
        UserError: the criterion is unknown, or looks at images and there is no batch.

    Source:
        Zhang et al., Gradient-based Parameter Selection, CVPR 2024; others with ``CRITERIA``.
    """
    last = deque(running_scores(model, batches, loss, weights, criterion), maxlen=1)
    if not last:
        raise UserError("There is no training image to score the weights on.")
    return last[0]


def unscored(model: nn.Module, weights: Sequence[str], criterion: str = "gradient") -> Scores:
    """The scores before the first batch, for a process that no image is left for."""
    return Scores(model, look_up(criterion, CRITERIA, "criterion"), {}, weights)


def running_scores(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    weights: Sequence[str],
    criterion: str = "gradient",
) -> Iterator[Scores]:
    """As ``score``, but yield the scores so far after every batch; without a batch nothing.

    Each gradient is added to its sum, and freed, as soon as the backward pass has it. The network's
    weights, its statistics and, in the end, its ``requires_grad`` flags are as they were.
    """
    chosen = look_up(criterion, CRITERIA, "criterion")
    totals: dict[str, Tensor] = {}
    scores = Scores(model, chosen, totals, weights)
    if chosen.is_blind:
        yield scores
        return
    if chosen.of_gradient is None:
        with inputs_go_to(totals, model, weights), torch.no_grad():
            for batch in batches:
                loss(model, batch)
                yield scores
        return
    with _gradients_go_to(totals, model, weights, chosen.of_gradient):
        for batch in batches:
            loss(model, batch).backward()
            yield scores


@contextmanager
def _gradients_go_to(
    totals: dict[str, Tensor],
    model: nn.Module,
    weights: Sequence[str],
    of_gradient: Callable[[Tensor], Tensor],
) -> Iterator[None]:
    """Freeze all but ``weights`` and add up their gradients; afterwards restore every flag."""
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    names = {model.get_parameter(name): name for name in weights}

    def add(parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        name, found = names[parameter], of_gradient(parameter.grad)
        totals[name] = totals[name].add_(found) if name in totals else found
        parameter.grad = None

    for parameter in flags:
        parameter.requires_grad_(parameter in names)
        parameter.grad = None
    hooks = [parameter.register_post_accumulate_grad_hook(add) for parameter in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
            parameter.grad = None
