"""A share of the images, by whole groups: which groups come nearest to it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpsseg.data.case import Case

BLOCK = 256  # sums are kept of every so many groups; those between are formed again
BY_IMAGES, BY_GROUPS = "-by-images", "-by-groups"


@dataclass(frozen=True)
class Carved:
    """Cases split in two.

    Attributes:
        rest, picked: disjoint, each in the order of the cases.
        as_before: whether a share of the groups, as version 0.1 took it, is the same.
        note: what to say where the share was missed; empty if it was not.
    """

    rest: list[Case]
    picked: list[Case]
    as_before: bool
    note: str


def carve(
    cases: Sequence[Case], share: float, seed: int, part: str = "test", by_groups: bool = False
) -> Carved:
    """Split off a share of the cases by seed, whole groups, as near to it as groups allow.

    Never nothing, and never everything where there are two groups or more. Groups are taken in
    seeded order, the earlier ones first. Where the first groups, as many as the share of their
    number, come as near as any, it is these: version 0.1 took them always.

    Args:
        cases: what to split; a case without group is its own.
        share: of the cases, 0..1.
        seed: of the order.
        part: what the note calls the cases split off.
        by_groups: take the share of the groups, as version 0.1 did.
    """
    sizes = Counter(case.group or case.id for case in cases)
    names = np.random.default_rng(seed).permutation(sorted(sizes))
    before = set(names[: max(1, round(share * len(names)))])
    wanted, got = share * len(cases), sum(sizes[name] for name in before)
    total = got if by_groups else nearest_total([sizes[name] for name in names], wanted, got)
    picked = before
    if total != got:
        picked = {names[i] for i in first_with_sum([sizes[name] for name in names], total)}
    return Carved(
        [case for case in cases if (case.group or case.id) not in picked],
        [case for case in cases if (case.group or case.id) in picked],
        total == got,
        missed(part, total, len(cases), wanted, sizes),
    )


def missed(part: str, got: int, images: int, wanted: float, sizes: Counter[str]) -> str:
    """What to say of a part that has not the number of images asked for; empty if it about has."""
    if not images or abs(got - wanted) <= max(1, 0.05 * wanted):
        return ""
    largest = max(sizes.values())
    why = f"one group has {largest}" if largest > 1 else "no image is divided"
    return (
        f"{part} part has {got} of {images} images (asked {round(wanted)}): {why}, and groups "
        "stay whole."
    )


def nearest_total(sizes: Sequence[int], wanted: float, got: int) -> int:
    """The number of images nearest to ``wanted`` that whole groups can have.

    Not none of them and, but for a single group, not all of them.

    Args:
        sizes: of the groups.
        wanted: images, not necessarily a whole number.
        got: is kept if no other number is nearer.

    >>> nearest_total([90, 4, 3, 3], 20, 90), nearest_total([5, 4, 4], 4.5, 5)
    (10, 5)
    """
    images = sum(sizes)
    if len(sizes) < 2:
        return got
    near = min(max(wanted, 1), images - 1)
    if 0 < got < images and abs(got - near) <= abs(round(near) - near):
        return got
    reachable = _sums(sizes, images)
    low = reachable & ((1 << math.floor(near) + 1) - 2)
    high = (reachable >> math.ceil(near)) & ((1 << images - math.ceil(near)) - 1)
    found = [low.bit_length() - 1] if low else []
    if high:
        found.append(math.ceil(near) + (high & -high).bit_length() - 1)
    best = min(found, key=lambda total: abs(total - wanted))
    kept = 0 < got < images and abs(got - wanted) <= abs(best - wanted)
    return got if kept else best


def first_with_sum(sizes: Sequence[int], total: int) -> list[int]:
    """Indices of groups that have ``total`` images together, the earlier groups where possible.

    >>> first_with_sum([3, 5, 2, 4], 9)
    [0, 2, 3]
    """
    ends = range(0, len(sizes), BLOCK)
    after = {len(sizes): 1}  # bit s of after[i]: groups from i on can have s images together
    for start in reversed(ends):
        stop = min(start + BLOCK, len(sizes))
        after[start] = _sums(sizes[start:stop], total, after[stop])
    picked: list[int] = []
    for start in ends:
        stop = min(start + BLOCK, len(sizes))
        near = [after[stop]]
        for size in reversed(sizes[start + 1 : stop]):
            near.append(_sums([size], total, near[-1]))
        for index, sums in zip(range(start, stop), reversed(near), strict=True):
            if sizes[index] <= total and sums >> (total - sizes[index]) & 1:
                picked.append(index)
                total -= sizes[index]
    assert total == 0, "only sums that can be had are asked for"
    return picked


def even_in_images(
    sizes: Sequence[int], shares: Sequence[float], homes: Sequence[int]
) -> list[int]:
    """Move groups between folds until each has its share of the images.

    Of two folds the first gets the number nearest to its share that groups can have. Of more,
    groups move to another fold, or change places with one there, as long as that helps.

    Args:
        sizes: of the groups.
        shares: of the folds, 1 in all.
        homes: the fold of each group; those that need not move stay.

    >>> even_in_images([5, 3, 2], [0.2, 0.8], [1, 0, 1])
    [1, 1, 0]
    >>> even_in_images([2, 2, 1, 1], [0.5, 0.5], [0, 0, 1, 1])
    [0, 1, 0, 1]
    """
    images, moved = sum(sizes), list(homes)
    if len(shares) == 2:
        order = sorted(range(len(sizes)), key=lambda i: homes[i])  # those of the first fold first
        got = sum(size for size, home in zip(sizes, homes, strict=True) if home == 0)
        ordered = [sizes[i] for i in order]
        total = nearest_total(ordered, shares[0] * images, got)
        if total == got:
            return moved
        first = {order[i] for i in first_with_sum(ordered, total)}
        return [0 if i in first else 1 for i in range(len(sizes))]
    over = [-share * images for share in shares]  # images more than the share
    for size, home in zip(sizes, homes, strict=True):
        over[home] += size
    while step := _best_step(sizes, moved, over):
        for group, fold in step:
            over[moved[group]] -= sizes[group]
            over[fold] += sizes[group]
            moved[group] = fold
    return moved


def _best_step(
    sizes: Sequence[int], homes: Sequence[int], over: Sequence[float]
) -> list[tuple[int, int]]:
    """Which (group, to fold) evens out most: one group, or two that change places; or none."""
    last: list[dict[int, int]] = [{} for _ in over]  # of each fold a group of each size
    for group, (size, home) in enumerate(zip(sizes, homes, strict=True)):
        last[home][size] = group
    best, gain = [], 1e-9
    for one, its in enumerate(last):
        for other, others in enumerate(last):
            gap = over[one] - over[other]
            if gap <= 1:
                continue
            for size, group in its.items():
                for back, second in [(0, -1), *others.items()]:
                    given = size - back
                    if given > 0 and given * (gap - given) > gain:
                        gain = given * (gap - given)
                        best = [(group, other)] + ([(second, one)] if back else [])
    return best


def _sums(sizes: Sequence[int], most: int, sums: int = 1) -> int:
    """Bit s says whether some groups have s images together, up to ``most``."""
    for size in sizes:
        sums |= sums << size
        sums &= (1 << most + 1) - 1
    return sums
