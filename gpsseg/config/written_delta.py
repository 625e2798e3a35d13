"""What a delta's metadata hold as JSON, as far as gpsseg reads it again: see ``gpsseg.reading``."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from gpsseg.config.fitting import Count, Score, Text
from gpsseg.config.written import SplitName
from gpsseg.config.written_scores import Ends, with_ends


class SeenGreys(TypedDict, total=False):
    """What is black and white in images of more than 8 bits, or a window's centre and width."""

    whole: tuple[float, float]
    real: tuple[float, float]
    window: tuple[float, float]


class DeltaSettings(TypedDict, total=False):
    """What decides what the network is, and what it is shown."""

    backbone: Text
    weights: Text | None
    prompt: Text | None
    text: list[Text]
    image_size: Count
    precision: Text
    seed: Count
    method: Text
    loss: Text
    rank: Count
    top_k: Count | None
    decoder_top_k: Count | Literal["dense"] | None
    criterion: Text
    mix: Text | None
    mix_share: Score
    layers: Text
    late_share: Score
    level: Text
    biases: Text
    refresh: Count | None
    classes: list[Text]
    separate_classes: bool
    greys: SeenGreys


class DeltaScoresOf(TypedDict, total=False):
    """The scores of the test images."""

    protocol: Text
    data: Text
    dataset: Text
    split: SplitName
    images: Count
    prompt: Text | None
    dice: Score | None
    dice_ci95: Ends
    iou: Score | None
    iou_ci95: Ends
    resampled: Text
    units: Count
    seeds: Count
    ungrouped: Count
    no_interval: Text


DeltaScores = Annotated[DeltaScoresOf, with_ends]
