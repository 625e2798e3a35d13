"""The comparison of methods: what is run, what is picked, what is kept, what the rows say."""

import csv
import dataclasses
import json
import sys
import time
from concurrent.futures import Future

import numpy as np
import psutil
import pytest
from PIL import Image

from gpsseg.backbones import Facts
from gpsseg.compare import begun, compare, pool, race
from gpsseg.compare.cells import Cell, run_cell, settings_of
from gpsseg.compare.rows import rank
from gpsseg.config.compare import CompareConfig, parse_method
from gpsseg.errors import UserError
from gpsseg.evaluators import mean_estimate, paired_comparison
from gpsseg.report.charts.of_compare import charts
from gpsseg.report.compare import cells_of, markdown, page, write_ranking

UNET = "unet-efficientnet-lite0"
RATES = {"values": 2e-3, "decoder_values": 6e-3, "full": 3e-4, "decoder": 1e-3}
SCRATCH = Facts("net", "-", "-", "-", 64, 32, "none", 1, RATES, frozenset({"decoder"}))
PRETRAINED = dataclasses.replace(SCRATCH, scratch=frozenset())


def config(output, **settings):
    chosen = {"methods": ("gps", "full"), "seeds": (0, 1), "lr_factors": (0.3, 1.0)}
    return CompareConfig(output=output, backbone=UNET, **chosen | settings)


def finished(settings, cell, dice, val=0.5, diverged=False, trainable=0.1, groups=None):
    """The folder of a finished cell, with one test image for each of ``dice``."""
    folder = settings.output / "cells" / cell.name
    folder.mkdir(parents=True)
    shares = {"encoder": 1, "decoder": 2, "total": 3, "share_of_encoder": trainable}
    content = {
        "val_dice": val,
        "diverged": diverged,
        "lr": 1e-3 * cell.factor,
        "decoder_lr": 1e-3,
        "trainable": shares | {"share_of_total": trainable},
        "delta_bytes": 2**20,
        "step_seconds": 0.5,
        "memory_mb": 100.0,
    }
    (folder / "cell.json").write_text(json.dumps(content))
    mean = sum(dice) / len(dice)
    metrics = {
        "data": "synthetic sample",
        "dataset": "kvasir",
        "title": "Kvasir-SEG",
        "images": len(dice),
        "split": {"name": "official", "sha256": "ab"},
        "prompt": "none",
        "pretraining": "photographs",
        "after": {"per-image": {"dice": mean, "iou": mean / 2}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "split.json").write_text(json.dumps({"train": ["a", "b"]}))
    run = {"top_k": 1, "image_size": 64, "batch_size": 4, "prompt": "none"}
    (folder / "config.json").write_text(
        json.dumps({"config": run, "resolved": {"precision": "fp32"}})
    )
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "group", "dice", "iou"])
        names = groups or [""] * len(dice)
        writer.writerows(
            [f"image-{i:04}", g, d, d / 2] for i, (g, d) in enumerate(zip(names, dice, strict=True))
        )


@pytest.fixture
def ranked(tmp_path):
    """Two methods, two seeds, three test images; gps is 0.1 better on each image."""
    settings = config(tmp_path)
    gps, full = Cell("gps", None, 1.0, 0), Cell("full", None, 0.3, 0)
    finished(settings, gps, [0.5, 0.7, 0.9])
    finished(settings, Cell("gps", None, 1.0, 1), [0.7, 0.7, 0.7], diverged=True)
    finished(settings, full, [0.4, 0.6, 0.8], trainable=1.0)
    finished(settings, Cell("full", None, 0.3, 1), [0.6, 0.6, 0.6], trainable=1.0)
    picked = {(None, "gps"): gps, (None, "full"): full}
    trials = {group: [cell, cell] for group, cell in picked.items()}
    return rank(settings, trials, picked)


