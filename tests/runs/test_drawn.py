"""What a network was trained on is known wherever it is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.evaluate import evaluate
from gpsseg.files import bundled
from gpsseg.predict import predict
from gpsseg.runs.drawn import data_of_training

MARK = "TRAINED ON THE SYNTHETIC SAMPLE"


def tell(folder: Path, file: str, **content: Any) -> None:
    old = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps(old | content))


def test_the_split_tells_and_in_old_runs_the_scores(study_of: Callable[..., Path]) -> None:
    study = study_of({}, {})
    assert data_of_training(study) is None, "an old run that was stopped"
    tell(study / "fold-1", "metrics.json", data="real")
    assert (data_of_training(study / "fold-1"), data_of_training(study)) == ("real", None)
    tell(study / "fold-2", "split.json", data="synthetic sample")
    assert data_of_training(study) == "synthetic sample", "one of the networks will do"


def test_scores_and_masks_of_a_network_that_saw_drawn_images_are_marked(
    study_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = study_of({}) / "fold-1"
    tell(run, "split.json", data="synthetic sample")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    predict(PredictConfig(run=run, input=(tmp_path / "a.png",), output=tmp_path / "masks"))
    assert MARK in capsys.readouterr().out
    real = shutil.copytree(bundled("sample_data") / "kvasir", tmp_path / "data")
    for notice in real.rglob("SYNTHETIC.txt"):
        notice.unlink()  # as if they were
    scored = {"run": run, "device": "cpu", "protocol": ("per-image",)}
    for name, data in (("drawn", None), ("real", real)):
        found = evaluate(EvaluateConfig(data_root=data, output=tmp_path / name, **scored))
        assert found["trained_on_data"] == "synthetic sample"
        page = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        for told in (capsys.readouterr().out, page):
            assert (MARK in told) == (name == "real")
