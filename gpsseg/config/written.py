"""What the files of a run hold, as far as gpsseg reads them again: see ``gpsseg.reading``."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from gpsseg.config.fitting import Count, Score, Text, Unfit, within

Json = dict[str, Any]
Ends = tuple[float, float] | None  # of an interval


class ConfigFile(TypedDict):
    """config.json."""

    config: Json


class PrivateFacts(TypedDict, total=False):
    """What stands in a nameless run's salt.txt below the salt."""

    config: Json
    card: Json
    command: list[Any]


class Greys(TypedDict, total=False):
    """How images were shown, see ``gpsseg.data.formats.greys``."""

    whole: tuple[float, float] | None
    real: tuple[float, float] | None
    window: tuple[float, float] | None
    of_ct: bool
    old: bool
    axis: Text
    labels: list[int]


class Resolved(TypedDict, total=False):
    """What a run decided that its settings left open."""

    processes: Count
    greys: Greys | None


class ResolvedConfig(ConfigFile):
    """The same of a run that has decided."""

    resolved: Resolved


class AnyConfig(TypedDict, total=False):
    """config.json of any version."""

    config: Json
    resolved: Resolved
    versions: dict[str, Text]
    command: list[Any]


class SplitName(TypedDict, total=False):
    """Which split an evaluation was on."""

    name: Text
    sha256: Text


class HashedSplit(TypedDict):
    """split.json of a run, where its hash is asked for."""

    sha256: Text


class NamedSplit(TypedDict):
    """The same, where its name is."""

    name: Text


class ListedSplit(TypedDict):
    """The same, where its training images are."""

    train: list[Text]


class Parts(TypedDict, total=False):
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


class Selected(TypedDict, total=False):
    """selection.json."""

    encoder: Count
    decoder: Count
    total: Count
    share_of_encoder: Score | None
    share_of_decoder: Score | None
    share_of_total: Score | None
    hash: Text
    layers: list[Layer]


def _with_ends(scores: Json) -> Json:
    """Scores whose intervals are such, whatever they are called."""
    for name in [name for name in scores if name.endswith("_ci95")]:
        score = name.removesuffix("_ci95")
        scores |= {name: within(name, Ends, scores[name])}
        scores |= {score: within(score, float | None, scores.get(score))}
    if "resampled" in scores:
        for name in ("units", "seeds"):
            within(name, Count, scores.get(name))
    return scores


class Scores(TypedDict, total=False):
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


class CountedScores(Scores):
    """The same of a class, a label or some of the images, which are counted."""

    images: Count


Summary = Annotated[Scores, _with_ends]
Counted = Annotated[CountedScores, _with_ends]


class Stratum(CountedScores):
    """The scores of images whose lesions are of some sizes."""

    low: Score
    high: Score


def _with_dice(scores: Json) -> Json:
    within("dice", Score, scores.get("dice"))
    return _with_ends(scores)


class Classes(TypedDict, total=False):
    """The scores of the classes that a network tells apart."""

    before: dict[str, Summary]
    after: dict[str, Counted]


class Bin(TypedDict):
    """A bin of a calibration."""

    confidence: Score
    accuracy: Score
    pixels: Count


class Calibration(TypedDict, total=False):
    """How far probabilities can be believed."""

    ece: Score
    bins: list[Bin]


class Leak(TypedDict):
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
    train: Count
    test: Count
    pairs: list[Leak]


class Metrics(TypedDict, total=False):
    """metrics.json."""

    data: Text
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
    before_is: Text | None
    before: dict[str, Summary]
    after: dict[str, Summary]
    classes: Classes
    labels: dict[str, Counted]
    strata: list[Annotated[Stratum, _with_dice]]
    calibration: Calibration
    trainable: Selected
    best_epoch: Count | None
    leaks: Leaks | None
    resized: list[Any]
    seconds: dict[str, float]
    paired: list[Any]


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


class DatasetOfMetrics(TypedDict):
    """metrics.json, where the data set is asked for."""

    dataset: Text


class TrainedCell(TypedDict):
    """cell.json of a run of a comparison."""

    val_dice: float
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
