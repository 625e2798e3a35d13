"""A network as it comes, scored without a run; that its scores are a run's "before" see
``test_finetune`` (a decoder at random) and ``engine/test_prompts`` (pre-trained, with boxes)."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate

UNET = "unet-efficientnet-lite0"


def of_unet(root: Path, output: Path, **options: Any) -> dict[str, Any]:
    given = {"image_size": 32, "device": "cpu", "precision": "fp32", "protocol": "per-image"}
    shown = {"dataset": "kvasir", "data_root": root, "output": output}
    return evaluate(EvaluateConfig(**{"backbone": UNET, **shown, **given, **options}))


def test_a_random_decoder_is_called_so_wherever_it_is_scored(
    drawn_kvasir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = of_unet(drawn_kvasir, tmp_path / "out", seed=3, uncertainty=True)
    assert (metrics["method"], metrics["before_is"]) == ("untuned", "untrained decoder")
    assert (metrics["backbone"], metrics["seed"], metrics["images"]) == (UNET, 3, 2)
    assert (metrics["image_size"], metrics["precision"]) == (32, "fp32")
    assert metrics["base"] == f"{UNET} (prompt none, seed 3)"
    assert "before" not in metrics, "there is one network"
    assert metrics["ensemble"] == {"networks": 1, "flips": True}
    assert "untrained decoder mDice" in " ".join(capsys.readouterr().out.split())
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"<b>{UNET}</b>: <b>untrained decoder</b>" in page
    assert "Its decoder has random weights (seed 3): what it finds is no baseline." in page
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["split"]["sha256"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "unet-efficientnet-lite1"}, f"Did you mean '{UNET}'"),
        ({"weights": "gone.pth"}, r"--weights gone\.pth does not exist"),
        ({"prompt": "box"}, "takes no prompt, got --prompt box"),
        ({"image_size": 33}, "Pass --image-size 32"),
        ({"prompts": "boxes.csv"}, "is told --prompt none, which takes none from a file"),
        ({"split": "offical"}, "offical"),
        ({"by": "centre"}, "centre"),
    ],
)
def test_what_a_network_does_not_take_is_refused_before_anything_is_written(
    drawn_kvasir: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        of_unet(drawn_kvasir, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_one_thing_is_scored_and_on_a_data_set() -> None:
    both = r"Got --run and --backbone of --run, --backbone and --predictions, expected one"
    with pytest.raises(UserError, match=both):
        EvaluateConfig(run=Path("run"), backbone=UNET)
    with pytest.raises(UserError, match="Got none of --run, --backbone and --predictions"):
        EvaluateConfig()
    for lacking in ({}, {"truth": Path("masks")}):
        with pytest.raises(UserError, match="on the test images of a data set, got"):
            EvaluateConfig(backbone=UNET, **lacking)
    for idle in ("untuned", "untrained", "strict"):
        with pytest.raises(UserError, match=f"--{idle} has no effect here: it goes with --run"):
            EvaluateConfig(backbone=UNET, dataset="kvasir", **{idle: True})


def test_a_network_is_asked_by_the_best_of_several_words(
    drawn_kvasir: Path, sam3_folder: Path, tmp_path: Path
) -> None:
    words = ("polyp", "mole")
    options = {"image_size": None, "text": words, "prompt": "text"}
    metrics = of_unet(drawn_kvasir, tmp_path / "out", backbone=str(sam3_folder), **options)
    chosen = metrics["words"]["chosen"]
    assert set(metrics["words"]["dice"]) == set(words)
    assert metrics["prompt"] == f"text prompt: {chosen}"
    alone = {**options, "text": (chosen,)}
    again = of_unet(drawn_kvasir, tmp_path / "one", backbone=str(sam3_folder), **alone)
    assert again["after"] == metrics["after"]
    assert "words" not in again
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"text prompt: {chosen}" in page
