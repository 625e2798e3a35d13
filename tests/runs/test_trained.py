"""What became of a training: untrained networks are refused, stopped ones are used with a word."""

import dataclasses
import json

import pytest
from PIL import Image

from gpsseg import Delta, gps
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune, tune
from gpsseg.predict import predict
from gpsseg.runs.trained import Training, training_of_metadata

UNET = "unet-efficientnet-lite0"


def quick(root, output, **settings):
    """A short training on images of 32 x 32."""
    base = {
        "backbone": UNET,
        "data_root": root,
        "image_size": 32,
        "epochs": 2,
        "cache": "off",
        "workers": 0,
        "output": output,
        "device": "cpu",
    }
    return FinetuneConfig(**{**base, **settings})


def read(run, name):
    return json.loads((run / name).read_text(encoding="utf-8"))


def stopped_before_a_validation(root, output, ctrl_c_in_the_loss, **settings):
    ctrl_c_in_the_loss(1)
    base = {"method": "full", "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        finetune(quick(root, output, **base | settings))
    return output


def as_of_version_0_1(run):
    """Take from the delta's metadata what it did not have."""
    delta = Delta.load(run / "delta.safetensors")
    for name in ("epochs", "epochs_finished", "best_epoch"):
        del delta.metadata[name]
    delta.save(run / "delta.safetensors")


def test_an_untrained_network_is_refused_unless_it_is_asked_for(
    kvasir, tmp_path, monkeypatch, capsys, ctrl_c_in_the_loss
):
    run = stopped_before_a_validation(kvasir, tmp_path / "run", ctrl_c_in_the_loss)
    said = "UNTRAINED: training stopped or diverged before a validation, in epoch 1 of 2."
    assert f"delta.safetensors: {said}" in capsys.readouterr().out
    monkeypatch.undo()
    metadata = Delta.load(run / "delta.safetensors").metadata
    names = ("epochs", "epochs_finished", "best_epoch")
    assert [metadata[name] for name in names] == ["2", "0", "0"]
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    asked = PredictConfig(run=run, input=(tmp_path / "a.png",), output=tmp_path / "out")
    scored = EvaluateConfig(run=run, output=tmp_path / "scored", device="cpu")
    for call in (lambda: predict(asked), lambda: evaluate(scored)):
        with pytest.raises(UserError, match=r"UNTRAINED.* or pass --untrained") as error:
            call()
        assert "with the command in its config.json" in str(error.value), "nothing to resume"
    as_of_version_0_1(run)
    with pytest.raises(UserError, match="UNTRAINED"):
        predict(asked)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "scored").exists()
    assert predict(dataclasses.replace(asked, untrained=True))
    assert read(tmp_path / "out", "predict.json")["untrained"] is True
    metrics = evaluate(dataclasses.replace(scored, untrained=True))
    assert metrics["untrained"] is True
    assert metrics["training"] == "stopped after epoch 0 of 2"
    page = (tmp_path / "scored" / "report.html").read_text(encoding="utf-8")
    assert "UNTRAINED - the training was stopped before its first validation" in page
    (run / "log.jsonl").unlink()
    assert predict(dataclasses.replace(asked, output=tmp_path / "as before"))


@pytest.mark.parametrize("old", [False, True])
def test_a_stopped_run_with_a_validated_epoch_is_used_with_a_word(
    kvasir, tmp_path, monkeypatch, capsys, ctrl_c_in_the_loss, old
):
    ctrl_c_in_the_loss(4)  # 2 batches an epoch: in the second step of the second
    settings = {"method": "decoder", "epochs": 3}
    with pytest.raises(KeyboardInterrupt):
        tune(quick(kvasir, tmp_path / "run", **settings))
    monkeypatch.undo()
    if old:
        as_of_version_0_1(tmp_path / "run")
    capsys.readouterr()
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    predict(PredictConfig(run=tmp_path / "run", input=(tmp_path / "a.png",), output=tmp_path / "o"))
    said = "run: The training was stopped after epoch 1 of 3; the weights are those of epoch 1."
    assert said in capsys.readouterr().out


def test_a_resumption_that_fails_leaves_the_delta_alone(
    kvasir, tmp_path, monkeypatch, ctrl_c_in_the_loss
):
    ctrl_c_in_the_loss(4)
    settings = {"method": "decoder"}
    with pytest.raises(KeyboardInterrupt):
        tune(quick(kvasir, tmp_path / "run", **settings))
    monkeypatch.undo()
    before = (tmp_path / "run" / "delta.safetensors").read_bytes()
    empty = gps.Selection({}, {}, ("net.segmentation_head.0.bias",))
    empty.save(tmp_path / "run" / "selection.safetensors")
    with pytest.raises(UserError, match="belongs to another selection"):
        tune(FinetuneConfig(resume=tmp_path / "run"))
    assert (tmp_path / "run" / "delta.safetensors").read_bytes() == before


def test_numbers_of_very_many_digits_in_a_delta_are_none() -> None:
    facts = {"epochs": "9" * 5000, "epochs_finished": "1", "best_epoch": "1"}
    assert training_of_metadata(facts) is None
    assert training_of_metadata({**facts, "epochs": "3"}) == Training(3, 1, 1)
