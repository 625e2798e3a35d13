import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gpsseg.errors import UserError
from gpsseg.evaluators import Scorer, Thresholds, registry
from gpsseg.evaluators.overlap import dice, iou

OVERLAP = ("per-image", "pranet", "isic", "micro", "medsam-adapter", "gps-repo")
FLAT = [name for name in registry() if name != "volume"]


def _images(n=6, seed=0, shape=(20, 24)):
    rng = np.random.default_rng(seed)
    for i in range(n):
        truth = np.zeros(shape, bool)
        truth[3 + i % 4 : 12, 5 : 9 + i] = True
        noise = rng.normal(0, 0.3, shape)
        yield f"case{i}", np.clip(truth * 0.7 + 0.1 + noise, 0, 1), truth, f"patient{i // 2}"


def _scored(protocols, images, **options):
    scorer = Scorer(protocols, **options)
    for case_id, probability, truth, group in images:
        scorer.add(case_id, probability, truth, group)
    return scorer


def test_per_image_by_hand():
    truth = np.array([[True, True, False, False]])
    empty = np.zeros_like(truth)
    scorer = Scorer()
    row = scorer.add("half", np.array([[0.5, 0.4, 0.9, 0.1]]), truth, group="p")
    assert row == {
        "id": "half",
        "group": "p",
        "pixels": 4,
        "truth_pixels": 2,
        "prediction_pixels": 2,
        "spacing_known": False,
        "dice": 0.5,
        "iou": pytest.approx(1 / 3),
    }
    scorer.add("missed", np.zeros((1, 4)), truth)
    scorer.add("invented", np.ones((1, 4)), empty)
    scorer.add("nothing to find", np.zeros((1, 4)), empty)
    summary = scorer.summary()["per-image"]
    assert list(summary) == [
        "dice", "dice_ci95", "iou", "iou_ci95", "resampled", "units", "seeds", "ungrouped",
        "dice_with_lesion", "dice_with_lesion_ci95", "with_lesion", "images_with_lesion",
        "false_finds",
        "empty_truth", "empty_prediction", "both_empty", "images",
    ]  # fmt: skip
    assert summary["dice"] == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    assert summary["dice_ci95"][0] <= summary["dice"] <= summary["dice_ci95"][1]
    counted = [summary[k] for k in ("empty_truth", "empty_prediction", "both_empty", "images")]
    assert counted == [2, 2, 1, 4]


def test_all_protocols_in_one_pass():
    scorer = _scored(FLAT, _images())
    summary = scorer.summary()
    assert list(summary) == FLAT
    for name in OVERLAP:
        for score in ("dice", "iou"):
            low, high = summary[name][f"{score}_ci95"]
            assert 0 <= low <= summary[name][score] <= high <= 1
    assert {"s_measure", "e_measure", "weighted_f", "mae"} <= set(summary["pranet"])
    assert "ignores every background pixel" in summary["gps-repo"]["warning"]
    assert summary["boundary"]["unit"] == "pixels"
    json.dumps([scorer.rows(), summary], allow_nan=False)


def test_rows_are_flat_and_copies():
    scorer = _scored(FLAT, _images())
    rows = scorer.rows()
    assert [row["id"] for row in rows] == [f"case{i}" for i in range(6)]
    kinds = {type(value) for row in rows for value in row.values()}
    assert kinds <= {str, int, float, bool, type(None)}
    rows[0]["dice"] = -1
    assert scorer.rows()[0]["dice"] >= 0


def test_micro_pools_the_counts():
    rows = _scored(("micro",), _images()).rows()
    tp, fp, fn = (sum(row[f"micro_{name}"] for row in rows) for name in ("tp", "fp", "fn"))
    summary = _scored(("micro",), _images()).summary()["micro"]
    assert summary["dice"] == pytest.approx(float(dice(tp, fp, fn)))
    assert summary["iou"] == pytest.approx(float(iou(tp, fp, fn)))
    assert summary["dice_ci95"][0] < summary["dice"] < summary["dice_ci95"][1]


