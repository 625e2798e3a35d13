"""What metrics.json holds, as far as gpsseg reads it again: see ``gpsseg.reading``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from gpsseg.config.fitting import Count, Score, Text, within
from gpsseg.config.written import Json, Selected, SkippedFile, SplitName, Words

Ends = tuple[float, float] | None  # of an interval


def with_ends(scores: Json) -> Json:
    """Scores whose intervals are such, whatever they are called."""
    for name in [name for name in scores if name.endswith("_ci95")]:
        score = name.removesuffix("_ci95")
        scores |= {name: within(name, Ends, scores[name])}
        scores |= {score: within(score, float | None, scores.get(score))}
    for name in [name for name in scores if name.endswith("_over")]:
        scores |= {name: within(name, Varied, scores[name])}
    if "resampled" in scores:
        for name in ("units", "seeds"):
            within(name, Count, scores.get(name))
    return scores


class Over(TypedDict, total=False):
    """What a score is over, and what its interval lets vary."""

    images: Count
    resampled: Text
    units: Count
    seeds: Count
    ungrouped: Count
    no_interval: Text


Varied = Annotated[Over, with_ends]


class AgreementOf(Over, total=False):
    """How far predicted sizes lie from true ones, in one unit."""

    unit: Text
    bias: float
    lower: float
    upper: float
    slope: float
    grows: bool
    why: Text


Agreement = Annotated[AgreementOf, with_ends]


class ImageScores(TypedDict, total=False):
    """Scores over images, such as those of a protocol."""

    dice: Score | None
    iou: Score | None
    rule: Text
    warning: Text
    omitted: Text
    no_interval: Text
    resampled: Text
    units: Count
    seeds: Count
    ungrouped: Count
    unit: Text
    tolerance: float
    tolerance_unit: Text
    empty_truth: Count
    true: Count
    lesions: Count
    predicted: Count
    found: Count
    touched: Count
    astray: Count
    false_finds: Count
    specks: Count
    least_iou: Score
    least_pixels: Count
    agreement: list[Agreement]


class CountedScores(ImageScores):
    """The same of a class, a label or some of the images, which are counted."""

    images: Count


Summary = Annotated[ImageScores, with_ends]
Counted = Annotated[CountedScores, with_ends]


class WrittenStratum(CountedScores):
    """The scores of images whose lesions are of some sizes."""

    low: Score
    high: Score


class Value(CountedScores):
    """The scores of the images that have one value in a column."""

    value: Text
    few: bool


def _with_dice(scores: Json) -> Json:
    within("dice", Score, scores.get("dice"))
    return with_ends(scores)


class Classes(TypedDict, total=False):
    """The scores of the classes that a network tells apart."""

    before: dict[str, Summary]
    after: dict[str, Counted]


class Bin(TypedDict):
    """A bin of a calibration."""

    confidence: Score
    accuracy: Score
    pixels: Count


class WrittenCalibration(TypedDict):
    """How far probabilities can be believed."""

    ece: Score
    bins: list[Bin]


class WrittenLeak(TypedDict):
    """A test image that is not independent of a training image."""

    train_id: Text
    test_id: Text
    kind: Text
    similarity: float | None


class LeakCheck(TypedDict):
    """Whether test images could be compared with training images."""

    checked: bool


class Leaks(LeakCheck, total=False):
    """The same, with what belongs to one outcome or the other."""

    why: Text
    note: Text
    leaking: Count
    train: Count
    test: Count
    pairs: list[WrittenLeak]


def _with_pairs(leaks: Json) -> Json:
    """What was found, where it could be checked, or else why it could not."""
    if leaks["checked"]:
        for name, hint in {"train": Count, "test": Count, "pairs": list[WrittenLeak]}.items():
            within(name, hint, leaks.get(name))
    else:
        within("why", Text, leaks.get("why"))
    return leaks


class FoldScores(CountedScores, total=False):
    """The scores of a fold of a study."""

    fold: Count
    train: Count
    val: Count
    best_epoch: Count | None
    untrained: bool
    training: Text
    prompt: Text
    words: Words
    share_of_total: Score | None
    seconds: float


class Doubt(TypedDict):
    """How little the members of an ensemble agree, and what that is worth."""

    members: Count
    of: Literal["folds", "flips"]
    images: Count
    spearman: float | None
    aurc: Score
    aurc_random: Score
    aurc_perfect: Score


class Ensemble(TypedDict):
    """Over what the scored probabilities are averaged: networks, and each image's mirror images."""

    networks: Count
    flips: bool


class OfTrainings(TypedDict):
    """Of how many trainings weights are a mean, and of how many images these were."""

    trainings: Count
    train_images: Count | None


class Metrics(TypedDict, total=False):
    """metrics.json."""

    data: Text
    trained_on_data: Text
    dataset: Text
    title: Text | None
    citation: Text | None
    homepage: Text | None
    licence: Text | None
    split: SplitName
    images: Count
    method: Text | None
    pretraining: Text | None
    prompt: Text | None
    words: Words
    found_nothing: list[Literal["before", "after"]]
    before_is: Text | None
    base: Text
    base_hash: Text
    image_size: Count
    precision: Text
    before: dict[str, Summary]
    after: dict[str, Summary]
    classes: Classes
    labels: dict[str, Counted]
    strata: list[Annotated[WrittenStratum, _with_dice]]
    by: dict[str, list[Annotated[Value, _with_dice]]]
    calibration: WrittenCalibration
    ensemble: Ensemble
    adopted: OfTrainings
    uncertainty: Annotated[Doubt, with_ends]
    trainable: Selected
    best_epoch: Count | None
    leaks: Annotated[Leaks, _with_pairs] | None
    resized: list[Any]
    skipped: list[SkippedFile]
    seconds: dict[str, float]
    paired: list[Any]
    folds: list[Annotated[FoldScores, with_ends]]


class DatasetOfMetrics(TypedDict):
    """metrics.json, where the data set is asked for."""

    dataset: Text
