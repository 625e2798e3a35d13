"""Small studies: images with groups, and folds that are finished without a training."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.study import StudyConfig
from gpsseg.study import runs

QUICK: dict[str, Any] = {
    "backbone": "unet-efficientnet-lite0", "image_size": 32, "workers": 0, "device": "cpu",
    "precision": "fp32", "selection_images": 1, "batch_size": 2, "epochs": 1, "cache": "off",
}  # fmt: skip


def images(root: Path, groups: str, empty: str = "") -> Path:
    """A table of an image a letter, which is its group; those in ``empty`` have no lesion."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    lines = ["image,mask,group,id"]
    for i, group in enumerate(groups):
        picture = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
        mask = np.zeros((24, 24), np.uint8)
        mask[4 : 8 + i % 9, 4:12] = 0 if group in empty else 255
        Image.fromarray(picture).save(root / f"{i}.png")
        Image.fromarray(mask).save(root / f"{i}_mask.png")
        lines.append(f"{i}.png,{i}_mask.png,{group if group != '-' else ''},image {i}")
    (root / "cases.csv").write_text("\n".join(lines) + "\n")
    return root / "cases.csv"


def config(table: Path, output: Path, **settings: Any) -> StudyConfig:
    return StudyConfig(table=table, output=output, **QUICK | settings)


def finished(folder: Path, number: int, scores: dict[str, float], **facts: Any) -> None:
    """The folder of a finished fold whose images have a Dice each; all are of group "g"."""
    run = folder / f"fold-{number}"
    run.mkdir(parents=True)
    names = ["id", "group", "pixels", "truth_pixels", "prediction_pixels", "dice", "iou"]
    with (run / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for name, dice in scores.items():
            writer.writerow([name, f"group of {name}", 100, 10, 10, dice, dice / 2])
    mean = sum(scores.values()) / len(scores)
    summary = {"dice": mean, "dice_ci95": None, "iou": mean / 2, "iou_ci95": None}
    metrics = {
        "data": "real", "dataset": "own", "images": len(scores), "before": {"per-image": summary},
        "after": {"per-image": {**summary, "no_interval": "few"}},
        "trainable": {"share_of_total": 0.1},
        "leaks": {"checked": True, "train": 1, "test": 1, "note": "", "pairs": []}, "best_epoch": 1,
        "seconds": {"training": 2.0}, **facts,
    }  # fmt: skip
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "report.html").write_text("page")
    parts = {"sha256": str(number), "train": ["t"], "val": ["v"], "test": list(scores)}
    (run / "split.json").write_text(json.dumps(parts))


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fold begins, and no network is looked at."""

    def side_by_side(*_: Any) -> Any:
        raise AssertionError("a fold began")

    monkeypatch.setattr(runs, "run_side_by_side", side_by_side)
    monkeypatch.setattr(runs, "require_network", lambda _: None)


@pytest.fixture
def tools() -> SimpleNamespace:
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(images=images, config=config, finished=finished)
