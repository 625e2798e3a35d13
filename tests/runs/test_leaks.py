"""The leak check in the commands: when it runs, what it says, and what --strict stops."""

import dataclasses
import json
import shutil

import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune
from gpsseg.runs import leaks as leakage


def quick(root, output, **settings):
    base = {"backbone": "unet-efficientnet-lite0", "image_size": 64, "epochs": 1, "workers": 0}
    return FinetuneConfig(
        **{**base, "data_root": root, "output": output, "device": "cpu"} | settings
    )


@pytest.fixture(scope="module")
def leaky(drawn_kvasir, tmp_path_factory):
    """A data root whose first test image is a training image, saved again."""
    root = shutil.copytree(drawn_kvasir, tmp_path_factory.mktemp("leaky") / "data")
    folder = root / "Kvasir-SEG"
    train, test = (
        (folder / "splits" / f"{part}.txt").read_text().split()[0] for part in ("train", "val")
    )
    for kind, quality in (("images", 60), ("masks", 95)):
        with Image.open(folder / kind / f"{train}.jpg") as image:
            image.save(folder / kind / f"{test}.jpg", quality=quality)
    return root, train, test


@pytest.fixture(scope="module")
def run(leaky, tmp_path_factory):
    return finetune(quick(leaky[0], tmp_path_factory.mktemp("runs") / "run"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_finetune_names_the_pair_in_metrics_and_report(run, leaky):
    _, train, test = leaky
    leaks = read(run / "metrics.json")["leaks"]
    (pair,) = leaks["pairs"]
    assert (pair["train_id"], pair["test_id"], pair["kind"]) == (train, test, "near copy")
    assert (leaks["checked"], leaks["train"], leaks["test"]) == (True, 6, 2)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "1 of the 2 test images compared with 6 training images" in text
    assert f"Training image {train}" in text


def test_metrics_hold_strata_and_calibration(run):
    metrics = read(run / "metrics.json")
    assert sum(row["images"] for row in metrics["strata"]) == 2
    assert 0 <= metrics["calibration"]["ece"] <= 1
    with_truth = sum(row["dice"] * row["images"] for row in metrics["strata"]) / 2
    assert with_truth == pytest.approx(metrics["after"]["per-image"]["dice"])


def test_without_strict_test_images_are_compared_after_training(leaky, tmp_path, monkeypatch):
    from gpsseg.data.checks import leaks

    found, folder = leaks.find_leaks, tmp_path / "run"
    seen = []

    def spy(train, test, names=True):
        seen.append((folder / "delta.safetensors").is_file())
        seen.append((folder / "metrics.json").is_file())
        return found(train, test)

    monkeypatch.setattr(leakage, "find_leaks", spy)
    finetune(quick(leaky[0], folder))
    assert seen == [True, False]


def test_strict_stops_before_anything_is_trained(leaky, tmp_path):
    root, train, test = leaky
    with pytest.raises(UserError, match=f"1 of 2 test images.*{train} = {test}.*--strict"):
        finetune(quick(root, tmp_path / "run", strict=True))
    assert not (tmp_path / "run").exists()


def test_strict_lets_a_clean_set_pass(kvasir, tmp_path):
    run = finetune(quick(kvasir, tmp_path / "run", strict=True))
    assert read(run / "metrics.json")["leaks"]["pairs"] == []
    assert "None found: 2 test images" in (run / "report.html").read_text(encoding="utf-8")


def test_evaluate_compares_with_the_images_of_the_run(run, leaky, tmp_path, capsys):
    metrics = evaluate(EvaluateConfig(run=run, output=tmp_path / "out", device="cpu"))
    assert [pair["train_id"] for pair in metrics["leaks"]["pairs"]] == [leaky[1]]
    assert "LEAK: 1 of 2 test images" in capsys.readouterr().out
    with pytest.raises(UserError, match="--strict"):
        evaluate(EvaluateConfig(run=run, output=tmp_path / "strict", strict=True, device="cpu"))
    assert not (tmp_path / "strict").exists()


def test_evaluate_on_another_set_compares_across_sets(run, leaky, tmp_path):
    """The same file under the name of another data set."""
    root = tmp_path / "isic"
    synthesize("isic2017", root, cases=8, seed=2, size=64)
    image = sorted(root.rglob("*Validation_Data/*.jpg"))[0]
    shutil.copy(leaky[0] / "Kvasir-SEG" / "images" / f"{leaky[1]}.jpg", image)
    mask = next(root.rglob(f"{image.stem}_segmentation.png"))
    with Image.open(image) as picture:
        Image.new("L", picture.size, 255).save(mask)
    config = EvaluateConfig(
        run=run, dataset="isic2017", data_root=root, output=tmp_path / "out", device="cpu"
    )
    (pair,) = evaluate(config)["leaks"]["pairs"]
    assert (pair["train_id"], pair["test_id"]) == (leaky[1], image.stem)
    assert pair["kind"] == "exact copy"


def test_training_images_that_are_gone_are_noted(run, leaky, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    content = read(moved / "config.json")
    content["config"]["data_root"] = str(tmp_path / "nowhere")
    (moved / "config.json").write_text(json.dumps(content))
    there = EvaluateConfig(run=moved, data_root=leaky[0], output=tmp_path / "there", device="cpu")
    assert evaluate(there)["leaks"]["checked"], "they were moved, and are found"
    config = EvaluateConfig(run=moved, dataset="isic2017", output=tmp_path / "out", device="cpu")
    leaks = evaluate(config)["leaks"]
    assert not leaks["checked"]
    assert "could not be compared" in leaks["why"]
    assert "could not be compared" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="could not be compared"):
        evaluate(dataclasses.replace(config, output=tmp_path / "strict", strict=True))


def test_training_images_that_changed_are_not_compared(run, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    split = read(moved / "split.json")
    (moved / "split.json").write_text(json.dumps(split | {"sha256": "0" * 64}))
    with pytest.raises(UserError, match="was changed since the run wrote it"):
        evaluate(EvaluateConfig(run=moved, output=tmp_path / "out", device="cpu"))


def test_one_line_names_counts_and_the_first_pairs():
    from gpsseg.data.checks.pictures import NEAR, TURNED, Leak

    found = [Leak(f"a{i}", f"b{i // 2}", NEAR if i else TURNED, 0.9) for i in range(5)]
    assert leakage.leaks_sentence(found, 10) == (
        "LEAK: 3 of 10 test images are also among the training images: 1 flipped or turned "
        "copy, 4 near copies (saved, framed or cut otherwise). Training image = test image: "
        "a0 = b0; a1 = b0; a2 = b1; and 2 more pairs."
    )
    assert leakage.leaks_sentence(found[:1], 1) == (
        "LEAK: 1 of 1 test image is also among the training images: 1 flipped or turned copy. "
        "Training image = test image: a0 = b0."
    )


def test_every_kind_of_leak_has_words_for_one_and_for_several():
    from gpsseg.data.checks.pictures import KINDS

    assert sorted(leakage.KIND_WORDS) == sorted(KINDS)
    assert all(one != several for one, several in leakage.KIND_WORDS.values())
