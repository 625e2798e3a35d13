"""What commands came to before the house was rebuilt, and what version 0.1 left behind.

`python tests/test_golden.py` makes the values anew, and is for changes that mean to change them.
Bits are compared on a machine like theirs, elsewhere numbers to rounding.
"""

import csv
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from gpsseg.config.commandline import read_command
from gpsseg.config.compare import CompareConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig

HERE = Path(__file__).resolve().parent / "golden"
VALUES = HERE / "values.json"
OLD = HERE / "run_0_1"  # version 0.1, stopped after the first of two epochs
NET = "--dataset kvasir --backbone unet-efficientnet-lite0 --image-size 32 --cache off --workers 0"
TINY = f"{NET} --batch-size 2 --epochs 2 --device cpu --precision fp32"
DATA = "--train-size 6 --val-share 0.3"
COMMANDS = {
    "gps": f"finetune {TINY} {DATA} --selection-images 2 --output gps",
    "lora": f"finetune {TINY} {DATA} --method lora --output lora",
    "evaluate": "evaluate --predictions masks --truth truth --protocol all --output evaluated",
    "predict": "predict --run gps --input new --output predicted --save-probabilities --device cpu",
    "compare": (
        f"compare {NET} --batch-size 2 --epochs 1 --train-sizes 4 --methods gps bias "
        "--baseline gps --seeds 0 --lr-factors 1 --device cpu --precision fp32 --output compared"
    ),
    "old": "finetune --resume old --device cpu",
    "old evaluated": "evaluate --run old --dataset kvasir --device cpu --output old-evaluated",
    "old predicted": "predict --run old --input new --output old-predicted --device cpu",
    "old side by side": "report --compare old gps --output old-compared",
}


def machine() -> list[str]:
    """What bits depend on."""
    return [torch.__version__, platform.machine(), torch.backends.cpu.get_cpu_capability()]


def run(command: str) -> None:
    """Do what the command does, in this process and the current folder."""
    from gpsseg.compare import compare
    from gpsseg.evaluate import evaluate
    from gpsseg.finetune import finetune
    from gpsseg.predict import predict
    from gpsseg.report import report

    name, *arguments = command.split()
    function, config = {
        "finetune": (finetune, FinetuneConfig),
        "evaluate": (evaluate, EvaluateConfig),
        "predict": (predict, PredictConfig),
        "compare": (compare, CompareConfig),
        "report": (report, ReportConfig),
    }[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"gpsseg.{name}", *arguments])
        function(read_command(config, name))


def draw_inputs() -> None:
    """Masks to score, and a picture, a volume and a DICOM series to segment."""
    spec = importlib.util.spec_from_file_location("maker", HERE.parent / "dicom_maker.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    rows, columns = np.mgrid[:40, :48]
    for folder in ("masks", "truth", "new"):
        Path(folder).mkdir()
    for i in range(5):
        for folder, moved in (("truth", 0), ("masks", i)):
            inside = (rows - 15 - i) ** 2 + (columns - 20 - moved) ** 2 < (6 + i) ** 2
            Image.fromarray(inside.astype(np.uint8) * 255).save(f"{folder}/c{i}.png")
    Image.fromarray(np.stack([rows * 6, columns * 5, rows + columns], -1).astype(np.uint8)).save(
        "new/picture.png"
    )
    values = (np.hypot(rows - 20, columns - 24) * 40)[None] + np.arange(3)[:, None, None] * 30
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(values.T.astype(np.int16), affine), "new/volume.nii.gz")
    maker.write_series(Path("new/series"), values.astype(np.int16))


def outcomes() -> dict:
    """Run all commands in the current folder; what they came to, by their names."""
    draw_inputs()
    shutil.copytree(OLD, "old")
    found = {}
    for name, command in COMMANDS.items():
        run(command)
        found[name] = OUTCOMES[command.split()[0]](Path(command.split("--output ")[-1]), name)
    return found


def of_run(folder: Path, name: str) -> dict:
    folder = Path("old") if name == "old" else folder
    metrics = json.loads((folder / "metrics.json").read_text())
    tensors = load_file(folder / "delta.safetensors")
    return {
        "hash": json.loads((folder / "selection.json").read_text())["hash"],
        "scores": scores(metrics["before"]) + scores(metrics["after"]),
        "split": metrics["split"]["sha256"],
        "sizes": sum(values.size for values in tensors.values()),
        "bits": digest([tensors[key] for key in sorted(tensors)]),
    }


def of_evaluation(folder: Path, name: str) -> dict:
    return {"scores": scores(json.loads((folder / "metrics.json").read_text())["after"])}


