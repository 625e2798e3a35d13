"""What compare.json holds, as far as gpsseg reads it again: see ``gpsseg.reading``."""

from __future__ import annotations

import math
from typing import Annotated, TypedDict

from gpsseg.config.fitting import Count, Score, Text, Unfit
from gpsseg.config.written_scores import Ends, with_ends

MOST = 1e12  # no time in seconds and no memory in MB is more


def _measured(value: float) -> float:
    if 0 <= value < MOST:
        return value
    raise Unfit("a number, 0 or more")


def _in_order(ends: Ends) -> Ends:
    if ends is None or -math.inf < ends[0] <= ends[1] < math.inf:
        return ends
    raise Unfit("two numbers, the lower first")


Measured = Annotated[float, _measured]


class RowFacts(TypedDict, total=False):
    """What a row of compare.json need not have."""

    criterion: Text | None
    decoder: Count | None
    resampled: Text
    units: Count
    ungrouped: Count


class Row(RowFacts):
    """One method at one training size."""

    method: Text
    dataset: Text
    backbone: Text
    train_size: Count
    seeds: Count
    dice: Score
    dice_ci95: Annotated[Ends, _in_order]
    share_of_encoder: Score
    share_of_total: Score
    delta_bytes: Count
    step_seconds: Measured | None
    memory_mb: Measured


ComparedRow = Annotated[Row, with_ends]


class ComparedSettings(TypedDict, total=False):
    """What was asked for."""

    criterion: Text


class ComparedFacts(TypedDict, total=False):
    """What a compare.json need not have."""

    settings: ComparedSettings


class ComparedFile(ComparedFacts):
    """A comparison."""

    data: Text
    title: Text
    rows: list[ComparedRow]
