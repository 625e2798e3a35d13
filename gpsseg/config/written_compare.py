"""What compare.json holds, as far as gpsseg reads it again: see ``gpsseg.reading``."""

from __future__ import annotations

from typing import TypedDict

from gpsseg.config.fitting import Count, Score, Text
from gpsseg.config.written_scores import Ends


class RowFacts(TypedDict, total=False):
    """What a row of compare.json need not have."""

    criterion: Text | None
    decoder: Count | None
    resampled: Text
    units: Count
    ungrouped: Count


class ComparedRow(RowFacts):
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


class ComparedFile(TypedDict):
    """A comparison."""

    data: Text
    title: Text
    rows: list[ComparedRow]
