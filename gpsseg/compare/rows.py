"""The rows of a comparison: means, intervals over images (or groups) and seeds, and tests."""

from __future__ import annotations

import dataclasses
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpsseg.compare.cells import Cell, run_of
from gpsseg.compare.curve import curves_of
from gpsseg.compare.lesions import lesion_columns
from gpsseg.config.compare import CompareConfig, parse_method
from gpsseg.config.folder import RunFolder
from gpsseg.config.told import together
from gpsseg.config.written import CellFile, ConfigFile, ListedSplit, ResolvedConfig
from gpsseg.config.written_scores import DatasetOfMetrics, Metrics
from gpsseg.engine.machine import processor_of
from gpsseg.errors import UserError, few
from gpsseg.evaluators import holm, mean_estimate, paired_comparison
from gpsseg.evaluators.words import verdict
from gpsseg.libraries import public_version
from gpsseg.reading import read_object
from gpsseg.scoring.paired import difference, read_scores
from gpsseg.tuning import method_of

Group = tuple[int | None, str]


@dataclass(frozen=True)
class SeedScores:
    """The scores of a method's seeds on the test images.

    Attributes:
        dice, iou: (seeds, images), by ascending id.
        ids: (images,).
        groups: (images,) names; None where an image has none.
        with_lesion: (images,) bool, by the truth.
    """

    dice: np.ndarray
    iou: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str | None, ...]
    with_lesion: np.ndarray


def rank(
    config: CompareConfig,
    trials: Mapping[Group, Sequence[Cell]],
    picked: Mapping[Group, Cell],
) -> dict[str, Any]:
    """Put the finished cells into rows, as in compare.json.

    A row's "dice" and "iou" are means over seeds of the mean over the test images (protocol
    per-image; where classes are told apart, of their mean on each image). In their intervals images
    (or groups of them) and seeds vary, so they hold what other images and another subset, order and
    start would change. "against" has the paired difference to the baseline, image by image and seed
    by seed, with Holm's adjustment over the methods of the same training size. Of several training
    sizes "curves" has each method's learning curve.
    """
    scores = {group: scores_of_seeds(config, cell) for group, cell in picked.items()}
    rows = {
        group: _row(config, trials[group], cell, scores[group]) for group, cell in picked.items()
    }
    for size in dict.fromkeys(size for size, _ in picked):
        compare_with_baseline(config, size, rows, scores)
    curves = curves_of(list(rows.values()))
    tested = [run_of(c, config).metrics for cell in picked.values() for c in _seeds(config, cell)]
    every = [read_object(path, Metrics) for path in tested]
    first = every[0]
    facts = ("data", "title", "citation", "licence", "split", "images", "prompt", "pretraining")
    return {
        **{name: first.get(name) for name in facts},
        **_words(every),
        **{name: first[name] for name in ("skipped",) if name in first},
        "protocol": "per-image",
        "classes": list(classes_of(first)),
        "settings": _settings(config),
        "resolved": _resolved(config, next(iter(picked.values()))),
        "machine": {
            "processor": processor_of(config.device),
            "python": public_version(platform.python_version()),
        },
        "command": sys.argv,
        "rows": list(rows.values()),
        **({"curves": curves} if curves else {}),
    }


