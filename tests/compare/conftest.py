"""A comparison's settings, its finished cells, and runs that stay in this process."""

import csv
import json
from types import SimpleNamespace

import pytest

from gpsseg.compare import race
from gpsseg.compare.cells import Cell
from gpsseg.compare.rows import rank
from gpsseg.config.compare import CompareConfig

UNET = "unet-efficientnet-lite0"


def config(output, **settings):
    chosen = {"methods": ("gps", "full"), "seeds": (0, 1), "lr_factors": (0.3, 1.0)}
    return CompareConfig(output=output, backbone=UNET, **chosen | settings)


def finished(settings, cell, dice, val=0.5, diverged=False, trainable=0.1, groups=None):
    """The folder of a finished cell, with one test image for each of ``dice``."""
    folder = settings.output / "cells" / cell.name
    folder.mkdir(parents=True)
    shares = {"encoder": 1, "decoder": 2, "total": 3, "share_of_encoder": trainable}
    content = {
        "val_dice": val,
        "diverged": diverged,
        "lr": 1e-3 * cell.factor,
        "decoder_lr": 1e-3,
        "trainable": shares | {"share_of_total": trainable},
        "delta_bytes": 2**20,
        "step_seconds": 0.5,
        "memory_mb": 100.0,
    }
    (folder / "cell.json").write_text(json.dumps(content))
    mean = sum(dice) / len(dice)
    metrics = {
        "data": "synthetic sample",
        "dataset": "kvasir",
        "title": "Kvasir-SEG",
        "images": len(dice),
        "split": {"name": "official", "sha256": "ab"},
        "prompt": "none",
        "pretraining": "photographs",
        "after": {"per-image": {"dice": mean, "iou": mean / 2}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "split.json").write_text(json.dumps({"train": ["a", "b"]}))
    run = {"top_k": 1, "criterion": "gradient", "image_size": 64, "batch_size": 4, "prompt": "none"}
    (folder / "config.json").write_text(
        json.dumps({"config": run, "resolved": {"precision": "fp32"}})
    )
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "group", "dice", "iou"])
        names = groups or [""] * len(dice)
        writer.writerows(
            [f"image-{i:04}", g, d, d / 2] for i, (g, d) in enumerate(zip(names, dice, strict=True))
        )


@pytest.fixture
def ranked(tmp_path):
    """Two methods, two seeds, three test images; gps is 0.1 better on each image."""
    settings = config(tmp_path)
    gps, full = Cell("gps", None, 1.0, 0), Cell("full", None, 0.3, 0)
    finished(settings, gps, [0.5, 0.7, 0.9])
    finished(settings, Cell("gps", None, 1.0, 1), [0.7, 0.7, 0.7], val=0.8, diverged=True)
    finished(settings, full, [0.4, 0.6, 0.8], trainable=1.0)
    finished(settings, Cell("full", None, 0.3, 1), [0.6, 0.6, 0.6], trainable=1.0)
    picked = {(None, "gps"): gps, (None, "full"): full}
    trials = {group: [cell, cell] for group, cell in picked.items()}
    return rank(settings, trials, picked)


def compared(folder, scores, seeds, groups):
    """Rank gps against full, whose Dice are {method: (seeds, images)}."""
    settings = config(folder, seeds=tuple(range(seeds)), lr_factors=(1.0,))
    picked = {(None, method): Cell(method, None, 1.0, 0) for method in scores}
    for method, of_seeds in scores.items():
        for seed, dice in enumerate(of_seeds):
            finished(settings, Cell(method, None, 1.0, seed), list(dice), groups=groups)
    return rank(settings, {group: [cell] for group, cell in picked.items()}, picked)


@pytest.fixture
def never(monkeypatch):
    """No run begins."""

    def side_by_side(*_):
        raise AssertionError("a run began")

    monkeypatch.setattr(race, "run_side_by_side", side_by_side)


@pytest.fixture
def tools():
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(
        config=config,
        finished=finished,
        compared=compared,
    )
