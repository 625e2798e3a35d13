"""What a comparison's rows say: means, intervals and tests over images, patients and seeds."""

import csv

import numpy as np
import pytest

from gpsseg.compare.cells import Cell
from gpsseg.compare.rows import rank
from gpsseg.errors import UserError
from gpsseg.evaluators import holm, mean_estimate, paired_comparison
from gpsseg.report.compare import markdown, page


def test_a_row_is_the_mean_over_seeds_and_images(ranked):
    gps, full = ranked["rows"]
    assert gps["dice"] == pytest.approx(0.7)
    assert gps["iou"] == pytest.approx(0.35)
    assert gps["val_dice"] == pytest.approx(0.65), "of 0.5 and 0.8, not the first seed's"
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


def test_patients_and_seeds_both_vary_in_a_comparison(tmp_path, tools):
    """Twelve patients of 25 images each, three seeds: the same numbers as the one comparison."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"p{i}" for i in range(12)], 25).tolist()
    scores = {method: rng.beta(5, 2, (3, 300)) for method in ("gps", "full")}
    result = tools.compared(tmp_path, scores, 3, groups)
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


def test_one_good_and_one_bad_seed_are_no_narrow_interval(tmp_path, tools):
    """Seeds of .322 and .065: their mean, .193, was once said to be within [.175, .212]."""
    rng = np.random.default_rng(1)
    full = np.array([[0.322], [0.065], [0.193]]) + rng.normal(0, 0.02, (3, 100))
    gps = np.array([[0.15], [0.16], [0.14]]) + rng.normal(0, 0.02, (3, 100))
    result = tools.compared(tmp_path, {"gps": gps, "full": full.clip(0, 1)}, 3, None)
    low, high = result["rows"][1]["dice_ci95"]
    assert high - low > 0.2
    assert result["rows"][0]["against"]["p"] > 0.3


def test_one_seed_says_nothing_of_methods(tmp_path, tools):
    rng = np.random.default_rng(2)
    result = tools.compared(tmp_path, {m: rng.random((1, 50)) for m in ("gps", "full")}, 1, None)
    against = result["rows"][0]["against"]
    assert (against["p"], against["p_holm"]) == (None, None)
    assert against["why"].startswith("1 seed, ")
    text = markdown(result["rows"])
    assert "over 50 images of one seed; another may differ" in text
    assert "No p-value: 1 seed" in text


def test_images_without_a_lesion_do_not_hide_what_was_found(tmp_path, tools):
    """Nothing is found at all: that scores 1 on the half of the images that show nothing."""
    scores = {method: [[0.0, 1.0] * 5] * 3 for method in ("gps", "full")}
    settings = tools.config(tmp_path, seeds=(0, 1, 2), lr_factors=(1.0,))
    tools.compared(tmp_path, scores, 3, None)
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


def test_seeds_that_were_tested_on_other_images_are_refused(tmp_path, tools):
    scores = {"gps": [[0.5] * 6, [0.5] * 7], "full": [[0.5] * 6] * 2}
    with pytest.raises(UserError, match="tested on different images: image-0006"):
        tools.compared(tmp_path, scores, 2, None)


def test_each_training_size_is_compared_with_its_own_baseline(tmp_path, tools):
    """Two sizes, three methods: Holm's adjustment is over the two methods of one size."""
    rng = np.random.default_rng(3)
    settings = tools.config(tmp_path, seeds=(0, 1, 2), lr_factors=(1.0,))
    groups = [(size, method) for size in (4, 8) for method in ("gps", "full", "decoder")]
    scores = {group: rng.beta(5, 2, (3, 20)) for group in groups}
    picked = {(size, method): Cell(method, size, 1.0, 0) for size, method in groups}
    for (size, method), of_seeds in scores.items():
        for seed, dice in enumerate(of_seeds):
            tools.finished(settings, Cell(method, size, 1.0, seed), list(dice))
    result = rank(settings, {group: [cell] for group, cell in picked.items()}, picked)
    rows = dict(zip(groups, result["rows"], strict=True))
    for size in (4, 8):
        assert "against" not in rows[size, "full"]
        others = [(size, "gps"), (size, "decoder")]
        expected = [paired_comparison(scores[group], scores[size, "full"]) for group in others]
        found = [rows[group]["against"] for group in others]
        p_values = [each.p_value for each in expected]
        assert [each["difference"] for each in found] == pytest.approx([e.value for e in expected])
        assert [each["p"] for each in found] == pytest.approx(p_values)
        assert [each["p_holm"] for each in found] == pytest.approx(holm(p_values))
        assert holm(p_values) != pytest.approx(p_values)
