"""`evaluate` that names nobody."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.evaluate import evaluate


def test_evaluate_a_nameless_run(
    nameless: tuple[Path, Path], ward: Path, tmp_path: Path, tools: SimpleNamespace
) -> None:
    run, _ = nameless
    masks = tmp_path / "theirsSECRET"
    masks.mkdir()
    for row in (run / "per_image.csv").read_text().splitlines()[1:]:
        Image.new("L", (40, 40)).save(masks / f"{row.split(',')[0]}.png")
    against, output = (run, masks), tmp_path / "scores"
    metrics = evaluate(
        EvaluateConfig(run=run, output=output, against=against, by="ward", device="cpu")
    )
    assert metrics["leaks"]["pairs"]
    of_run, of_evaluation = (
        {one["value"]: one["dice"] for one in found["by"]["ward"]}
        for found in (json.loads((run / "metrics.json").read_text()), metrics)
    )
    assert of_run == of_evaluation
    assert all(len(value) == 8 for value in of_run), "hashed, not shown"
    written = json.loads((output / "metrics.json").read_text())
    told = {entry["against"] for entry in written["paired"]}
    assert len(told) == 2, "folders are told apart without their names"
    assert tools.leaks(output) == []


def test_evaluate_on_other_images_when_those_of_training_are_gone(
    nameless: tuple[Path, Path], ward: Path, tmp_path: Path, tools: SimpleNamespace
) -> None:
    run, _ = nameless
    gone = ward / "truth" / "Jane DöeSECRET1.png"
    moved = gone.rename(tmp_path / "x.png")
    card = str(ward.parent / "otherSECRET.yaml")
    content = yaml.safe_load((ward / "cardSECRET.yaml").read_text(encoding="utf-8"))
    rule = {"images": "scans/**/*[02-9].png", "masks": "truth/{id}.png"}
    content["splits"] = [{"name": "SECRET", "all": rule, "test_share": 0.5}]
    Path(card).write_text(yaml.safe_dump(content), encoding="utf-8")
    output = tmp_path / "scores"
    try:
        metrics = evaluate(EvaluateConfig(run=run, dataset=card, output=output, device="cpu"))
    finally:
        moved.rename(gone)
    assert not metrics["leaks"]["checked"]
    assert tools.leaks(output) == []


def test_evaluate_a_named_run_namelessly(
    named: Path, tmp_path: Path, tools: SimpleNamespace
) -> None:
    output = tmp_path / "scores"
    config = EvaluateConfig(run=named, output=output, device="cpu", anonymous_ids=True)
    metrics = evaluate(config)
    assert tools.leaks(output) == []
    kinds = {pair["kind"] for pair in metrics["leaks"]["pairs"]}
    assert {"exact copy", "same group"} <= kinds, "hashed on both sides, groups are still found"


def test_evaluate_a_network_as_it_comes(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: SimpleNamespace
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"dataset": str(ward / "cardSECRET.yaml"), "by": "group"}
    network = {"backbone": "unet-efficientnet-lite0", "image_size": 32, "device": "cpu"}
    evaluate(EvaluateConfig(**network, **own, anonymous_ids=True))  # type: ignore[arg-type]
    assert tools.leaks(tmp_path) == []
    (output,) = (tmp_path / "runs").iterdir()
    assert output.name.startswith("evaluate-unet-efficientnet-lite0-own-images-")
    assert (output / "salt.txt").is_file(), "so that it can be compared with a run"


@pytest.mark.parametrize("source", ["truth", "card"])
def test_evaluate_predictions(
    ward: Path, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch, tools: SimpleNamespace
) -> None:
    predictions = tmp_path / "predictionsSECRET"
    predictions.mkdir()
    for path in (ward / "truth").iterdir():
        Image.new("L", (20, 20)).save(predictions / path.name)
    Image.new("L", (4, 4)).save(predictions / "ExtraSECRET.png")
    (predictions / "of SECRET").mkdir()
    (predictions / "of SECRET" / "visitsSECRET.xlsx").touch()
    others = tmp_path / "others"
    shutil.copytree(predictions, others)
    (others / "visits of a SECRET.txt").touch()
    truth = (
        {"truth": ward / "truth"}
        if source == "truth"
        else {"dataset": str(ward / "cardSECRET.yaml")}
    )
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    evaluate(
        EvaluateConfig(
            predictions=predictions,
            against=(ward / "truth", others),
            anonymous_ids=True,
            **truth,  # type: ignore[arg-type]
        )
    )
    assert tools.leaks(work) == []
    (output,) = (work / "runs").iterdir()
    assert output.name.startswith("evaluate-predictions-")
    metrics = json.loads((output / "metrics.json").read_text())
    assert len(metrics["resized"]) == metrics["images"]
