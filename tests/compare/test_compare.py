"""Whole comparisons: what is looked at first, what is run, what is kept."""

import dataclasses
import json
import math

import pytest
from PIL import Image

from gpsseg.compare import compare
from gpsseg.engine.loss import batch_loss
from gpsseg.errors import UserError


def test_a_split_that_is_not_there_is_refused_before_anything_is_written(
    kvasir, never, tmp_path, tools
):
    settings = tools.config(tmp_path / "c", data_root=kvasir, split="no-such", image_size=32)
    with pytest.raises(UserError, match="no-such"):
        compare(settings)
    assert not (tmp_path / "c").exists()


def test_a_size_that_no_seed_can_draw_is_refused_before_the_first_run(
    kvasir, never, tmp_path, tools
):
    more = {"data_root": kvasir, "image_size": 32, "val_share": 0.3}
    with pytest.raises(
        UserError, match=r"--train-sizes 500 is outside 1\.\.4, the training images"
    ):
        compare(tools.config(tmp_path / "c", train_sizes=(2, 500), **more))
    with pytest.raises(AssertionError, match="a run began"):
        compare(tools.config(tmp_path / "c", train_sizes=(2, 4), **more))


def test_a_size_that_one_seed_cannot_draw_is_refused_before_the_first_run(
    kvasir, never, tmp_path, tools
):
    """Of six images one validates, by seed 13 a pair that is one group: five or four train."""
    root = kvasir / "Kvasir-SEG"
    names = [path.stem for path in sorted((root / "images").iterdir())]
    lines = ["image,mask,split,group"]
    for place, name in enumerate(names):
        part, group = "test" if place > 5 else "train", f"p{max(1, place)}"
        lines.append(f"images/{name}.jpg,masks/{name}.jpg,{part},{group}")
    (root / "t.csv").write_text("\n".join(lines))
    own = {"table": root / "t.csv", "image_size": 32, "val_share": 0.25, "train_sizes": (5,)}
    with pytest.raises(AssertionError, match="a run began"):
        compare(tools.config(tmp_path / "c", seeds=(0,), **own))
    with pytest.raises(UserError, match=r"--train-sizes 5 is outside 1\.\.4"):
        compare(tools.config(tmp_path / "c", seeds=(0, 13), **own))


@pytest.mark.parametrize(
    ("methods", "same"),
    [
        (("gps", "full", "gps:top_k=3"), "gps and gps:top_k=3 are the same with unet-eff"),
        (("fps:top_k=3", "gps", "fps"), "fps:top_k=3 and fps are the same with"),
        (("gps", "lora", "peft:lora"), "lora and peft:lora are the same with"),
        (("peft:loha", "gps", "peft:loha,rank=8"), "peft:loha and peft:loha,rank=8 are the same"),
        (
            ("peft:loha,alpha=4,rank=2", "peft:loha,r=2,alpha=4", "gps"),
            "peft:loha,alpha=4,rank=2 and peft:loha,r=2,alpha=4 are the same",
        ),
    ],
)
def test_methods_that_differ_by_defaults_alone_are_one(
    kvasir, never, tmp_path, tools, methods, same
):
    with pytest.raises(UserError, match=same):
        compare(tools.config(tmp_path / "c", data_root=kvasir, methods=methods))


def test_layers_of_one_tuner_are_others_with_another_rank(kvasir, never, tmp_path, tools):
    methods = ("gps", "lora", "dora", "peft:lora,rank=4", "peft:loha,rank=4")
    with pytest.raises(AssertionError, match="a run began"):
        compare(tools.config(tmp_path / "c", data_root=kvasir, methods=methods))


def test_all_images_are_looked_at_before_the_first_run(kvasir, never, tmp_path, capsys, tools):
    """Though the only run draws one of the training images; what is odd is said once."""
    root = kvasir / "Kvasir-SEG"
    names = [path.stem for path in sorted((root / "images").iterdir())]
    rows = [f"images/{name}.jpg,masks/{name}.jpg" for name in names]
    (root / "t.csv").write_text("\n".join(["image,mask", *rows, "images/x.jpg,masks/x.jpg"]))
    (root / "images" / "x.jpg").write_bytes((root / "images" / f"{names[0]}.jpg").read_bytes())
    with Image.open(root / "images" / "x.jpg") as image:
        Image.new("L", image.size).save(root / "masks" / "x.jpg")
    own = {"table": root / "t.csv", "image_size": 32, "train_sizes": (1,), "seeds": (0,)}
    with pytest.raises(AssertionError, match="a run began"):
        compare(tools.config(tmp_path / "sound", **own))
    said = capsys.readouterr().out
    assert said.count("note: 1 of 9 masks: all black") == 1
    for name in (*names, "x"):
        (root / "masks" / f"{name}.jpg").write_bytes(b"no mask")
    with pytest.raises(UserError) as caught:
        compare(tools.config(tmp_path / "broken", **own))
    assert "8 more" in str(caught.value), "of every part of the split, drawn or not"


