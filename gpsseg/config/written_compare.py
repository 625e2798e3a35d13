"""What compare.json holds, as far as gpsseg reads it again: see ``gpsseg.reading``."""

from __future__ import annotations

from typing import Annotated, TypedDict

from gpsseg.config.fitting import Count, Score, Text
from gpsseg.config.written_scores import Ends, with_ends


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
    dice_ci95: Ends
    share_of_encoder: Score
    share_of_total: Score
    delta_bytes: Count
    step_seconds: float | None
    memory_mb: float


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
