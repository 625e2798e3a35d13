"""The sections of the report: contents of a run folder -> what the template prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpsseg.config.methods import title_of
from gpsseg.config.told import given
from gpsseg.errors import counted
from gpsseg.evaluators import registry
from gpsseg.evaluators.words import interval_words, name_of_base, refresh_words, words_sentence
from gpsseg.report.contents import CaseRow, Contents, Json
from gpsseg.report.scores import Score, name_of_score, score_of
from gpsseg.report.thumbnails import LeakPicture


@dataclass(frozen=True)
class Comparison:
    """One score before (None where unknown) and after adaptation.

    Attributes:
        baseline: whether the score before is of a network that was trained for something.
    """

    name: str
    before: Score | None
    after: Score
    baseline: bool = True

    @property
    def change(self) -> float | None:
        """After minus before; None where that says nothing."""
        if self.before is None or not self.baseline:
            return None
        return self.after.value - self.before.value


@dataclass(frozen=True)
class ProtocolScores:
    """The scores of one protocol."""

    name: str
    rule: str
    overlap: tuple[Comparison, ...]
    others: tuple[Comparison, ...]
    warning: str
    over: str


def protocols(metrics: Json) -> list[ProtocolScores]:
    """Every protocol of metrics.json, the default one first."""
    names = sorted(metrics["after"], key=lambda name: name != "per-image")
    return [_protocol(name, metrics) for name in names]


def _protocol(name: str, metrics: Json) -> ProtocolScores:
    after, before = metrics["after"][name], metrics.get("before", {}).get(name, {})
    baseline = name_of_base(metrics) == "before"

    def compare(key: str, label: str) -> Comparison:
        score = score_of(after, key) or Score(float("nan"))
        return Comparison(label, score_of(before, key), score, baseline)

    overlap = [(key, label) for key, label in (("dice", "mDice"), ("iou", "mIoU")) if key in after]
    if name in ("micro", "gps-repo"):
        overlap = [(key, label[1:]) for key, label in overlap]
    others = [key for key in after if f"{key}_ci95" in after and key not in ("dice", "iou")]
    return ProtocolScores(
        name=name,
        rule=" ".join(filter(None, [_about(name), after.get("rule", "")])),
        overlap=tuple(compare(*pair) for pair in overlap),
        others=tuple(compare(key, name_of_score(name, key, after)) for key in others),
        warning=after.get("warning") or after.get("omitted", ""),
        over=interval_words(after) if "resampled" in after else "",
    )


def _about(name: str) -> str:
    """A protocol's rule in words; empty for one that this version does not know."""
    known = registry()
    return known[name].about if name in known else ""


def classes(metrics: Json) -> list[dict[str, Any]]:
    """Of each class that is told apart: name, images, and its scores "before", "dice" and "iou"."""
    found = metrics.get("classes", {})
    return _apart(found.get("after", {}), found.get("before", {}))


def labels(metrics: Json) -> list[dict[str, Any]]:
    """The same of each label of label maps; its images are those whose truth shows it."""
    found = metrics.get("labels", {})
    shown = {name: one["images"] - one.get("empty_truth", 0) for name, one in found.items()}
    return _apart({name: {**one, "images": shown[name]} for name, one in found.items()}, {})


def _apart(after: Json, before: Json) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "images": scores["images"],
            "before": score_of(before.get(name, {}), "dice"),
            "dice": score_of(scores, "dice"),
            "iou": score_of(scores, "iou"),
        }
        for name, scores in after.items()
    ]


def columns(cases: Sequence[CaseRow]) -> list[tuple[str, str, str]]:
    """(name, unit, "text" | "number") of the columns of the table of images."""
    group = [("Group", "", "text")] if any(case.group for case in cases) else []
    group += [("Fold", "", "number")] if any(case.fold for case in cases) else []
    numbers = [("Dice", ""), ("IoU", ""), ("Lesion size", ", % of image")]
    numbers += [("Uncertainty", "")] if any(case.uncertainty is not None for case in cases) else []
    return [("Image", "", "text"), *group, *((*number, "number") for number in numbers)]


def showcase(cases: Sequence[CaseRow]) -> list[tuple[str, list[CaseRow]]]:
    """The worst, middle and best cases that have pictures: up to three each, never one twice."""
    return _shown([case for case in cases if case.thumbnail and case.dice is not None])


def showcase_ids(cases: Sequence[CaseRow]) -> list[str]:
    """Those that a showcase takes where any picture can be had."""
    shown = _shown([case for case in cases if case.dice is not None])
    return [case.id for _, chosen in shown for case in chosen]