def test_only_the_first_seeds_try_rates(kvasir, tmp_path, monkeypatch, tools):
    """Of three seeds two: two methods at two rates are eight trials."""
    begun = []

    def side_by_side(run, jobs, processes, stage):
        begun.extend(run.path.name for _, run, _ in jobs)
        raise InterruptedError

    monkeypatch.setattr("gpsseg.compare.race.run_side_by_side", side_by_side)
    more = {"val_share": 0.3, "seeds": (0, 1, 2), "trial_seeds": 2}
    with pytest.raises(InterruptedError):
        compare(tools.config(tmp_path / "c", data_root=kvasir, image_size=32, **more))
    rates = [f"{method}-all-lr{rate}" for method in ("gps", "full") for rate in ("0.3", "1")]
    assert begun == [f"{rate}-seed{seed}" for rate in rates for seed in (0, 1)]


def test_what_is_finished_is_kept_and_the_rest_is_run(kvasir, cells_here, tmp_path, capsys, tools):
    """A stopped comparison: one trial is finished, another was stopped in the middle."""
    options = {
        "data_root": kvasir,
        "image_size": 32,
        "epochs": 1,
        "methods": ("gps", "decoder"),
        "seeds": (0,),
        "lr_factors": (1.0,),
        "val_share": 0.3,
    }
    settings = tools.config(tmp_path / "c", **options)
    result = compare(settings)
    assert [row["method"] for row in result["rows"]] == ["gps", "decoder"]
    assert "no paired tests: full, the default --baseline, is none" in capsys.readouterr().out
    assert result["settings"]["baseline"] is None
    assert "Against" not in (tmp_path / "c" / "compare.html").read_text()
    assert result["data"] == "synthetic sample", "drawn images are known as such"
    assert json.loads((tmp_path / "c" / "compare.json").read_text())["rows"][0]["dice"] >= 0

    cells = tmp_path / "c" / "cells"
    kept, stopped = cells / "gps-all-lr1-seed0", cells / "decoder-all-lr1-seed0"
    written = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    (stopped / "cell.json").unlink()
    (stopped / "metrics.json").unlink()
    kvasir.rename(tmp_path / "moved")
    again = compare(dataclasses.replace(settings, data_root=tmp_path / "moved"))
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == written
    assert (stopped / "metrics.json").is_file()
    assert again["rows"][1]["dice"] == result["rows"][1]["dice"], "the same seed, the same score"


def test_the_split_that_all_runs_share_is_checked_once_for_leaks(
    kvasir, cells_here, tmp_path, capsys, tools
):
    """The first test image is a training image; which of them, no run's subset alone would say."""
    folder = kvasir / "Kvasir-SEG"
    train, test = ((folder / "splits" / f"{p}.txt").read_text().split() for p in ("train", "val"))
    for kind in ("images", "masks"):
        (folder / kind / f"{test[0]}.jpg").write_bytes(
            (folder / kind / f"{train[0]}.jpg").read_bytes()
        )
    options = {
        "methods": ("decoder",),
        "seeds": (0,),
        "lr_factors": (1.0,),
        "train_sizes": (1, 3),
    }
    settings = tools.config(
        tmp_path / "c", data_root=kvasir, image_size=32, epochs=1, val_share=0.3, **options
    )
    leaks = compare(settings)["leaks"]
    assert [(pair["train_id"], pair["test_id"]) for pair in leaks["pairs"]] == [(train[0], test[0])]
    assert leaks["checked"]
    said = capsys.readouterr().out
    assert said.count("LEAK: 1 of 2 test images") == 1
    assert "No groups were given" in said
    assert json.loads((tmp_path / "c" / "compare.json").read_text())["leaks"] == leaks
    for name in ("compare.html", "compare.md"):
        text = (tmp_path / "c" / name).read_text(encoding="utf-8")
        assert "1 of the 2 test images compared with" in text
        assert "No groups were given" in text


def test_a_trial_that_is_not_picked_never_sees_the_test_images(kvasir, cells_here, tmp_path, tools):
    options = {"methods": ("decoder",), "seeds": (0,), "lr_factors": (0.01, 1.0)}
    settings = tools.config(
        tmp_path / "c", data_root=kvasir, image_size=32, epochs=1, val_share=0.3, **options
    )
    (row,) = compare(settings)["rows"]
    picked = f"decoder-all-lr{row['lr_factor']:g}-seed0"
    tested = [path.parent.name for path in (tmp_path / "c" / "cells").rglob("metrics.json")]
    assert tested == [picked]
    metrics = json.loads((tmp_path / "c" / "cells" / picked / "metrics.json").read_text())
    assert list(metrics["after"]) == ["per-image", "micro", "clinical", "lesions"]


def test_a_diverged_run_counts_with_its_best_epoch(
    kvasir, cells_here, tmp_path, tools, monkeypatch
):
    def endless(*arguments):
        loss = batch_loss(*arguments)
        return lambda *batch: loss(*batch) * math.inf

    monkeypatch.setattr("gpsseg.engine.train.batch_loss", endless)
    options = {"methods": ("full",), "seeds": (0,), "lr_factors": (1.0,)}
    settings = tools.config(
        tmp_path / "c", data_root=kvasir, image_size=32, epochs=1, val_share=0.3, **options
    )
    (row,) = compare(settings)["rows"]
    assert row["diverged"] == 1
    assert 0 <= row["dice"] <= 1