def test_a_row_is_the_mean_over_seeds_and_images(ranked):
    gps, full = ranked["rows"]
    assert gps["dice"] == pytest.approx(0.7)
    assert gps["iou"] == pytest.approx(0.35)
    assert gps["dice_of_seeds"] == pytest.approx([0.7, 0.7])
    low, high = gps["dice_ci95"]
    assert low < 0.6 < 0.8 < high, "three images and two seeds tell little"
    assert (gps["resampled"], gps["units"]) == ("image", 3)
    assert (gps["seeds"], gps["trials"], gps["train_size"], gps["diverged"]) == (2, 2, 2, 1)
    assert gps["against"]["difference"] == pytest.approx(0.1)
    assert gps["against"]["ci95"] is gps["against"]["p_holm"] is gps["against"]["p"] is None
    assert gps["against"]["why"] == "all 3 images alike: no interval"
    assert "against" not in full
    assert (gps["lr_at_edge"], full["lr_at_edge"]) == (True, True)


def compared(folder, scores, seeds, groups):
    """Rank gps against full, whose Dice are {method: (seeds, images)}."""
    settings = config(folder, seeds=tuple(range(seeds)), lr_factors=(1.0,))
    picked = {(None, method): Cell(method, None, 1.0, 0) for method in scores}
    for method, of_seeds in scores.items():
        for seed, dice in enumerate(of_seeds):
            finished(settings, Cell(method, None, 1.0, seed), list(dice), groups=groups)
    return rank(settings, {group: [cell] for group, cell in picked.items()}, picked)