def _shown(cases: list[CaseRow]) -> list[tuple[str, list[CaseRow]]]:
    """The worst, middle and best of cases that are sorted by their Dice."""
    count = min(3, len(cases) // 3)
    if not count:
        return [("Images", cases)] if cases else []
    middle = (len(cases) - count) // 2
    return [
        ("Worst", cases[:count]),
        ("Median", cases[middle : middle + count]),
        ("Best", cases[-count:][::-1]),
    ]


def trained_parts(contents: Contents) -> list[tuple[str, int, float]]:
    """(part, entries that train, share of the part) of encoder, decoder and the whole network."""
    counts = contents.metrics.get("trainable") or contents.selection
    return [
        (label, counts[key], counts[f"share_of_{key}"])
        for key, label in (("encoder", "Encoder"), ("decoder", "Decoder"), ("total", "All"))
        if counts.get(f"share_of_{key}") is not None and key in counts
    ]


def ever_trained(contents: Contents) -> str:
    """That these have not all trained at the same time, where it was selected anew; else empty."""
    counts = contents.metrics.get("trainable") or contents.selection
    every = contents.config.get("config", {}).get("refresh")
    after = f", after every {counted(every, 'update')}" if every else ""
    times = refresh_words(counts)
    return f" at some time ({times}{after})" if times else ""


@dataclass(frozen=True)
class LeakSection:
    """What comparing test with training images found.

    Attributes:
        sentence: the finding, or why there is none.
        note: what it means that images have no group; empty where all have one.
        found: whether there are leaks.
        pairs: training id, test id, kind, similarity or None, picture or None.
    """

    sentence: str
    note: str
    found: bool
    pairs: list[tuple[str, str, str, float | None, LeakPicture | None]]


def leak_sentences(leaks: Mapping[str, Any] | None) -> tuple[str, str]:
    """What the "leaks" of metrics.json or compare.json say: the finding, and of missing groups."""
    if not leaks:
        return "", ""
    if not leaks["checked"]:
        return leaks["why"], leaks.get("note", "")
    leaking = leaks.get("leaking", len({pair["test_id"] for pair in leaks["pairs"]}))
    test, train = counted(leaks["test"], "test image"), counted(leaks["train"], "training image")
    if not leaking:
        tested = counted(leaks["test"], "test image was", "test images were")
        found = (
            f"None found: {tested} compared with {train}, and none is a copy of one or shows "
            "the same scene."
        )
    else:
        found = (
            f"{leaking} of the {test} compared with {train} "
            f"{'is' if leaking == 1 else 'are'} not independent of them: these scores are "
            "likely too high."
        )
    return found, leaks.get("note", "")


def leak_check(contents: Contents) -> LeakSection | None:
    """The leak check of metrics.json; None where none was made."""
    leaks = contents.metrics.get("leaks")
    if not leaks:
        return None
    pairs, pictures = leaks.get("pairs", ()), contents.leak_pictures
    return LeakSection(
        *leak_sentences(leaks),
        bool(pairs),
        [
            (
                pair["train_id"],
                pair["test_id"],
                pair["kind"],
                pair["similarity"],
                pictures[i] if i < len(pictures) else None,
            )
            for i, pair in enumerate(pairs)
        ],
    )


def facts(contents: Contents) -> list[tuple[str, Any]]:
    """Where data and scores come from, name and value; what is unknown is left out."""
    metrics, split = contents.metrics, contents.metrics.get("split", {})
    listed = {part: contents.split.get(part) for part in ("train", "val", "test")}
    sizes = [f"{len(ids)} {part}" for part, ids in listed.items() if ids is not None]
    rows = [
        ("Data set", title(metrics)),
        ("Data", metrics.get("data")),
        ("Homepage", metrics.get("homepage")),
        ("Licence", metrics.get("licence")),
        ("Please cite", metrics.get("citation")),
        ("Split", split.get("name")),
        ("Split SHA-256", split.get("sha256")),
        ("Images", ", ".join(sizes) or f"{metrics.get('images')} test"),
        ("Predictions", metrics.get("predictions")),
        ("Truth", metrics.get("truth")),
        (
            "Resized",
            counted(len(metrics["resized"]), "prediction") if metrics.get("resized") else "",
        ),
        ("Seed", metrics.get("seed")),
        ("Backbone", metrics.get("backbone")),
        ("Base", metrics.get("base")),
        ("Input", _input(metrics)),
        ("Prompt", metrics.get("prompt")),
        ("Method", title_of(metrics.get("method") or "")),
        ("Processor", metrics.get("processor")),
        ("Trained on", metrics.get("trained_on")),
        ("Run", metrics.get("run")),
        ("Selection hash", contents.selection.get("hash")),
        ("Training", metrics.get("training")),
        ("Epoch kept", metrics.get("best_epoch")),
    ]
    return [(name, value) for name, value in rows if value not in (None, "")]


def _input(metrics: Json) -> str:
    """What a network without a run was shown, and how it computed."""
    if "image_size" not in metrics or "precision" not in metrics:
        return ""
    size = metrics["image_size"]
    return f"{size} x {size} pixels, {metrics['precision']}"


def prompted(metrics: Json) -> str:
    """What somebody had to tell the network, "box from the truth"; empty where nobody did."""
    return given(metrics.get("prompt"))


def words(metrics: Json) -> list[str]:
    """How the word that the network was asked by was chosen; of a study for each fold."""
    whole = [words_sentence(metrics["words"])] if metrics.get("words") else []
    return whole + [
        f"fold {fold['fold']} was {words_sentence(fold['words'])}"
        for fold in metrics.get("folds", ())
        if fold.get("words")
    ]


def found_nothing(metrics: Json) -> str:
    """That a network that was asked by words found nothing in any image; empty if it did."""
    names = [
        name_of_base(metrics) if n == "before" else n for n in metrics.get("found_nothing", ())
    ]
    when = f" ({' and '.join(names)})" if "before" in metrics and names else ""
    return f"In none of the test images anything was found{when}." if names else ""


def title(metrics: Json) -> str:
    """The data set's title, else its name."""
    return metrics.get("title") or metrics.get("dataset") or "unnamed data set"
