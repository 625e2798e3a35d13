"""The scores of all folds together: every image once, under the rules that a run is scored by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.told import asked, together
from gpsseg.config.written import ListedSplit
from gpsseg.config.written_scores import Metrics
from gpsseg.data.case import Case
from gpsseg.data.splits.columns import Labels
from gpsseg.errors import UserError
from gpsseg.evaluators import Kept, Scorer, Table, class_summary, joined_bins
from gpsseg.evaluators.per_image import read_per_image
from gpsseg.reading import read_object
from gpsseg.runs.trained import facts_of_folds
from gpsseg.scoring.by import by_metrics, with_labels
from gpsseg.study.kept import ANEW, run_anew

Json = dict[str, Any]
# What metrics.json says of the images and the network, which is the same of all folds.
SHARED = (
    *("data", "dataset", "title", "citation", "homepage", "licence", "seed", "backbone"),
    *("prompt", "pretraining", "method", "processor", "before_is"),
)
ONLY_SUMS = "of a fold's pixels only the sums are kept: no interval"
ONLY_MEANS = "of the untuned network only means are kept: no interval"


@dataclass(frozen=True)
class Fold:
    """A finished fold.

    Attributes:
        number: from 1.
        run: its folder.
        metrics: metrics.json.
        rows: per_image.csv, as a scorer keeps them.
    """

    number: int
    run: RunFolder
    metrics: Json
    rows: Sequence[Json]


def read_folds(runs: Sequence[RunFolder]) -> list[Fold]:
    """Read what finished folds were scored.

    Raises:
        UserError: a file is missing or damaged.
    """
    with run_anew():
        return [
            Fold(
                number,
                run,
                read_object(run.metrics, Metrics),
                [row.values for row in read_per_image(run.per_image, ("dice", "iou"))[1]],
            )
            for number, run in enumerate(runs, 1)
        ]


def labelled(folds: Sequence[Fold], cases: Sequence[Case], labels: Labels) -> list[Fold]:
    """The folds with the study's own groups and labels.

    A fold that drew few images has quarters of those; and one may have been tested while images
    had other groups.

    Args:
        folds: to be pooled.
        cases: all images of the study, with their names as they are written.
        labels: of these, by the columns that scores are shown by.
    """
    groups = {case.id: case.group for case in cases}
    return [
        replace(
            fold,
            rows=with_labels([{**row, "group": groups[row["id"]]} for row in fold.rows], labels),
        )
        for fold in folds
    ]


def rows_of(folds: Sequence[Fold]) -> list[Json]:
    """The rows of per_image.csv: those of all folds, each with its fold, after id."""
    return [{"id": row["id"], "fold": fold.number, **row} for fold in folds for row in fold.rows]


def pooled_metrics(folds: Sequence[Fold], split_name: str) -> Json:
    """metrics.json of the study.

    Args:
        folds: all of them.
        split_name: what to call the folds.

    Raises:
        UserError: an image was tested in two folds.
    """
    first = folds[0].metrics
    rows = [row for fold in folds for row in fold.rows]
    saliency = "pranet_s_measure" in rows[0]
    scorer = Scorer(list(first["after"]), saliency=saliency)
    scorer = scorer.joined([Kept({row["id"]: row}, [], None) for row in rows])
    skipped = [
        each for fold in folds for each in fold.metrics.get("skipped", ()) if each["part"] == "test"
    ]
    with run_anew():
        listed = [read_object(fold.run.split, ListedSplit) for fold in folds]
    return {
        **{name: first[name] for name in SHARED if name in first},
        **_told(folds),
        "split": {"name": split_name, "sha256": _hash(listed)},
        **({"skipped": skipped} if skipped else {}),
        "images": len(rows),
        **_before(folds),
        "after": scorer.summary(),
        "strata": scorer.strata(),
        **by_metrics(rows),
        **_classes(folds, rows),
        **_calibration(folds),
        **facts_of_folds([fold.metrics for fold in folds]),
        "leaks": pooled_leaks(folds),
        "folds": [_of_fold(fold, split) for fold, split in zip(folds, listed, strict=True)],
        "seconds": _seconds(folds),
    }


def _told(folds: Sequence[Fold]) -> Json:
    """What the networks were told: folds may have chosen different words."""
    labels = [fold.metrics["prompt"] for fold in folds if fold.metrics.get("prompt")]
    return {"prompt": together(labels)} if labels else {}


def _hash(splits: Sequence[Json]) -> str:
    """SHA-256 over those of the folds' splits, in their order."""
    return hashlib.sha256("".join(str(each["sha256"]) for each in splits).encode()).hexdigest()


