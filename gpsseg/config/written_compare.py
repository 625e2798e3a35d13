"""What compare.json holds, as far as gpsseg reads it again: see ``gpsseg.reading``."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypedDict

from gpsseg.config.fitting import Count, Score, Text, Unfit
from gpsseg.config.written import SplitName
from gpsseg.config.written_scores import Ends, with_ends

MOST = 1e12  # no time in seconds and no memory in MiB is more


def _measured(value: float) -> float:
    if 0 <= value < MOST:
        return value
    raise Unfit("a number, 0 or more")


def _measured_change(value: float) -> float:
    if -1 <= value <= 1:
        return value
    raise Unfit("a number from -1 to 1")


def _in_order(ends: Ends) -> Ends:
    if ends is None or -math.inf < ends[0] <= ends[1] < math.inf:
        return ends
    raise Unfit("two numbers, the lower first")


Measured = Annotated[float, _measured]


class Difference(TypedDict):
    """To the untuned network."""

    difference: Annotated[float, _measured_change]
    ci95: Annotated[Ends, _in_order]


class KeptFacts(TypedDict, total=False):
    """What a score elsewhere need not have."""

    untuned: Difference


class KeptScore(KeptFacts):
    """A method's score in one place, see ``KeptPlace``."""

    dice: Score
    dice_ci95: Annotated[Ends, _in_order]


class PlaceFacts(TypedDict, total=False):
    """What a place need not have."""

    data: Text
    split: SplitName
    untuned: dict[str, Any]


class KeptPlace(PlaceFacts):
    """A set and what the networks were told there."""

    title: Text
    prompt: Text
    usual: bool
    images: Count


class RowFacts(TypedDict, total=False):
    """What a row of compare.json need not have."""

    kept: list[KeptScore]
    criterion: Text | None
    decoder: Count | None
    resampled: Text
    units: Count
    ungrouped: Count


class MethodRow(RowFacts):
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


ComparedRow = Annotated[MethodRow, with_ends]


class ComparedSettings(TypedDict, total=False):
    """What was asked for."""

    criterion: Text


class ComparedFacts(TypedDict, total=False):
    """What a compare.json need not have."""

    settings: ComparedSettings
    kept: list[KeptPlace]


class ComparedFile(ComparedFacts):
    """A comparison."""

    data: Text
    title: Text
    rows: list[ComparedRow]
