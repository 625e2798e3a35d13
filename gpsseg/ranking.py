"""The rows of a comparison: mean over seeds, intervals over images, tests against a baseline."""

from __future__ import annotations

import dataclasses
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.config.compare import CompareConfig
from gpsseg.evaluators import bootstrap_interval, holm, paired_comparison
from gpsseg.files import read_object
from gpsseg.grid import Cell, parse_method
from gpsseg.paired import read_scores
from gpsseg.tuning import METHODS

Group = tuple[int | None, str]


def rank(
    config: CompareConfig,
    trials: Mapping[Group, Sequence[Cell]],
    picked: Mapping[Group, Cell],
) -> dict[str, Any]:
    """Put the finished cells into rows, as in compare.json.

    A row's "dice" and "iou" are means over seeds of the mean over the test images (protocol
    per-image; where classes are told apart, of their mean on each image). Their intervals resample
    the images (each with its mean over seeds), so they hold what another set of images would
    change; "dice_of_seeds" shows what another subset, order and start would. "against" has the
    paired difference to the baseline, image by image on the means over seeds, with Holm's
    adjustment over the methods of the same training size.
    """
    scores = {group: _scores(config, cell) for group, cell in picked.items()}
    rows = {
        group: _row(config, trials[group], cell, scores[group]) for group, cell in picked.items()
    }
    for size in dict.fromkeys(size for size, _ in picked):
        _compare_with_baseline(config, size, rows, scores)
    first = read_object(_folder(config, next(iter(picked.values()))) / "metrics.json")
    facts = ("data", "title", "citation", "licence", "split", "images", "prompt", "pretraining")
    return {
        **{name: first.get(name) for name in facts},
        "protocol": "per-image",
        "classes": list(classes_of(first)),
        "settings": {k: v for k, v in dataclasses.asdict(config).items() if k != "output"},
        "resolved": _resolved(config, next(iter(picked.values()))),
        "machine": {"processor": _processor(), "python": platform.python_version()},
        "command": sys.argv,
        "rows": list(rows.values()),
    }


def _row(
    config: CompareConfig, trials: Sequence[Cell], cell: Cell, scores: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    cells = _seeds(config, cell)
    found = [_cell(_folder(config, one)) for one in cells]
    factors = sorted(config.lr_factors)
    kind, options = parse_method(cell.method)
    run = read_object(_folder(config, cell) / "config.json", config=dict)["config"]
    return {
        "method": cell.method,
        "kind": kind,
        "options": options,
        "top_k": run["top_k"] if METHODS[kind].selects is not None else None,
        "dataset": read_object(_folder(config, cell) / "metrics.json", dataset=str)["dataset"],
        "backbone": config.backbone,
        "train_size": len(read_object(_folder(config, cell) / "split.json", train=list)["train"]),
        "seeds": len(cells),
        "trials": len(trials),
        "lr": found[0]["lr"],
        "decoder_lr": found[0]["decoder_lr"],
        "lr_factor": cell.factor,
        "lr_at_edge": len(factors) > 1 and cell.factor in (factors[0], factors[-1]),
        "val_dice": found[0]["val_dice"],
        "dice": float(scores["dice"].mean()),
        "dice_ci95": list(bootstrap_interval(scores["dice"].mean(0))),
        "dice_of_seeds": scores["dice"].mean(1).tolist(),
        "iou": float(scores["iou"].mean()),
        "iou_ci95": list(bootstrap_interval(scores["iou"].mean(0))),
        "diverged": sum(one["diverged"] for one in found),
        **found[0]["trainable"],
        "delta_bytes": found[0]["delta_bytes"],
        "step_seconds": statistics.median(one["step_seconds"] or 0 for one in found),
        "memory_mb": max(one["memory_mb"] for one in found),
    }


def _compare_with_baseline(
    config: CompareConfig,
    size: int | None,
    rows: Mapping[Group, dict[str, Any]],
    scores: Mapping[Group, Mapping[str, np.ndarray]],
) -> None:
    """Add "against" to the rows of one training size, where the baseline is among them."""
    base = (size, config.baseline)
    if base not in scores:
        return
    others = [group for group in rows if group[0] == size and group != base]
    for group in others:
        found = paired_comparison(scores[group]["dice"].mean(0), scores[base]["dice"].mean(0))
        rows[group]["against"] = {
            "method": config.baseline,
            "difference": found.difference,
            "ci95": list(found.interval),
            "p": found.p_value,
        }
    adjusted = holm([rows[group]["against"]["p"] for group in others])
    for group, p in zip(others, adjusted, strict=True):
        rows[group]["against"]["p_holm"] = p


def scores_of(run: Path) -> dict[str, np.ndarray]:
    """Dice and IoU of the images of a tested run, (images,), by ascending id.

    Where classes are told apart these are means over the classes, as on the validation images.
    """
    classes = classes_of(read_object(run / "metrics.json"))
    columns = {s: [f"{s}_{name}" for name in classes] or [s] for s in ("dice", "iou")}
    rows = read_scores(run / "per_image.csv", [*columns["dice"], *columns["iou"]])
    return {
        score: np.array([[rows[image][name] for name in names] for image in sorted(rows)]).mean(1)
        for score, names in columns.items()
    }


def classes_of(metrics: Mapping[str, Any]) -> Sequence[str]:
    """The classes that a run of this metrics.json told apart, if any."""
    classes = metrics.get("classes", {})
    return tuple(classes.get("after", ())) if isinstance(classes, dict) else ()


def _scores(config: CompareConfig, cell: Cell) -> dict[str, np.ndarray]:
    """Dice and IoU of every seed and test image, (seeds, images)."""
    each = [scores_of(_folder(config, one)) for one in _seeds(config, cell)]
    return {score: np.stack([scores[score] for scores in each]) for score in ("dice", "iou")}


def _cell(folder: Path) -> dict[str, Any]:
    number = (int, float)
    return read_object(
        folder / "cell.json",
        **dict.fromkeys(("lr", "decoder_lr", "val_dice", "memory_mb", "delta_bytes"), number),
        trainable=dict,
        diverged=bool,
    )


def _seeds(config: CompareConfig, cell: Cell) -> list[Cell]:
    return [dataclasses.replace(cell, seed=seed) for seed in config.seeds]


def _folder(config: CompareConfig, cell: Cell) -> Path:
    return config.output / "cells" / cell.name


def _resolved(config: CompareConfig, cell: Cell) -> dict[str, Any]:
    """What the backbone chose where the options left it the choice."""
    run = read_object(_folder(config, cell) / "config.json", config=dict, resolved=dict)
    names = ("image_size", "batch_size", "prompt")
    return {name: run["config"][name] for name in names} | run["resolved"]


def _processor() -> str:
    """The processor's name, and how many cores there are."""
    import os

    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, f": {name}").partition(":")[2].strip()
    return f"{name}, {os.cpu_count()} cores"