def test_gps_repo_scores_recall_and_forgives_every_false_positive():
    truth = np.eye(8, dtype=bool)
    everything = _scored(OVERLAP, [("a", np.ones((8, 8)), truth, None)]).summary()
    assert everything["gps-repo"]["dice"] == everything["gps-repo"]["iou"] == 1.0
    assert everything["per-image"]["iou"] == pytest.approx(1 / 8)
    half = np.where(np.arange(8)[:, None] < 4, truth, False)
    partly = _scored(("gps-repo",), [("a", half, truth, None)]).summary()["gps-repo"]
    assert partly["iou"] == pytest.approx(0.5)
    assert partly["dice"] == pytest.approx(2 * 0.5 / 1.5)


def test_medsam_adapter_is_the_mean_over_five_thresholds_at_256():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    probability = rng.random((90, 130))
    truth = probability + rng.normal(0, 0.3, probability.shape) > 0.6
    row = Scorer(("medsam-adapter",)).add("a", probability, truth)
    small = [
        torch.nn.functional.interpolate(
            torch.from_numpy(image.astype(float))[None, None], size=(256, 256), mode="bilinear"
        ).numpy()
        for image in (probability, truth)
    ]
    dices, ious = [], []
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        prediction, true = (image > threshold for image in small)
        both, either = (prediction & true).sum(), (prediction | true).sum()
        ious.append(both / either)
        dices.append(2 * both / (both + either))
    assert row["medsam_adapter_dice"] == pytest.approx(np.mean(dices), abs=1e-4)
    assert row["medsam_adapter_iou"] == pytest.approx(np.mean(ious), abs=1e-4)


def test_8_bit_float_and_boolean_maps_of_one_mask_score_alike():
    truth = np.zeros((30, 41), bool)
    truth[5:20, 7:30] = True
    mask = np.roll(truth, 3, axis=1)
    scores = []
    for probability in (mask, mask * np.uint8(255), mask.astype(np.float32), mask.astype(float)):
        row = Scorer(FLAT).add("a", probability, truth)
        scores.append([value for value in row.values() if isinstance(value, float)])
    for other in scores[1:]:
        assert other == pytest.approx(scores[0], abs=1e-9)


def test_half_precision_maps_are_accepted():
    truth = np.eye(6, dtype=bool)
    assert Scorer(OVERLAP).add("a", truth.astype(np.float16), truth)["dice"] == 1.0


@settings(deadline=None)
@given(st.data())
def test_all_foreground_scores_below_1_unless_everything_is(data):
    truth = data.draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
    scores = _scored(OVERLAP, [("a", np.ones(truth.shape), truth, None)]).summary()
    for name in OVERLAP:
        if name == "gps-repo":
            assert scores[name]["dice"] == 1.0
        elif truth.all():
            assert scores[name]["dice"] == pytest.approx(1.0)
        else:
            assert scores[name]["dice"] < 1
            assert scores[name]["iou"] < 1


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_every_overlap_score_is_bounded_and_dice_exceeds_iou(data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=10))
    truth, levels = data.draw(arrays(bool, shape)), data.draw(arrays(np.uint8, shape))
    summary = _scored(OVERLAP, [("a", levels, truth, None)]).summary()
    for name in OVERLAP:
        assert 0 <= summary[name]["iou"] <= summary[name]["dice"] <= 1 + 1e-12
    for name in ("per-image", "isic", "micro", "gps-repo"):
        j = summary[name]["iou"]
        assert summary[name]["dice"] == pytest.approx(2 * j / (1 + j))


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(6)))
def test_the_summary_does_not_depend_on_the_order(order):
    images = list(_images())
    expected = _scored(("per-image", "micro"), images).summary()
    assert _scored(("per-image", "micro"), [images[i] for i in order]).summary() == expected


