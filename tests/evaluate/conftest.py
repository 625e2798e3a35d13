"""Five predictions and their truth, and how the tests have them evaluated."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.evaluate import evaluate

SHAPE = (24, 20)


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def truth_of(i: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    truth = np.zeros(shape, bool)
    truth[4 : 8 + 2 * i, 3:15] = True
    return truth


def map_of(i: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng([seed, i]).normal(0, 0.25, SHAPE)
    return (np.clip(0.2 + 0.6 * truth_of(i) + noise, 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions (8-bit maps) and truth of five images."""
    for i in range(5):
        save(tmp_path / "maps" / f"c{i}_probability.png", map_of(i))
        save(tmp_path / "truth" / f"c{i}.png", truth_of(i) * np.uint8(255))
    return tmp_path / "maps", tmp_path / "truth"


def run(folders: tuple[Path, Path], **options: Any) -> dict[str, Any]:
    maps, truth = folders
    output = options.pop("output", maps.parent / "out")
    return evaluate(EvaluateConfig(predictions=maps, truth=truth, output=output, **options))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def volumes(folder: Path, seed: int, zooms: tuple[float, ...], flip: int = 1) -> None:
    nibabel = pytest.importorskip("nibabel")
    folder.mkdir()
    for i in range(3):
        values = np.zeros((6, 8, 5), np.uint8)
        values[1:4, 2 : 5 + i, 1 : 4 - seed] = 1
        image = nibabel.Nifti1Image(values, np.diag([flip * zooms[0], *zooms[1:], 1]))
        nibabel.save(image, folder / f"v{i}.nii.gz")


@pytest.fixture
def tools() -> SimpleNamespace:
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(
        SHAPE=SHAPE,
        save=save,
        truth_of=truth_of,
        map_of=map_of,
        run=run,
        rows_of=rows_of,
        volumes=volumes,
    )