def _of_fold(fold: Fold, split: Json) -> Json:
    """The line of a fold: how many images, and its own scores beside what all folds pool."""
    scores, metrics = fold.metrics["after"]["per-image"], fold.metrics
    told = {"prompt": metrics["prompt"]} if asked(metrics.get("prompt")) else {}
    facts = ("resampled", "units", "seeds", "ungrouped", "no_interval")
    return {
        "fold": fold.number,
        "images": metrics["images"],
        **{part: len(split[part]) for part in ("train", "val")},
        **{name: scores[name] for name in ("dice", "dice_ci95", "iou", "iou_ci95")},
        **{name: scores[name] for name in facts if name in scores},
        **{k: metrics[k] for k in ("best_epoch", "untrained", "training", "words") if k in metrics},
        **told,
        "share_of_total": metrics["trainable"]["share_of_total"],
        "seconds": round(sum(metrics["seconds"].values()), 2),
    }


def _before(folds: Sequence[Fold]) -> Json:
    """The means of the untuned network, which is one and the same, over the images of all folds."""
    means = _means(folds, [fold.metrics["before"]["per-image"] for fold in folds])
    return {"before": {"per-image": {**means, "images": _images(folds)}}}


def _means(folds: Sequence[Fold], summaries: Sequence[Json]) -> Json:
    """Over all images, of a summary a fold."""
    means: Json = {"no_interval": ONLY_MEANS}
    for name in ("dice", "iou"):
        pairs = zip(folds, summaries, strict=True)
        total = sum(scores[name] * fold.metrics["images"] for fold, scores in pairs)
        means |= {name: total / _images(folds), f"{name}_ci95": None}
    return means


def _images(folds: Sequence[Fold]) -> int:
    return sum(fold.metrics["images"] for fold in folds)


def _classes(folds: Sequence[Fold], rows: Sequence[Json]) -> Json:
    """Scores of the classes that are told apart."""
    found = [fold.metrics.get("classes", {}).get("after", {}) for fold in folds]
    if not all(found):
        return {}
    images = {name: sum(each[name]["images"] for each in found) for name in found[0]}
    after = class_summary(Table.of(rows), images)
    untuned = [fold.metrics["classes"].get("before", {}) for fold in folds]
    if not all(untuned):
        return {"classes": {"after": after}}
    before = {
        name: {**_means(folds, [each[name] for each in untuned]), "images": count}
        for name, count in images.items()
    }
    return {"classes": {"before": before, "after": after}}


def _calibration(folds: Sequence[Fold]) -> Json:
    curves = [fold.metrics.get("calibration") for fold in folds]
    if not all(curves):
        return {}
    found = joined_bins([curve["bins"] for curve in curves if curve])
    return {"calibration": {**found, "ece_ci95": None, "no_interval": ONLY_SUMS}}


def _seconds(folds: Sequence[Fold]) -> dict[str, float]:
    """Seconds of each stage, of all folds together."""
    stages = dict.fromkeys(stage for fold in folds for stage in fold.metrics["seconds"])
    return {
        stage: round(sum(fold.metrics["seconds"].get(stage, 0) for fold in folds), 2)
        for stage in stages
    }


def pooled_leaks(folds: Sequence[Fold]) -> Json:
    """What comparing each fold's test with its training images found, each pair once.

    Two images that are not independent are in it in both folds that test one of them: "leaking"
    counts the images of which a network was tested that saw another one of the pair.
    """
    found = [fold.metrics["leaks"] for fold in folds]
    if unchecked := next((each for each in found if not each["checked"]), None):
        return dict(unchecked)
    pairs: dict[frozenset[str], Mapping[str, Any]] = {}
    for pair in (pair for each in found for pair in each["pairs"]):
        pairs.setdefault(frozenset((pair["train_id"], pair["test_id"])), pair)
    tested = {row["id"] for fold in folds for row in fold.rows}
    return {
        "checked": True,
        "train": len(tested),
        "test": len(tested),
        "leaking": len({pair["test_id"] for each in found for pair in each["pairs"]}),
        "without_group": sum(row["group"] is None for fold in folds for row in fold.rows),
        "note": next((each["note"] for each in found if each.get("note")), ""),
        "pairs": list(pairs.values()),
    }


def refuse_incomplete(folds: Sequence[Fold], tested: Sequence[Sequence[str]]) -> None:
    """Refuse scores that are not those of each fold's own images.

    Args:
        folds: all of them.
        tested: ids of the images that each is tested on.

    Raises:
        UserError: an image was scored by another fold's network, or not at all.
    """
    for fold, ids in zip(folds, tested, strict=True):
        left_out = {each["id"] for each in fold.metrics.get("skipped", ())}
        scored = {row["id"] for row in fold.rows}
        if not scored <= set(ids) or not set(ids) - left_out <= scored:
            raise UserError(
                f"{fold.run.per_image} does not hold the scores of fold {fold.number}'s images. "
                f"{ANEW}"
            )