def test_intervals_are_by_group_where_groups_are_known():
    images = [(f"{i}-{k}", p, t, g) for i, p, t, g in _images(8, seed=3) for k in range(6)]
    grouped = _scored(("per-image",), images).summary()["per-image"]["dice_ci95"]
    alone = _scored(("per-image",), [(*i[:3], None) for i in images])
    low, high = alone.summary()["per-image"]["dice_ci95"]
    assert grouped[1] - grouped[0] > 1.5 * (high - low)


def test_a_network_that_finds_nothing_is_told_from_one_that_finds_half():
    """Half of the images are without lesion: "nothing" on all of them scores .5."""
    lesion, none = np.eye(4, dtype=bool), np.zeros((4, 4), bool)
    images = [(f"{i}", none, none if i % 2 else lesion, None) for i in range(8)]
    summary = _scored(("per-image",), images).summary()["per-image"]
    assert summary["dice"] == 0.5
    assert (summary["dice_with_lesion"], summary["images_with_lesion"]) == (0.0, 4)
    assert summary["false_finds"] == 0
    everything = [(name, np.ones((4, 4), bool), truth, None) for name, _, truth, _ in images]
    summary = _scored(("per-image",), everything).summary()["per-image"]
    assert summary["dice_with_lesion"] == pytest.approx(2 * 4 / (4 + 16))
    assert (summary["false_finds"], summary["empty_truth"]) == (4, 4)
    assert summary["dice_with_lesion_ci95"] is None
    assert summary["with_lesion"]["no_interval"] == "all 4 images alike: no interval"


def test_one_image_has_scores_and_no_interval_under_any_protocol():
    lesion = np.eye(4, dtype=bool)
    for name, summary in _scored(OVERLAP, [("a", lesion, lesion, None)]).summary().items():
        assert summary["dice_ci95"] is None, name
        assert summary["no_interval"] == "one image: no interval"
        assert (summary["resampled"], summary["units"], summary["seeds"]) == ("image", 1, 1)


def test_boundary_in_pixels_and_millimetres():
    truth, prediction = np.zeros((2, 12, 12), bool)
    truth[2:6, 2:6] = prediction[2:6, 5:9] = True
    pixels, metric = Scorer(("boundary",)), Scorer(("boundary",))
    pixels.add("a", prediction, truth)
    metric.add("a", prediction, truth, spacing=(0.5, 0.5))
    assert pixels.summary()["boundary"]["hd95"] == 2 * metric.summary()["boundary"]["hd95"]
    assert pixels.summary()["boundary"]["nsd"] == metric.summary()["boundary"]["nsd"]
    assert metric.summary()["boundary"]["unit"] == "mm"
    metric.add("b", prediction, truth)
    with pytest.raises(UserError, match="1 of 2 images have a spacing"):
        metric.summary()


def test_boundary_counts_empty_masks():
    scorer, some = Scorer(("boundary",)), np.eye(3, 4, dtype=bool)
    scorer.add("missed", np.zeros((3, 4)), some)
    scorer.add("nothing", np.zeros((3, 4)), np.zeros((3, 4), bool))
    summary = scorer.summary()["boundary"]
    assert (summary["one_empty"], summary["both_empty"]) == (1, 1)
    assert (summary["hd95"], summary["nsd"]) == (2.5, 0.5)


def test_volumes():
    ball = np.linalg.norm(np.mgrid[:8, :16, :16] - np.array([4, 8, 8])[:, None, None, None], axis=0)
    scorer = Scorer(("volume", "micro"))
    row = scorer.add("a", (ball < 4).astype(float), ball < 4, spacing=(3.0, 1.0, 1.0))
    assert (row["volume_dice"], row["volume_hd95"], row["volume_nsd"]) == (1.0, 0.0, 1.0)
    scorer.add("b", np.roll(ball < 3, 1, axis=0), ball < 3, spacing=(3.0, 1.0, 1.0))
    summary = scorer.summary()["volume"]
    assert summary["unit"] == "mm"
    assert 0 < summary["hd95"] <= 3.0
    assert summary["nsd"] < 1.0
    with pytest.raises(UserError, match="needs its spacing"):
        scorer.add("c", ball / ball.max(), ball < 3)


