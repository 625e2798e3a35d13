"""On the way through the images that are scored: after which batches the scores are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gpsseg.engine.machine import Machine
from gpsseg.processes import part, shared_out


@dataclass(frozen=True)
class Look:
    """A place on the way.

    Attributes:
        half: of the images, 0 or 1.
        batches: how many of a process's batches of that half are done.
        ends_part: whether a part of the images ends here.
        ends_half: whether the half does.
    """

    half: int
    batches: int
    ends_part: bool
    ends_half: bool


def looks_of(images: int, at_once: int, parts: int = 1) -> list[Look]:
    """The ends of the parts of each half; with several parts also after 1, 2, 4, 8, ... batches.

    No batch is cut for it: what is added up, and in which order, is as without.

    Args:
        images: how many are scored.
        at_once: of them in a batch.
        parts: of each half; fewer where there are fewer batches.
    """
    # the main process's share is as large as any; others may be done a batch earlier
    shares = [math.ceil(count / part()[1]) for count in _halves(images)]
    batches = [max(1, math.ceil(share / at_once)) for share in shares]
    count = min(parts, *batches)
    found = []
    for half, all_of in enumerate(batches):
        ends = {math.ceil(number * all_of / count) for number in range(1, count + 1)}
        doubled = {2**power for power in range(all_of.bit_length())} if count > 1 > half else set()
        places = sorted(n for n in ends | doubled if n <= all_of)
        found += [Look(half, n, n in ends, n == all_of) for n in places]
    return found


def seen_at(looks: Sequence[Look], images: int, at_once: int, machine: Machine) -> list[int]:
    """How many images all processes have seen by each of these; each process must ask."""
    own = [len(shared_out(range(count))) for count in _halves(images)]
    seen = [own[0] * look.half + min(look.batches * at_once, own[look.half]) for look in looks]
    return [machine.total(count) for count in seen]


def _halves(images: int) -> tuple[int, int]:
    return images // 2, images - images // 2