def _words(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the tested networks were told, and how those that chose among words chose."""
    labels = [metrics["prompt"] for metrics in every if metrics.get("prompt")]
    words: list[Any] = []
    for metrics in every:
        if metrics.get("words") not in (None, *words):
            words.append(metrics["words"])
    told = {"prompt": together(labels)} if labels else {}
    return {**told, **({"words": words} if words else {})}


def _settings(config: CompareConfig) -> dict[str, Any]:
    """What was asked for; no data set's name where the data are one's own."""
    own = ("dataset", "data_root") if config.images or config.table else ()
    asked = dataclasses.asdict(config) | {"baseline": config.tested_against}
    return {k: v for k, v in asked.items() if k not in ("output", *own)}


def _row(
    config: CompareConfig, trials: Sequence[Cell], cell: Cell, scores: SeedScores
) -> dict[str, Any]:
    dice, iou = (mean_estimate(s, scores.groups) for s in (scores.dice, scores.iou))
    cells = _seeds(config, cell)
    found = [_cell(run_of(one, config)) for one in cells]
    factors = sorted(config.lr_factors)
    kind, options = parse_method(cell.method)
    run = read_object(run_of(cell, config).config, ConfigFile)["config"]
    return {
        "method": cell.method,
        "kind": kind,
        "options": options,
        **_selected_by(kind, run),
        "dataset": read_object(run_of(cell, config).metrics, DatasetOfMetrics)["dataset"],
        "backbone": config.backbone,
        "train_size": len(read_object(run_of(cell, config).split, ListedSplit)["train"]),
        "seeds": len(cells),
        "trials": len(trials),
        "lr": found[0]["lr"],
        "decoder_lr": found[0]["decoder_lr"],
        "lr_factor": cell.factor,
        "lr_at_edge": len(factors) > 1 and cell.factor in (factors[0], factors[-1]),
        "val_dice": statistics.mean(one["val_dice"] for one in found),
        "dice": dice.value,
        "dice_ci95": dice.ci95(),
        "dice_of_seeds": scores.dice.mean(1).tolist(),
        "iou": iou.value,
        "iou_ci95": iou.ci95(),
        **dice.varied,
        **({} if dice.interval else {"no_interval": dice.why}),
        **_apart(scores),
        **lesion_columns([run_of(one, config).per_image for one in cells]),
        "diverged": sum(one["diverged"] for one in found),
        "untrained": sum(one.get("best_epoch") == 0 for one in found),
        "ended_early": sum(one.get("ended_early", False) for one in found),
        "epochs_of_seeds": [one.get("epochs") for one in found],
        **found[0]["trainable"],
        "delta_bytes": found[0]["delta_bytes"],
        "step_seconds": statistics.median(one["step_seconds"] or 0 for one in found),
        "memory_mb": max(one["memory_mb"] for one in found),
    }


def _selected_by(kind: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """By which criterion a method selects and how many of each neuron; None where it does not."""
    selects = method_of(kind).selects
    if selects is None:
        return {"top_k": None, "criterion": None}
    criterion = selects.get("criterion", run["criterion"])
    if run.get("mix"):
        criterion += f", {100 * run['mix_share']:g} % {run['mix']}"
    return {"top_k": run["top_k"], "criterion": criterion}


def _apart(scores: SeedScores) -> dict[str, Any]:
    """The mean Dice of the images with a lesion, where some have none: these score 0 or 1."""
    chosen = np.flatnonzero(scores.with_lesion)
    if not 0 < len(chosen) < len(scores.ids):
        return {}
    found = mean_estimate(scores.dice[:, chosen], [scores.groups[i] for i in chosen])
    return {
        "dice_with_lesion": found.value,
        "dice_with_lesion_ci95": found.ci95(),
        "images_with_lesion": len(chosen),
    }


def compare_with_baseline(
    config: CompareConfig,
    size: int | None,
    rows: Mapping[Group, dict[str, Any]],
    scores: Mapping[Group, SeedScores],
) -> None:
    """Add "against" to the rows of one training size, where the baseline is among them."""
    if config.tested_against is None:
        return
    base = (size, config.tested_against)
    others = [group for group in rows if group[0] == size and group != base]
    tests = paired_tests([scores[group].dice for group in others], scores[base])
    for group, test in zip(others, tests, strict=True):
        rows[group]["against"] = {"method": base[1], **test}


def paired_tests(dice: Sequence[np.ndarray], base: SeedScores) -> list[dict[str, Any]]:
    """What networks' scores differ by from one's, what that says, and p adjusted over all of them.

    Args:
        dice: (seeds, images) of each, on the images of ``base``.
        base: to compare with; of one network alone the same for every seed.
    """
    tests = []
    for of_one in dice:
        before = np.broadcast_to(base.dice, of_one.shape)
        found = paired_comparison(of_one, before, base.groups)
        test = {**difference(found), **found.varied}
        tests.append(test | {"verdict": verdict(test)})
    adjusted = holm([test["p"] for test in tests])
    return [test | {"p_holm": p} for test, p in zip(tests, adjusted, strict=True)]


def scores_of(run: RunFolder) -> SeedScores:
    """The scores of one tested run.

    Where classes are told apart these are means over the classes, as on the validation images.
    """
    classes = classes_of(read_object(run.metrics, Metrics))
    columns = {s: [f"{s}_{name}" for name in classes] or [s] for s in ("dice", "iou")}
    rows = read_scores(run.per_image, [*columns["dice"], *columns["iou"]])
    ids = tuple(sorted(rows))
    dice, iou = (
        np.array([[[rows[image][name] for name in names] for image in ids]]).mean(2)
        for names in columns.values()
    )
    groups = tuple(rows[image]["group"] for image in ids)
    with_lesion = np.array([rows[image]["with_lesion"] for image in ids])
    return SeedScores(dice, iou, ids, groups, with_lesion)


def classes_of(metrics: Mapping[str, Any]) -> Sequence[str]:
    """The classes that a run of this metrics.json told apart, if any."""
    classes = metrics.get("classes", {})
    return tuple(classes.get("after", ())) if isinstance(classes, dict) else ()


def scores_of_seeds(
    config: CompareConfig, cell: Cell, at: Callable[[RunFolder], RunFolder] = lambda run: run
) -> SeedScores:
    """The scores of every seed.

    Args:
        config: of the comparison.
        cell: of one of the seeds.
        at: a run's folder -> where the scores are.

    Raises:
        UserError: two seeds were not tested on the same images.
    """
    first, *others = (scores_of(at(run_of(one, config))) for one in _seeds(config, cell))
    for one in others:
        if one.ids != first.ids:
            odd = few(sorted({*one.ids} ^ {*first.ids}))
            raise UserError(
                f"The seeds of {cell.method} in {config.output} were tested on different images: "
                f"{odd}. Remove the folders in cells/ whose data have changed, and start again."
            )
    dice, iou = (
        np.concatenate([getattr(one, name) for one in (first, *others)]) for name in ("dice", "iou")
    )
    return dataclasses.replace(first, dice=dice, iou=iou)


def _cell(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = read_object(run.cell, CellFile)
    return found


def _seeds(config: CompareConfig, cell: Cell) -> list[Cell]:
    return [dataclasses.replace(cell, seed=seed) for seed in config.seeds]


def _resolved(config: CompareConfig, cell: Cell) -> dict[str, Any]:
    """What the backbone chose where the options left it the choice."""
    run = read_object(run_of(cell, config).config, ResolvedConfig)
    names = ("image_size", "batch_size", "prompt")
    chosen = {name: value for name, value in run["resolved"].items() if name != "words"}
    return {name: run["config"][name] for name in names} | chosen
