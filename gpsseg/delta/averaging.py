"""The mean of several deltas, and what is said of how each counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpsseg.delta.opened import OpenedDelta
from gpsseg.errors import UserError, few
from gpsseg.gps import Delta
from gpsseg.gps.average import average as mean
from gpsseg.gps.average import doubts_of, images_of, weights_of


def averaged(deltas: Sequence[Delta], weights: Sequence[float]) -> tuple[Delta, list[float]]:
    """The mean of deltas, and each one's share of it.

    Args:
        deltas: of one base and selection.
        weights: how much each counts; empty for its training images, or equally, where one does
            not say how many.

    Raises:
        UserError: there are more or fewer weights than deltas, or the deltas do not fit together.
    """
    if weights and len(weights) != len(deltas):
        raise UserError(
            f"Got {len(weights)} --weights for {len(deltas)} deltas, expected one for each."
        )
    counts = list(weights) or weights_of(deltas)
    return mean(deltas, weights or None), [each / sum(counts) for each in counts]


def lines_of(
    opened: Sequence[OpenedDelta], shares: Sequence[float], weighted: bool
) -> Iterator[tuple[str, str]]:
    """How each counts, and why; with the style of the line."""
    unknown = [each.name for each in opened if images_of(each.delta) is None]
    for each, share in zip(opened, shares, strict=True):
        images = images_of(each.delta)
        of = "unknown how many" if images is None else f"{images:,}"
        yield f"{share:>7.2%}  {each.name} ({of} training images)", ""
    if unknown and not weighted and len(opened) > 1:
        yield (
            f"All count equally, as {few(unknown)} does not say on how many images it was trained. "
            "Pass --weights for others.",
            "yellow",
        )
    for doubt in doubts_of([each.delta for each in opened]):
        yield doubt, "bold yellow"
