"""What a delta's metadata tell, and what they do not."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpsseg.config.finetune import SettledConfig
from gpsseg.data.formats.greys import Greys
from gpsseg.gps import Delta, Selection
from gpsseg.runs.delta_facts import add_scores, facts_of_delta, scores_of
from gpsseg.scope import drawn
from gpsseg.veil import Veil

COUNTS = dict.fromkeys(
    ("encoder", "decoder", "total", "share_of_encoder", "share_of_decoder", "share_of_total"), 1
)


def facts(**settings: Any) -> dict[str, str]:
    given = {"image_size": 64, "epochs": 1, "batch_size": 1, "lr": 0.1, "decoder_lr": 0.1}
    config = SettledConfig(**given | settings)
    card = SimpleNamespace(name="set", title="Set")
    split = SimpleNamespace(data="real", sha256="f", train=[1, 2, 3])
    greys = Greys(whole=(0.0, 4095.0), labels=(1,))
    data: Any = SimpleNamespace(card=card, split=split, greys=greys)
    licence: Any = SimpleNamespace(licence="MIT")
    return facts_of_delta(config, licence, data, Selection({}, {}), COUNTS, "fp32")


def test_files_are_told_by_their_names_alone() -> None:
    told = facts(backbone="litemedsam", weights="/home/jane/own.pth")
    settings = json.loads(told["settings"])
    assert (settings["weights"], settings["precision"]) == ("own.pth", "fp32")
    assert settings["greys"] == {"whole": [0.0, 4095.0]}
    assert (told["train_images"], told["licence"]) == ("3", "MIT")
    assert "jane" not in json.dumps(told)


def test_a_nameless_run_s_own_files_are_not_told() -> None:
    """In JSON too, which the writer of files passes as it is."""
    with drawn(Veil("salt").hide_path(Path("/home/jane/JaneDoe.pth"))):
        told = facts(weights="/home/jane/JaneDoe.pth")
    assert "JaneDoe" not in json.dumps(told)
    assert json.loads(told["settings"])["backbone"] == "litemedsam"


def test_a_method_tells_its_own_options_alone() -> None:
    settings = json.loads(facts(method="lora", rank=3)["settings"])
    assert (settings["rank"], settings["loss"]) == (3, "bce-iou")
    assert not {"top_k", "criterion", "lr", "cache", "selection_images"} & settings.keys()


def test_scores_are_added_and_no_tensor_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "delta.safetensors"
    pairs = {"w": (torch.tensor([4], dtype=torch.int32), torch.tensor([0.1]))}
    delta = Delta(pairs, {"b": torch.ones(2)}, {"base_hash": "x", "y": "z"}, ("b",))
    delta.save(path)
    before = path.read_bytes()
    scores = {"dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.3, "false_finds": 1}
    add_scores(path, {"data": "real", "dataset": "d", "after": {"per-image": scores}})
    again = Delta.load(path)
    assert json.loads(again.metadata["scores"]) == {
        **{"protocol": "per-image", "data": "real", "dataset": "d"},
        **{"dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.3},
    }
    assert again.metadata["y"] == "z"
    assert again.free == ("b",)
    assert path.read_bytes()[-16:] == before[-16:], "the tensors"


@pytest.mark.parametrize("metrics", [{}, {"after": {}}, {"after": {"micro": {"dice": 1.0}}}])
def test_metrics_without_such_scores(metrics: Any) -> None:
    assert scores_of(metrics) == {}