def test_errors_say_what_got_and_expected():
    truth = np.zeros((622, 529), bool)
    scorer = Scorer(("per-image", "isic"))
    with pytest.raises(UserError, match=r"cju0q\.jpg: prediction is 622x528 but truth is 622x529"):
        scorer.add("cju0q.jpg", np.zeros((622, 528)), truth)
    with pytest.raises(UserError, match=r"ranges from 0\.0 to 3\.0, expected probabilities"):
        scorer.add("logits", np.where(np.arange(4) > 2, 3.0, 0.0)[None], np.zeros((1, 4), bool))
    with pytest.raises(UserError, match="expected probabilities"):
        scorer.add("nan", np.full((2, 2), np.nan), np.zeros((2, 2), bool))
    with pytest.raises(UserError, match="int64, expected float"):
        scorer.add("labels", np.zeros((2, 2), int), np.zeros((2, 2), bool))
    with pytest.raises(UserError, match="truth has dtype uint8, expected bool"):
        scorer.add("truth", np.zeros((2, 2)), np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match="3-D array, but protocol isic expects 2-D"):
        scorer.add("volume", np.zeros((2, 2, 2)), np.zeros((2, 2, 2), bool))
    with pytest.raises(UserError, match=r"spacing is .* expected 2 positive"):
        scorer.add("spacing", np.zeros((2, 2)), np.zeros((2, 2), bool), spacing=(1.0, 0.0))
    with pytest.raises(UserError, match="no image was scored"):
        scorer.summary()
    scorer.add("a", np.zeros((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(UserError, match="a: scored twice"):
        scorer.add("a", np.zeros((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(UserError, match=r"pranett.*pranet"):
        Scorer(("pranett",))


def test_a_refused_image_leaves_no_row():
    scorer = Scorer(("per-image", "volume"))
    with pytest.raises(UserError):
        scorer.add("a", np.zeros((2, 2)), np.zeros((2, 2), bool))
    assert scorer.rows() == []


def test_scores_of_parts_are_joined_to_those_of_all():
    images = list(_images())
    whole = _scored(OVERLAP, images, pool=True)
    parts = [_scored(OVERLAP, part, pool=True) for part in (images[:2], [], images[2:])]
    joined = parts[1].joined([part.kept for part in parts])
    assert joined.rows() == whole.rows()
    assert joined.summary() == whole.summary()
    assert joined.calibration() == whole.calibration()
    assert parts[0].rows() == whole.rows()[:2], "the parts stay as they are"
    with pytest.raises(UserError, match="case0: scored twice"):
        whole.joined([parts[0].kept, whole.kept])


def test_tolerance_and_saliency_reach_their_rules():
    truth = np.zeros((30, 30), bool)
    truth[8:20, 8:20] = True
    moved = np.roll(truth, 3, axis=1)
    found = {}
    for tolerance in (1.0, 4.0):
        scorer = Scorer(["boundary"], at=Thresholds(tolerance))
        found[tolerance] = scorer.add("a", moved.astype(float), truth)["boundary_nsd"]
        summary = scorer.summary()["boundary"]
        assert (summary["nsd"], summary["tolerance"]) == (found[tolerance], tolerance)
    assert found[1.0] < found[4.0] == 1.0
    with_it, without = (
        Scorer(["pranet"], saliency=saliency).add("a", moved.astype(float), truth)
        for saliency in (True, False)
    )
    assert {*with_it} - {*without} == {
        *("pranet_s_measure", "pranet_e_measure", "pranet_weighted_f", "pranet_mae"),
    }