def of_prediction(folder: Path, name: str) -> dict:
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".gz", ".nrrd"))
    arrays = {path.name: read(path) for path in files}
    return {
        "files": sorted(arrays),
        "means": [float(values.mean()) / max(1, values.max()) for values in arrays.values()],
        "bits": digest(list(arrays.values())),
    }


def of_comparison(folder: Path, name: str) -> dict:
    rows = json.loads((folder / "compare.json").read_text())["rows"]
    return {"scores": [row[key] for row in rows for key in ("dice", "iou", "share_of_total")]}


def of_page(folder: Path, name: str) -> dict:
    page = (folder / "comparison.html").read_text()
    return {"files": [part for part in ("mDice", "unet-efficientnet-lite0") if part in page]}


OUTCOMES = {
    "finetune": of_run,
    "evaluate": of_evaluation,
    "predict": of_prediction,
    "compare": of_comparison,
    "report": of_page,
}


def scores(protocols: dict) -> list[float]:
    """All means, without the intervals, which have a meaning of their own."""
    return [
        float(value)
        for _, names in sorted(protocols.items())
        for name, value in sorted(names.items())
        if isinstance(value, (int, float)) and not name.startswith("images")
        if name in ("dice", "iou", "jaccard_thresholded", "weighted_f", "hd95", "mae")
    ]


def read(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    if path.suffix == ".gz":
        return np.asarray(nibabel.load(path).dataobj)
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))


def digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def today(place: Path) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return outcomes()


def documented() -> dict[str, set[str]]:
    """File -> the keys that docs/files.md lists under its heading."""
    text = (HERE.parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    found = {}
    for section in text.split("\n## ")[1:]:
        name, _, body = section.partition("\n")
        rows = [line.split("|")[1] for line in body.splitlines() if line.startswith("| `")]
        found[name.strip()] = {key for row in rows for key in re.findall("`([^`]+)`", row)}
    return found


def keys_of(path: Path) -> set[str]:
    """The keys of a file, with those within objects after a dot; lists count as one object."""

    def walk(value: object, above: str = "") -> set[str]:
        if isinstance(value, list):
            return set().union(*(walk(each, above) for each in value))
        if not isinstance(value, dict):
            return {above} if above else set()
        return set().union(*(walk(v, f"{above}.{k}".lstrip(".")) for k, v in value.items()))

    if path.suffix == ".safetensors":
        with safe_open(path, "numpy") as file:
            return set(file.metadata())
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return set(next(csv.reader(file)))
    lines = path.read_text(encoding="utf-8")
    return walk(
        [json.loads(each) for each in (lines.splitlines() if "jsonl" in path.name else [lines])]
    )


def is_listed(key: str, listed: set[str]) -> bool:
    """Whether a key is in the list; what is in capitals there stands for any name."""
    forms = (re.sub(r"[A-Z]{2,}", "[^.]+", re.escape(each)) for each in listed)
    return any(re.fullmatch(form, key) for form in forms)


def test_every_key_is_in_the_docs_and_every_object_has_a_schema(today: dict, place: Path) -> None:
    listed, seen = documented(), set()
    for path in place.rglob("*"):
        if path.suffix not in (".json", ".jsonl", ".csv", ".safetensors"):
            continue
        seen.add(path.name)
        assert path.name in listed, f"docs/files.md has no section on {path.name}"
        keys = keys_of(path)
        assert [key for key in sorted(keys) if not is_listed(key, listed[path.name])] == []
        old = "old" in path.parts or path.suffix in (".jsonl", ".csv")
        assert old or "schema" in keys, path
        if path.suffix == ".json" and not old:
            assert next(iter(json.loads(path.read_text()))) == "schema"
    not_seen = {"benchmark.json", "slices.json", "study.json", "uncertainty.csv", "pulled.json"}
    not_seen |= {"candidates.safetensors", "adopted.json", "kept.csv", "propagated.csv"}
    assert set(listed) - seen == not_seen, "not seen here"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_comes_to_what_it_came_to(today: dict, name: str) -> None:
    kept = json.loads(VALUES.read_text())
    alike = kept["machine"] == machine()
    for what, value in kept[name].items():
        if what in ("scores", "means"):
            assert today[name][what] == pytest.approx(value, abs=1e-6 if alike else 0.02), what
        elif alike or what not in ("hash", "bits"):
            assert today[name][what] == value, what


if __name__ == "__main__":
    import tempfile

    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(tempfile.mkdtemp())
    VALUES.write_text(json.dumps({"machine": machine(), **outcomes()}, indent=1) + "\n")
