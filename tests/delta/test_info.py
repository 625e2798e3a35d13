"""`delta info`: what a delta says of itself, and what is done with one that lies."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.config.delta import AverageConfig, DeltaInfoConfig
from gpsseg.delta import average, info
from gpsseg.errors import UserError
from gpsseg.gps import Delta

OLD = Path(__file__).parents[1] / "golden" / "run_0_1"
SETTINGS = {"backbone": "net", "method": "gps", "image_size": 64, "prompt": "none", "top_k": 2}
SETTINGS |= {"loss": "structure"}
SCORES = {
    **{
        "protocol": "per-image",
        "data": "synthetic sample",
        "images": 7,
        "prompt": "box from the truth",
    },
    **{"dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.25, "iou_ci95": None},
}


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """``saved(name=text)``: a delta's file with these metadata."""

    def save(**metadata: str) -> Path:
        pairs = {"a.weight": (torch.tensor([0, 2], dtype=torch.int32), torch.ones(2))}
        whole = {"a.bias": torch.ones(3)}
        delta = Delta(pairs, whole, {"base": "net", "base_hash": "f" * 64, **metadata})
        delta.save(tmp_path / "delta.safetensors")
        return tmp_path / "delta.safetensors"

    return save


def test_it_says_what_the_metadata_say(saved: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(
        **{"title": "Polyps", "dataset": "polyps", "data": "real", "train_images": "41"},
        **{"licence": "MIT", "settings": json.dumps(SETTINGS), "scores": json.dumps(SCORES)},
        **{"epochs": "4", "epochs_finished": "2", "best_epoch": "1"},
    )
    known = info(DeltaInfoConfig(delta=path, layers=True))
    said = capsys.readouterr().out
    assert known["contents"] == {"weights": 1, "entries": 2, "whole_tensors": 1, "whole": 3}
    assert known["bytes_of"] == {"positions": 8, "values": 8, "whole": 12}
    assert known["train_images"] == 41
    assert "2 entries of 1 weight and 1 tensor whole (3 numbers)" in said
    assert "Polyps (polyps), real, trained on 41" in said
    assert "mDice 0.500 [0.400, 0.600] mIoU 0.250 on 7 test images, protocol per-image" in said
    assert "PROMPTED: box from the truth" in said
    assert "SYNTHETIC SAMPLE: they say nothing about real images" in said
    assert "stopped after epoch 2 of 4" in said
    assert "(GPS), top_k 2, loss structure\n" in said
    assert said.splitlines()[-1].split() == ["2", "3", "a"]


def test_it_says_how_many_train_at_a_time_and_no_option_that_did_nothing(
    saved: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"encoder": 9, "decoder": 0, "total": 9, "at_a_time": 4, "refreshes": 2}
    idle = {"method": "gps", "mix_share": 0.5, "layers": "all", "late_share": 0.5, "refresh": 3}
    info(DeltaInfoConfig(delta=saved(trainable=json.dumps(counts), settings=json.dumps(idle))))
    said = capsys.readouterr().out
    assert "4 numbers trained at a time, selected anew 2 times\n" in said
    assert "(GPS), refresh 3\n" in said
    info(
        DeltaInfoConfig(
            delta=saved(settings=json.dumps(idle | {"mix": "random", "layers": "late"}))
        )
    )
    said = capsys.readouterr().out
    assert "mix random, mix_share 0.5, layers late, late_share 0.5, refresh 3\n" in said


def test_a_mean_says_of_what_it_is(
    saved: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each part by the hash that `info` says of it, also in a folder with a run's settings."""
    paths = []
    for name, images in (("a", "50"), ("b", "100")):
        paths.append(tmp_path / f"{name}.safetensors")
        Delta.load(saved(train_images=images, licence=name)).save(paths[-1])
    changed = Delta.load(paths[1])
    changed.dense["a.bias"] += 1
    changed.save(paths[1])
    mean = average(AverageConfig(deltas=tuple(paths), output=tmp_path / "mean.safetensors"))
    digests = [info(DeltaInfoConfig(delta=path))["values_sha256"] for path in paths]
    assert f"values     SHA-256 {digests[1]}" in capsys.readouterr().out
    known = info(DeltaInfoConfig(delta=mean))
    lines = capsys.readouterr().out.splitlines()
    assert known["train_images"] == 150
    assert {each["sha256"] for each in known["averaged"]} == set(digests)
    assert [line for line in lines if line.startswith("data")] == [
        "data       of which set is not known, trained on 150, split not known (the delta does not "
        "say)"
    ]
    at = lines.index("mean       of 2 trainings, each of the values with this SHA-256:")
    assert sorted(lines[at + 1 : at + 3]) == sorted(
        f"           {share}  {digest} ({images} training images)"
        for share, digest, images in zip(
            (" 33.33%", " 66.67%"), digests, ("50", "100"), strict=True
        )
    )
    assert not [line for line in lines if line.startswith("trained")]
    info(DeltaInfoConfig(delta=mean, json=True))
    assert json.loads(capsys.readouterr().out)["averaged"] == known["averaged"]
    info(DeltaInfoConfig(delta=saved(started_from="e" * 64)))
    assert f"from the delta whose file has SHA-256 {'e' * 64}" in capsys.readouterr().out


def test_a_mean_in_a_run_s_folder_is_not_told_by_that_run_s_data(tmp_path: Path) -> None:
    """Its settings say how it is used there; seed, images, split and scores were others."""
    delta = Delta.load(OLD / "delta.safetensors")
    kept = {name: delta.metadata[name] for name in ("base", "base_hash")}
    other = tmp_path / "other.safetensors"
    dataclasses.replace(delta, metadata=kept).save(other)
    folder = average(AverageConfig(deltas=(other,), run=OLD, output=tmp_path / "shared"))
    known = info(DeltaInfoConfig(delta=folder))
    told = ("dataset", "title", "data", "train_images", "split_sha256", "selection_hash")
    assert [known[name] for name in (*told, "scores", "training")] == [None] * 8
    assert known["settings"]["image_size"] == 32
    assert not {"seed", "top_k", "criterion"} & set(known["settings"])


def test_what_an_older_delta_does_not_say_is_said_to_be_unknown(
    saved: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    info(DeltaInfoConfig(delta=saved()))
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    for name in ("method", "shown", "data", "trained"):
        assert lines[name].startswith("not known"), name
    assert lines["scores"].startswith("none: not tested, or the delta does not say")


def test_a_run_of_version_0_1_knows_more_than_its_delta(capsys: pytest.CaptureFixture[str]) -> None:
    known = info(DeltaInfoConfig(delta=OLD, json=True))
    split = json.loads((OLD / "split.json").read_text())
    assert known["train_images"] == len(split["train"])
    assert known["settings"]["image_size"] == 32
    assert "rank" not in known["settings"], "gps has none"
    assert json.loads(capsys.readouterr().out)["training"]["finished"] == 1


def test_no_network_is_loaded(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gpsseg.backbones")]:
        monkeypatch.delitem(sys.modules, name)
    info(DeltaInfoConfig(delta=saved()))
    assert not [name for name in sys.modules if name.startswith("gpsseg.backbones")]


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"train_images": "-3"}, "train_images is '-3', expected a number of images"),
        ({"train_images": "9" * 5000}, "train_images is '999.*expected a number of images"),
        ({"settings": "["}, "settings is not readable as JSON"),
        ({"settings": "[1]"}, r"settings holds \[1\], expected an object"),
        ({"settings": '{"image_size": "x"}'}, "image_size is 'x', expected a whole number"),
        ({"settings": "[" * 200 + "]" * 200}, "nested too deeply"),
        ({"scores": '{"dice": 2}'}, "dice is 2, expected a number from 0 to 1"),
        ({"scores": '{"dice": NaN}'}, "dice is nan, expected a number"),
        ({"scores": '{"dice_ci95": [1]}'}, "dice_ci95 is"),
        ({"trainable": '{"total": -1}'}, "total is -1, expected"),
        ({"averaged": '{"sha256": 1}'}, "averaged holds .*expected a list"),
        ({"averaged": '[{"sha256": "x", "share": 2, "train_images": null}]'}, "share is 2, exp"),
        ({"settings": '"' + "x" * (1 << 20) + '"'}, "characters, expected at most"),
    ],
)
def test_metadata_that_cannot_be_are_named(saved: Any, metadata: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        info(DeltaInfoConfig(delta=saved(**metadata)))


def test_metadata_make_no_terminal_obey(saved: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither by escapes nor by lines that look like others, in any of them."""
    bad = "\x1b[2J\r\nscores     mDice 1.000\u202e"
    settings = dict.fromkeys(("backbone", "method", "prompt", "precision", "loss"), bad)
    settings |= {"image_size": 8, "classes": [bad]}
    scores = SCORES | {"protocol": bad, "prompt": bad, "data": bad}
    names = ("base", "base_hash", "dataset", "title", "data", "split_sha256", "licence")
    told = dict.fromkeys((*names, "selection_hash", "ended", "started_from"), bad)
    told["averaged"] = json.dumps([{"sha256": bad, "share": 1, "train_images": 1}])
    path = saved(
        **told | {"settings": json.dumps(settings), "scores": json.dumps(scores)},
        **{"epochs": "4", "epochs_finished": "2", "best_epoch": "1"},
    )
    info(DeltaInfoConfig(delta=path, layers=True))
    plain = capsys.readouterr().out
    info(DeltaInfoConfig(delta=path, json=True))
    said = plain + capsys.readouterr().out
    assert not {"\x1b", "\r", "\u202e"} & set(said)
    assert sum(line.startswith("scores") for line in plain.splitlines()) == 1


def test_what_is_no_delta_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(UserError, match="is a study, which has a delta for each of its folds"):
        info(DeltaInfoConfig(delta=tmp_path))
    (tmp_path / "study.json").unlink()
    with pytest.raises(UserError, match=r"has no delta\.safetensors\. Pass the folder of a run"):
        info(DeltaInfoConfig(delta=tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        info(DeltaInfoConfig(delta=tmp_path / "none"))
    with pytest.raises(UserError, match="cannot be there"):
        info(DeltaInfoConfig(delta=tmp_path / ("x" * 300)))
