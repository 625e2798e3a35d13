"""What makes a weight matter: every criterion as two pure functions.

``of_gradient`` turns one batch's gradient into what is added up, entry by entry; ``of_total`` turns
the sum, and the weight itself, into scores. It sees both as (groups, neurons, inputs): a row per
output neuron, and the rows of one group share their inputs. A criterion ``of_input`` has no
gradient: what adds up is how large an entry's input is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-8  # lets a weight of exactly 0 be divided by


@dataclass(frozen=True)
class Criterion:
    """A way to score.

    Attributes:
        of_gradient: gradient of a batch -> what it adds, elementwise; None if no image is needed.
        of_total: (total, weight) -> scores >= 0, all (groups, neurons, inputs).
        of_part: (total over some of the images, weight) -> what adds up over such parts, and whose
            magnitude is the score of all; None where scores are made of more than that.
        of_input: whether the mean magnitudes of the layers' inputs are added up, by forward passes
            alone; then there is no ``of_gradient``.
    """

    of_gradient: Callable[[Tensor], Tensor] | None
    of_total: Callable[[Tensor, Tensor], Tensor]
    of_part: Callable[[Tensor, Tensor], Tensor] | None = None
    of_input: bool = False

    @property
    def is_blind(self) -> bool:
        """Whether it looks at no image."""
        return self.of_gradient is None and not self.of_input

    @property
    def takes_batches(self) -> bool:
        """Whether the gradient of a batch's summed loss adds what its images' own would one by one.

        Magnitudes and squares of it do not: what images disagree on is gone from the sum.
        """
        return self.of_gradient is as_it_is


def as_it_is(values: Tensor) -> Tensor:
    """Add gradients, float (...), with their signs: images that disagree cancel, as in GPS."""
    return values


def total_alone(total: Tensor, weight: Tensor) -> Tensor:
    """The magnitude of the sum, float (groups, neurons, inputs)."""
    return total.abs()


def part_alone(total: Tensor, weight: Tensor) -> Tensor:
    """The sum with its sign, float (groups, neurons, inputs)."""
    return total


def times_weight(total: Tensor, weight: Tensor) -> Tensor:
    """First-order Taylor: about how much the loss changes if the weight were zero.

    Both and the result are float (groups, neurons, inputs).

    Source:
        Molchanov et al., Importance estimation for neural network pruning, CVPR 2019, which squares
        it: the order is the same.
    """
    return (total * weight).abs()


def part_times_weight(total: Tensor, weight: Tensor) -> Tensor:
    """The same with its sign, float (groups, neurons, inputs)."""
    return total * weight


def per_weight(total: Tensor, weight: Tensor) -> Tensor:
    """Large gradients of small weights, which moved little in pre-training.

    Both and the result are float (groups, neurons, inputs).

    Source:
        GaLLoP, 2510.19778.
    """
    return total.abs() / (weight.abs() + TINY)


def part_per_weight(total: Tensor, weight: Tensor) -> Tensor:
    """The same with its sign, float (groups, neurons, inputs)."""
    return total / (weight.abs() + TINY)


def per_channel(total: Tensor, weight: Tensor) -> Tensor:
    """Divide by the norm of the input's column, so that neurons do not all choose the loudest.

    Both and the result are float (groups, neurons, inputs).
    """
    norm = total.norm(dim=1, keepdim=True)
    return total.abs() / norm.clamp_min(torch.finfo(total.dtype).tiny)


def magnitude(total: Tensor, weight: Tensor) -> Tensor:
    """The largest weights, float (groups, neurons, inputs), as NeuroAda (2510.18940) selects."""
    return weight.abs()


def chance(total: Tensor, weight: Tensor) -> Tensor:
    """A control: float (groups, neurons, inputs) in [0, 1), drawn from torch's random state."""
    return torch.rand(weight.shape).to(weight.device)


CRITERIA: Mapping[str, Criterion] = {
    "gradient": Criterion(as_it_is, total_alone, part_alone),
    "gradient-abs": Criterion(torch.abs, total_alone, part_alone),
    # the diagonal of the empirical Fisher information (Sung et al. 2021, 2111.09839)
    "fisher": Criterion(torch.square, total_alone, part_alone),
    "taylor": Criterion(as_it_is, times_weight, part_times_weight),
    "channel-normalised": Criterion(as_it_is, per_channel),
    "gallop": Criterion(as_it_is, per_weight, part_per_weight),
    # magnitude of weight times input: forward passes alone (FPS, 2510.27359)
    "fps": Criterion(None, times_weight, part_times_weight, of_input=True),
    "magnitude": Criterion(None, magnitude),
    "random": Criterion(None, chance),
}