def test_patients_and_seeds_both_vary_in_a_comparison(tmp_path):
    """Twelve patients of 25 images each, three seeds: the same numbers as the one comparison."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"p{i}" for i in range(12)], 25).tolist()
    scores = {method: rng.beta(5, 2, (3, 300)) for method in ("gps", "full")}
    result = compared(tmp_path, scores, 3, groups)
    gps, full = result["rows"]
    expected = paired_comparison(scores["gps"], scores["full"], groups)
    assert expected.varied == {"resampled": "group", "units": 12, "seeds": 3}
    for found in (gps, full, gps["against"]):
        assert {name: found[name] for name in expected.varied} == expected.varied
    assert gps["against"]["p"] == pytest.approx(expected.p_value)
    assert gps["against"]["ci95"] == pytest.approx(expected.interval)
    assert gps["dice_ci95"] == pytest.approx(mean_estimate(scores["gps"], groups).interval)
    for text in (page(result), markdown(result["rows"])):
        assert "over 12 groups and 3 seeds" in text


def test_one_good_and_one_bad_seed_are_no_narrow_interval(tmp_path):
    """Seeds of .322 and .065: their mean, .193, was once said to be within [.175, .212]."""
    rng = np.random.default_rng(1)
    full = np.array([[0.322], [0.065], [0.193]]) + rng.normal(0, 0.02, (3, 100))
    gps = np.array([[0.15], [0.16], [0.14]]) + rng.normal(0, 0.02, (3, 100))
    result = compared(tmp_path, {"gps": gps, "full": full.clip(0, 1)}, 3, None)
    low, high = result["rows"][1]["dice_ci95"]
    assert high - low > 0.2
    assert result["rows"][0]["against"]["p"] > 0.3


def test_one_seed_says_nothing_of_methods(tmp_path):
    rng = np.random.default_rng(2)
    result = compared(tmp_path, {m: rng.random((1, 50)) for m in ("gps", "full")}, 1, None)
    against = result["rows"][0]["against"]
    assert (against["p"], against["p_holm"]) == (None, None)
    assert against["why"].startswith("1 seed, ")
    text = markdown(result["rows"])
    assert "over 50 images of one seed; another may differ" in text
    assert "No p-value: 1 seed" in text


def test_images_without_a_lesion_do_not_hide_what_was_found(tmp_path):
    """Nothing is found at all: that scores 1 on the half of the images that show nothing."""
    scores = {method: [[0.0, 1.0] * 5] * 3 for method in ("gps", "full")}
    settings = config(tmp_path, seeds=(0, 1, 2), lr_factors=(1.0,))
    compared(tmp_path, scores, 3, None)
    for table in (settings.output / "cells").glob("*/per_image.csv"):
        rows = list(csv.DictReader(table.open()))
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "truth_pixels"])
            writer.writeheader()
            writer.writerows(
                r | {"truth_pixels": 40 - 4 * int(10 * float(r["dice"]))} for r in rows
            )
    picked = {(None, method): Cell(method, None, 1.0, 0) for method in scores}
    result = rank(settings, {group: [cell] for group, cell in picked.items()}, picked)
    row = result["rows"][0]
    assert (row["dice"], row["dice_with_lesion"], row["images_with_lesion"]) == (0.5, 0.0, 5)
    for text in (page(result), markdown(result["rows"])):
        assert "images with a lesion" in text


def test_seeds_that_were_tested_on_other_images_are_refused(tmp_path):
    scores = {"gps": [[0.5] * 6, [0.5] * 7], "full": [[0.5] * 6] * 2}
    with pytest.raises(UserError, match="tested on different images: image-0006"):
        compared(tmp_path, scores, 2, None)


def test_the_table_marks_the_best_and_the_edge(ranked):
    text = markdown(ranked["rows"])
    assert "**0.700**" in text
    assert "**0.600**" not in text
    assert cells_of(ranked["rows"][0])[2] == "1.0e-03 (edge)"
    assert "+0.100 [no interval]" in text, "the difference to the baseline, with its interval"


def test_a_seed_that_was_stopped_before_a_validation_is_named(tmp_path):
    settings, cell = config(tmp_path, methods=("full",)), Cell("full", None, 1.0, 0)
    for seed, best in ((0, 3), (1, 0)):
        one = dataclasses.replace(cell, seed=seed)
        finished(settings, one, [0.5, 0.7, 0.9], diverged=seed == 1)
        path = tmp_path / "cells" / one.name / "cell.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": best}))
    result = rank(settings, {(None, "full"): [cell]}, {(None, "full"): cell})
    assert result["rows"][0]["untrained"] == 1
    assert cells_of(result["rows"][0])[5] == "0.700 to 0.700 (1 UNTRAINED)"
    assert "<b>1 UNTRAINED</b>" in page(result)


def test_all_files_are_written_and_the_page_says_synthetic(ranked, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_ranking(out, ranked)
    names = {path.name for path in out.iterdir()}
    assert names == {"compare.json", "compare.csv", "compare.md", "compare.html"}
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert [row["method"] for row in rows] == ["gps", "full"]
    assert float(rows[0]["against_difference"]) == pytest.approx(0.1)
    assert rows[1]["against_ci95_low"] == "", "the baseline is compared with nothing"
    html = page(ranked)
    assert "SYNTHETIC SAMPLE" in html
    assert "edge of the trials" in html
    assert "1 diverged" in html


def test_the_page_says_how_the_rates_were_picked_or_that_none_were(ranked):
    assert "default learning rates times 0.3, 1.0, with seed 0" in page(ranked)
    settings = ranked["settings"] | {"lr_factors": (1.0,)}
    text = page(ranked | {"settings": settings})
    assert "ran at its default learning rates; no others were tried" in text


def test_the_chart_counts_the_decoder_where_methods_differ_in_it(ranked):
    rows = ranked["rows"]
    assert charts(rows)[0].x_label == "share of the encoder that trains"
    rows[1] |= {"decoder": 100, "share_of_encoder": 0.0, "share_of_total": 0.4}
    chart = charts(rows)[0]
    assert chart.x_label == "share of the network that trains"
    assert {text for *_, text in chart.texts} == {"gps", "full"}


def test_the_chart_of_k_has_no_half_inputs(ranked):
    gps = ranked["rows"][0]
    chart = charts([gps, gps | {"method": "gps:top_k=3", "options": {"top_k": 3}, "top_k": 3}])[-1]
    assert chart.x_label.startswith("K, ")
    assert [text for _, text in chart.x_ticks] == ["1", "2", "4"]


def test_every_method_has_the_same_trials_and_its_own_rates(tmp_path):
    settings = config(tmp_path, methods=("gps", "full"))
    gps = settings_of(Cell("gps:top_k=8,lr=1e-4", 20, 3.0, 1), settings, SCRATCH)
    assert (gps.method, gps.top_k, gps.train_size, gps.seed) == ("gps", 8, 20, 1)
    assert (gps.lr, gps.decoder_lr) == pytest.approx((3e-4, 3e-3))
    full = settings_of(Cell("full", None, 0.3, 0), settings, SCRATCH)
    assert (full.lr, full.decoder_lr) == pytest.approx((9e-5, 9e-5))
    lora = settings_of(Cell("lora:rank=1", None, 1.0, 0), settings, SCRATCH)
    assert (lora.rank, lora.lr, lora.decoder_lr) == (1, 2e-3, 1e-3)


@pytest.mark.parametrize(
    ("method", "rates"),
    [
        ("gps", (4e-3, 12e-3)),
        ("gps:lr=1e-3", (2e-3, 6e-3)),
        ("gps:decoder_lr=1e-3", (4e-3, 2e-3)),
        ("gps:decoder_top_k=dense", (4e-3, 2e-3)),
        ("full", (6e-4, 6e-4)),
        ("decoder", (2e-3, 2e-3)),
        ("lora", (4e-3, 4e-3)),
    ],
)
def test_rates_where_the_decoder_is_pretrained(tmp_path, method, rates):
    cell = settings_of(Cell(method, 20, 2.0, 0), config(tmp_path), PRETRAINED)
    assert (cell.lr, cell.decoder_lr) == pytest.approx(rates)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt", "Did you mean 'gps'"),
        ("gps:topk=8", "Did you mean 'top_k'"),
        ("gps:top_k", "has no value"),
        ("gps:top_k=", "has no value"),
    ],
)
def test_a_wrong_method_is_one_clear_sentence(text, said):
    with pytest.raises(UserError, match=said):
        parse_method(text)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"methods": ("gps", "gps")}, "different values"),
        ({"seeds": ()}, "one or more"),
        ({"lr_factors": (0.0,)}, "above 0"),
        ({"train_sizes": (0,)}, "1 or more"),
        ({"processes": 0}, "at least 1"),
        ({"trial_seeds": 3}, "at most the number of --seeds, 2, got 3"),
    ],
)
def test_wrong_options_are_refused(tmp_path, settings, said):
    with pytest.raises(UserError, match=said):
        config(tmp_path, **settings)


def test_validation_picks_the_trial_and_of_equals_the_gentler(tmp_path):
    settings = config(tmp_path)
    cells = [Cell("gps", None, factor, 0) for factor in (0.3, 1.0, 3.0)]
    for cell, val in zip(cells, (0.6, 0.7, 0.7), strict=True):
        finished(settings, cell, [0.1], val)
    assert race.pick(settings, cells).factor == 1.0


def test_the_mean_over_several_trial_seeds_picks(tmp_path):
    settings = config(tmp_path, trial_seeds=2)
    scores = {(0.3, 0): 0.6, (0.3, 1): 0.6, (1.0, 0): 0.7, (1.0, 1): 0.3}
    cells = [Cell("gps", None, factor, seed) for factor, seed in scores]
    for cell, val in zip(cells, scores.values(), strict=True):
        finished(settings, cell, [0.1], val)
    assert race.pick(settings, cells) == cells[0]


def test_a_folder_is_taken_up_with_more_methods_but_not_with_other_settings(tmp_path):
    settings = config(tmp_path / "c", epochs=2)
    begun.open_comparison(settings)
    begun.open_comparison(config(tmp_path / "c", epochs=2, methods=("lora",), seeds=(0, 1, 2)))
    with pytest.raises(UserError, match="begun with epochs 2, got 3"):
        begun.open_comparison(config(tmp_path / "c", epochs=3))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="no comparison"):
        begun.open_comparison(config(tmp_path / "other"))


def test_equal_settings_are_no_change_however_they_are_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun.open_comparison(config(tmp_path / "c", data_root="data", weight_decay=0))
    again = config(tmp_path / "c", data_root=tmp_path / "data", weight_decay=0.0, workers=2)
    begun.open_comparison(again)
    monkeypatch.setenv("GPSSEG_DATA", str(tmp_path / "other"))
    begun.open_comparison(again)


def test_a_shared_option_counts_from_the_first_method_that_has_it(tmp_path):
    begun.open_comparison(config(tmp_path / "c", methods=("lora",)))
    begun.open_comparison(config(tmp_path / "c", methods=("lora", "gps"), top_k=3))
    begun.open_comparison(config(tmp_path / "c", methods=("lora",)))
    with pytest.raises(UserError, match="begun with top_k 3, got None"):
        begun.open_comparison(config(tmp_path / "c", methods=("gps",)))


def test_the_data_root_of_the_environment_is_a_setting_too(tmp_path, monkeypatch, kvasir):
    monkeypatch.setenv("GPSSEG_DATA", str(kvasir))
    settings = config(tmp_path / "c", val_share=0.3)
    begun.open_comparison(settings)
    finished(settings, Cell("gps", None, 1.0, 0), [0.5])
    monkeypatch.delenv("GPSSEG_DATA")
    run = {"config": {"method": "gps", "dataset": "kvasir", "val_share": 0.3}}
    (settings.output / "cells" / "gps-all-lr1-seed0" / "config.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match=r"begun with data_root .*data, got None"):
        begun.open_comparison(settings)


@pytest.fixture
def here(monkeypatch):
    """Cells run in this process."""

    def side_by_side(jobs, test, processes):
        for job in jobs:
            yield run_cell(*job, test, threads=1)

    monkeypatch.setattr(race, "run_side_by_side", side_by_side)


@pytest.fixture
def never(monkeypatch):
    """No run begins."""

    def side_by_side(*_):
        raise AssertionError("a run began")

    monkeypatch.setattr(race, "run_side_by_side", side_by_side)


def test_a_split_that_is_not_there_is_refused_before_anything_is_written(kvasir, never, tmp_path):
    settings = config(tmp_path / "c", data_root=kvasir, split="no-such", image_size=32)
    with pytest.raises(UserError, match="no-such"):
        compare(settings)
    assert not (tmp_path / "c").exists()


def test_all_images_are_looked_at_before_the_first_run(kvasir, never, tmp_path, capsys):
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
        compare(config(tmp_path / "sound", **own))
    said = capsys.readouterr().out
    assert said.count("note: 1 of 9 masks: all black") == 1
    for name in (*names, "x"):
        (root / "masks" / f"{name}.jpg").write_bytes(b"no mask")
    with pytest.raises(UserError) as caught:
        compare(config(tmp_path / "broken", **own))
    assert "8 more" in str(caught.value), "of every part of the split, drawn or not"


def test_what_is_finished_is_kept_and_the_rest_is_run(kvasir, here, tmp_path, capsys):
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
    settings = config(tmp_path / "c", **options)
    result = compare(settings)
    assert [row["method"] for row in result["rows"]] == ["gps", "decoder"]
    assert "no paired tests: --baseline full is none of --methods" in capsys.readouterr().out
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


def test_the_split_that_all_runs_share_is_checked_once_for_leaks(kvasir, here, tmp_path, capsys):
    """The first test image is a training image; which of them, no run's subset alone would say."""
    folder = kvasir / "Kvasir-SEG"
    train, test = ((folder / "splits" / f"{p}.txt").read_text().split() for p in ("train", "val"))
    for kind in ("images", "masks"):
        (folder / kind / f"{test[0]}.jpg").write_bytes(
            (folder / kind / f"{train[0]}.jpg").read_bytes()
        )
    options = {
        "methods": ("decoder",),
        "seeds": (0, 1),
        "lr_factors": (1.0,),
        "train_sizes": (1, 3),
    }
    settings = config(
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


def test_runs_added_to_an_old_comparison_are_tested_on_its_images(tmp_path):
    """Version 0.1 took shares of groups, and its settings do not say of what shares are."""
    settings = config(tmp_path / "c")
    begun.open_comparison(settings)
    assert begun.split_as_begun(settings) == settings, "begun now"
    path = tmp_path / "c" / "settings.json"
    content = json.loads(path.read_text())
    assert content.pop("shares") == "images"
    path.write_text(json.dumps(content))
    cell = tmp_path / "c" / "cells" / "gps-all-lr1-seed0"
    cell.mkdir(parents=True)
    (cell / "split.json").write_text(json.dumps({"name": "seeded-88-12"}))
    begun.open_comparison(settings)
    assert begun.split_as_begun(settings).split == "seeded-88-12-by-groups"


def test_a_trial_that_is_not_picked_never_sees_the_test_images(kvasir, here, tmp_path):
    options = {"methods": ("decoder",), "seeds": (0,), "lr_factors": (0.01, 1.0)}
    settings = config(
        tmp_path / "c", data_root=kvasir, image_size=32, epochs=1, val_share=0.3, **options
    )
    (row,) = compare(settings)["rows"]
    picked = f"decoder-all-lr{row['lr_factor']:g}-seed0"
    tested = [path.parent.name for path in (tmp_path / "c" / "cells").rglob("metrics.json")]
    assert tested == [picked]


def test_a_diverged_run_counts_with_its_best_epoch(kvasir, here, tmp_path):
    options = {"methods": ("full",), "seeds": (0,), "lr_factors": (1e30,)}
    settings = config(
        tmp_path / "c", data_root=kvasir, image_size=32, epochs=1, val_share=0.3, **options
    )
    (row,) = compare(settings)["rows"]
    assert row["diverged"] == 1
    assert 0 <= row["dice"] <= 1


def test_as_many_runs_as_memory_and_cores_allow():
    assert pool._as_many_as_fit(1000, 10_000, cores=4) == 4
    assert pool._as_many_as_fit(3000, 10_000, cores=4) == 2
    assert pool._as_many_as_fit(9000, 10_000, cores=4) == 1


@pytest.mark.parametrize(
    ("asked", "processes", "threads", "at_a_time"),
    [
        (None, None, [4, 1, 1], 4),  # the first alone on all cores, then a core each
        (None, 2, [2, 2, 2], 2),
        ("1", None, [1, 1, 1], 4),
        ("2", None, [2, 2, 2], 2),
        ("9", None, [9, 9, 9], 1),
        ("3", 1, [3, 3, 3], 1),
        ("2,1", 2, [2, 2, 2], 2),  # of nested regions the outermost counts
        ("many", 2, [2, 2, 2], 2),
    ],
)
def test_each_run_has_the_threads_that_were_asked_for(
    asked, processes, threads, at_a_time, monkeypatch
):
    seen, sizes = [], []

    class Pool:
        def __init__(self, size, *_, **__):
            sizes.append(size)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, function, job, run, test, threads):
            seen.append(threads)
            done = Future()
            done.set_result(job)
            return done

    monkeypatch.setattr(pool, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(pool, "_warm_context", lambda: None)
    monkeypatch.setattr(pool, "_memory_mb", lambda run: 1.0)
    monkeypatch.setattr(pool.os, "cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert sorted(pool.run_side_by_side([(job, None) for job in "abc"], False, processes)) == [
        "a",
        "b",
        "c",
    ]
    assert seen == threads
    assert sizes[-1] == at_a_time


def test_no_run_goes_on_after_the_comparison_was_killed(kvasir, tmp_path):
    """Else it would write into the folder that the same command, given again, takes up."""
    command = [
        *(sys.executable, "-m", "gpsseg.compare", "--data-root", str(kvasir), "--backbone", UNET),
        *("--methods", "decoder", "--image-size", "32", "--epochs", "100000", "--processes", "1"),
        *("--val-share", "0.3", "--output", str(tmp_path / "c")),
    ]
    with (tmp_path / "said.txt").open("w") as said:
        comparison = psutil.Popen(command, stdout=said, stderr=said)
        while not list(tmp_path.glob("c/cells/*/log.jsonl")):
            assert comparison.poll() is None, (tmp_path / "said.txt").read_text()
            time.sleep(0.1)
        runs = comparison.children(recursive=True)
        comparison.kill()
        comparison.wait()
    assert runs
    _, going_on = psutil.wait_procs(runs, timeout=30)
    for run in going_on:
        run.kill()
    assert not going_on


def test_a_run_that_the_system_ends_is_a_clear_error(monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    class Broken:
        def result(self):
            raise BrokenProcessPool

    with pytest.raises(UserError, match="want of memory"):
        pool._result(Broken())


def test_settings_of_own_images_name_no_data_set(ranked, tmp_path):
    from gpsseg.compare.rows import _settings

    own = config(tmp_path, images="scans", masks="truth", title="Ward 3")
    assert not {"dataset", "data_root", "output"} & set(_settings(own))
    assert _settings(own)["title"] == "Ward 3"
    assert _settings(config(tmp_path, dataset="kvasir"))["dataset"] == "kvasir"
    text = page(ranked | {"settings": _settings(own)})
    assert ">dataset<" not in text
    assert ">images</th>" in text
