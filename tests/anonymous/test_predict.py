"""`predict` that names nobody but what it segments."""

import json
import re
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.predict import predict


def test_predict(
    nameless: tuple[Path, Path],
    tmp_path: Path,
    maker: ModuleType,
    ward: Path,
    tools: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Results and console name what they are of, and no others; also without salt.txt."""
    run, _ = nameless
    new = tmp_path / "new"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    maker.write_dicom(new / "one.dcm", pixels, PatientName="Jane^SECRET", StudyID="SECRET")
    scan = next((ward / "scans").rglob("*.png"))
    (new / "two.png").write_bytes(scan.read_bytes())
    for name in ("three.png", "four and a half.nii.gz"):  # one found before, one while predicting
        (new / name).write_bytes(b"SECRET")
    (new / "list of pictures.xlsx").write_bytes(b"SECRET")
    one = nibabel.Nifti1Image(np.zeros((40, 40, 1), np.uint8), np.eye(4))
    nibabel.save(one, new / "a slice.nii.gz")
    outputs = [tmp_path / "masks", tmp_path / "again"]
    options: dict[str, Any] = {"run": run, "input": (new,), "device": "cpu"}
    with pytest.raises(UserError, match="2 could not be segmented"):
        predict(
            PredictConfig(
                output=outputs[0], overlays=True, save_probabilities=True, axis="coronal", **options
            )
        )
    said = capsys.readouterr().out
    for name in ("three.png", "four and a half.nii.gz"):
        assert re.search(rf"^failed: {re.escape(str(new / name))} ", said, re.MULTILINE), said
    assert "note: 1 file is left out (1 .xlsx): list of pictures.xlsx" in said
    assert "whatever the axis (coronal): a slice.nii.gz" in said
    salt = (run / "salt.txt").read_text()
    (run / "salt.txt").unlink()
    try:
        with pytest.raises(UserError, match="2 could not be segmented"):
            predict(PredictConfig(output=outputs[1], **options))
        with pytest.raises(UserError, match=r"has no salt\.txt"):
            evaluate(EvaluateConfig(run=run, output=tmp_path / "x", device="cpu"))
    finally:
        (run / "salt.txt").write_text(salt)
    assert tools.leaks(*outputs) == []
    for name in ("one.png", "two.png"):
        one, other = (np.asarray(Image.open(folder / name)) for folder in outputs)
        assert (one == other).all()


def test_an_old_folder_is_evaluated_and_predicts(
    nameless: tuple[Path, Path], ward: Path, tmp_path: Path, tools: SimpleNamespace
) -> None:
    run = shutil.copytree(nameless[0], tmp_path / "old")
    tools.as_in_version_1(run, ward)
    output, masks = tmp_path / "scores", tmp_path / "masks"
    metrics = evaluate(EvaluateConfig(run=run, output=output, device="cpu"))
    assert metrics["split"]["sha256"] == json.loads((run / "split.json").read_text())["sha256"]
    assert tools.leaks(output) == []
    scan = next((ward / "scans").rglob("*.png"))
    (tmp_path / "new.png").write_bytes(scan.read_bytes())
    inputs = (tmp_path / "new.png",)
    assert predict(PredictConfig(run=run, input=inputs, output=masks, device="cpu"))
    assert tools.leaks(masks) == []
