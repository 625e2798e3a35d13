"""What the files of a run hold, as far as gpsseg reads them again: see ``gpsseg.reading``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from gpsseg.config.fitting import Count, Score, Text, Unfit, within

Json = dict[str, Any]


class ConfigFile(TypedDict):
    """config.json."""

    config: Json


class PrivateFacts(TypedDict, total=False):
    """What stands in a nameless run's salt.txt below the salt."""

    config: Json
    card: Json
    command: list[Any]


class WrittenGreys(TypedDict, total=False):
    """How images were shown, see ``gpsseg.data.formats.greys``."""

    whole: tuple[float, float] | None
    real: tuple[float, float] | None
    window: tuple[float, float] | None
    of_ct: bool
    old: bool
    axis: Text
    labels: list[int]


class Words(TypedDict):
    """How a word that a network is asked by was chosen among several, on training images."""

    chosen: Text
    images: Count
    dice: dict[str, Score]
    nothing: dict[str, Count]


class Resolved(TypedDict, total=False):
    """What a run decided that its settings left open."""

    processes: Count
    greys: WrittenGreys | None
    started_from: dict[str, Text]
    words: Words


class ResolvedConfig(ConfigFile):
    """The same of a run that has decided."""

    resolved: Resolved


class PredictedFile(TypedDict, total=False):
    """predict.json."""

    labels: dict[str, Count]


class AveragedPart(TypedDict):
    """One of the deltas that a mean is of, in the mean's metadata and in adopted.json."""

    sha256: Text
    share: Score
    train_images: Count | None


class StudyFile(TypedDict, total=False):
    """study.json."""

    folds: Count
    folds_of: Text
    command: list[Any]


class AnyConfig(TypedDict, total=False):
    """config.json of any version."""

    config: Json
    resolved: Resolved
    versions: dict[str, Text]
    command: list[Any]
    delta_sha256: Text


class SplitName(TypedDict, total=False):
    """Which split an evaluation was on."""

    name: Text
    sha256: Text


class HashedSplit(TypedDict):
    """split.json of a run, where its hash is asked for."""

    sha256: Text


class SkippedFile(TypedDict):
    """An image that was left out."""

    id: Text
    part: Literal["train", "val", "test"]
    why: Text


class BegunSplit(TypedDict, total=False):
    """The same, where what was left out from the start is asked for, or whether images are real."""

    data: Text
    skipped: list[SkippedFile]


class AnySplit(SplitName, total=False):
    """split.json of a run, where its name, its hash and whether images are real are asked for."""

    data: Text


class NamedSplit(TypedDict):
    """The same, where its name is."""

    name: Text


class ListedSplit(TypedDict):
    """The same, where its training images are."""

    train: list[Text]


class SplitParts(TypedDict, total=False):
    """A file of a split."""

    name: Text | int | float | None
    train: list[Text | int] | None
    val: list[Text | int] | None
    test: list[Text | int] | None


class Layer(TypedDict):
    """A layer in selection.json."""

    layer: Text
    role: Text
    weights: Count
    selected: Count
    whole: Count


LayersOfCandidates = list[Layer]


class TrainableCounts(TypedDict, total=False):
    """How many numbers train."""

    encoder: Count
    decoder: Count
    total: Count
    share_of_encoder: Score | None
    share_of_decoder: Score | None
    share_of_total: Score | None
    at_a_time: Count
    refreshes: Count


class Selected(TrainableCounts, total=False):
    """selection.json."""

    hash: Text
    at_once: Count
    layers: list[Layer]


class AnyLine(TypedDict, total=False):
    """A line of log.jsonl, whatever it tells."""

    event: Text
    epoch: Count
    step: Count
    loss: float
    val_dice: float


def _whole_line(line: Json) -> Json:
    """A line that has what lines of its kind have."""
    needed = {"step": ("epoch", "step", "loss"), "epoch": ("epoch",)}.get(line.get("event", ""), ())
    for name in needed:
        within(name, float, line.get(name))
    if 0 in (line.get("step"), line.get("epoch")):
        raise Unfit("a number from 1 on", value=0)
    return line


LogLine = Annotated[AnyLine, _whole_line]


def _some_folds(content: Json) -> Json:
    if content["folds"] < 2:
        raise Unfit("two folds or more", value=content["folds"])
    return content


class CountedFolds(TypedDict):
    """study.json, where its folds are asked for."""

    folds: Count


class StudySettings(CountedFolds, total=False):
    """The same, with the set's split that it was made of."""

    split: Text | None


FoldedStudy = Annotated[StudySettings, _some_folds]


class TrainedCell(TypedDict):
    """cell.json of a run of a comparison."""

    val_dice: Score
    memory_mb: float
    lr: float
    decoder_lr: float
    delta_bytes: Count
    diverged: bool
    trainable: Selected


class CellFile(TrainedCell, total=False):
    """The same, with what cells of all versions need not have."""

    step_seconds: float | None
    best_epoch: Count
    epochs: Count
    ended_early: bool
