"""How much of a selection other training images would have selected too.

Sums over parts of the images are differences of what the sums were on the way; so one pass over the
images holds the scores by any parts of them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from gpsseg.gps.criteria import CRITERIA
from gpsseg.gps.score import Scores


class SumsOnTheWay:
    """What the sums of gradients were at the end of each part of the images, in main memory."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Tensor]] = []

    def keep(self, scores: Scores) -> None:
        """Remember the sums so far, which end a part."""
        self._kept.append({name: sums.cpu().clone() for name, sums in scores.totals.items()})

    def halves(self, scores: Scores, half: Collection[int]) -> tuple[Scores, Scores]:
        """The scores by the images of some parts, and by those of all others.

        Args:
            scores: by all images.
            half: numbers of parts, from 0.
        """
        rest = [part for part in range(len(self._kept) + 1) if part not in half]
        return self.of_parts(scores, half), self.of_parts(scores, rest)

    def of_parts(self, scores: Scores, parts: Collection[int]) -> Scores:
        """The scores by the images of some parts.

        Args:
            scores: by all images; these end the last part.
            parts: their numbers, from 0.
        """
        ends: list[Mapping[str, Tensor]] = [*self._kept, scores.totals]
        sums: dict[str, Tensor] = {}
        for part in parts:
            before = ends[part - 1] if part else {}
            for name, total in ends[part].items():
                total = total.to(scores.totals[name].device)
                own = total - before[name].to(total.device) if name in before else total
                sums[name] = sums[name] + own if name in sums else own.clone()
        return scores.of(sums)


def divisions(sizes: Sequence[int], most: int, seed: int) -> list[tuple[int, ...]]:
    """Ways to divide parts into two halves as equal as can be; of equal ones the seed takes some.

    Args:
        sizes: images of each part; an even number of parts.
        most: how many divisions.
        seed: of the choice.

    Returns:
        The parts of the half that holds the first.

    >>> sorted(divisions([4, 1, 1, 4], 5, seed=0))
    [(0, 1), (0, 2)]
    """
    every = [
        (0, *rest) for rest in itertools.combinations(range(1, len(sizes)), len(sizes) // 2 - 1)
    ]
    random.Random(seed).shuffle(every)
    apart = {half: abs(2 * sum(sizes[part] for part in half) - sum(sizes)) for half in every}
    least = min(apart.values())
    return [half for half in every if apart[half] == least][:most]


def of_the_same_sums(criterion: str) -> list[str]:
    """The criteria that score by the sums which this one adds up, or by none; but chance.

    >>> of_the_same_sums("fisher")
    ['fisher', 'magnitude']
    """
    own = CRITERIA[criterion]
    return [
        name
        for name, each in CRITERIA.items()
        if name == criterion
        or (each.is_blind and name != "random")
        or each.of_gradient is own.of_gradient is not None
    ]
