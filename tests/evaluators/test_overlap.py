import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpsseg.evaluators.counts import count_pixels, histogram
from gpsseg.evaluators.overlap import dice, iou, recall, sweep_scores

COUNT = st.integers(0, 10**9)


def test_by_hand():
    assert float(dice(3, 1, 2)) == pytest.approx(6 / 9)
    assert float(iou(3, 1, 2)) == pytest.approx(3 / 6)
    assert float(recall(3, 1)) == pytest.approx(3 / 4)


def test_empty_masks():
    assert float(dice(0, 0, 0)) == 1.0
    assert float(iou(0, 0, 0)) == 1.0
    assert float(dice(0, 0, 0, empty=0.0)) == 0.0
    assert float(dice(0, 5, 0)) == 0.0
    assert float(iou(0, 0, 5)) == 0.0
    assert float(recall(0, 0)) == 1.0


def test_arrays_score_element_by_element():
    assert dice(np.array([1, 0]), np.array([0, 0]), np.array([0, 0])).tolist() == [1.0, 1.0]


@given(COUNT, COUNT, COUNT)
def test_dice_follows_from_iou_is_symmetric_and_bounded(tp, fp, fn):
    d, j = float(dice(tp, fp, fn)), float(iou(tp, fp, fn))
    assert d == pytest.approx(2 * j / (1 + j))
    assert d == float(dice(tp, fn, fp))
    assert j == float(iou(tp, fn, fp))
    assert 0 <= j <= d <= 1


@given(st.integers(1, 30))
def test_a_perfect_mask_scores_the_sweeps_ceiling(lesion):
    truth = np.arange(30) < lesion
    swept, _ = sweep_scores(histogram((truth * 255).astype(np.uint8), truth))
    share = lesion / 30
    assert swept == pytest.approx((255 + 2 * share / (1 + share)) / 256)


def test_an_empty_prediction_keeps_the_threshold_0_in_the_sweep():
    truth = np.array([True, False, False, False])
    swept_dice, swept_iou = sweep_scores(histogram(np.zeros(4, np.uint8), truth))
    assert swept_dice == pytest.approx(2 * 0.25 / 1.25 / 256)
    assert swept_iou == pytest.approx(0.25 / 256)


def _scores(prediction, truth):
    counts = count_pixels(prediction, truth)
    triple = counts.tp, counts.fp, counts.fn
    return float(dice(*triple)), float(iou(*triple))


def _batch(mask):
    import torch

    return torch.from_numpy(mask[None, None].astype(np.int64))


def test_monai_agrees_where_the_truth_is_not_empty(mask_pairs):
    metrics = pytest.importorskip("monai.metrics")
    for name, prediction, truth in mask_pairs:
        if truth.any():
            arguments = _batch(prediction).float(), _batch(truth).float()
            ours = _scores(prediction, truth)
            assert ours[0] == pytest.approx(float(metrics.compute_dice(*arguments)), abs=1e-6), name
            assert ours[1] == pytest.approx(float(metrics.compute_iou(*arguments)), abs=1e-6), name


def test_monai_drops_an_empty_truth_even_with_false_positives():
    metrics = pytest.importorskip("monai.metrics")
    empty, some = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    for prediction, ours in ((some, 0.0), (empty, 1.0)):
        arguments = _batch(prediction).float(), _batch(empty).float()
        assert np.isnan(float(metrics.compute_dice(*arguments)))
        assert np.isnan(float(metrics.compute_iou(*arguments)))
        assert float(metrics.compute_dice(*arguments, ignore_empty=False)) == ours
        assert _scores(prediction, empty) == (ours, ours)


def test_smp_agrees_everywhere(mask_pairs):
    smp = pytest.importorskip("segmentation_models_pytorch").metrics
    for name, prediction, truth in mask_pairs:
        stats = smp.get_stats(_batch(prediction), _batch(truth), mode="binary")
        ours = _scores(prediction, truth)
        oracle = float(smp.f1_score(*stats)), float(smp.iou_score(*stats))
        assert ours == pytest.approx(oracle, abs=1e-6), name


def test_smp_scores_1_by_default_where_both_are_empty_and_can_be_told_otherwise():
    smp = pytest.importorskip("segmentation_models_pytorch").metrics
    empty = np.zeros((4, 4), bool)
    stats = smp.get_stats(_batch(empty), _batch(empty), mode="binary")
    assert float(smp.iou_score(*stats)) == 1.0 == _scores(empty, empty)[1]
    assert float(smp.iou_score(*stats, zero_division=0.0)) == 0.0


def test_torchmetrics_agrees_unless_both_are_empty(mask_pairs):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    for name, prediction, truth in mask_pairs:
        if prediction.any() or truth.any():
            ours = _scores(prediction, truth)
            arguments = _batch(prediction), _batch(truth)
            f1, jaccard = functional.binary_f1_score, functional.binary_jaccard_index
            assert ours[0] == pytest.approx(float(f1(*arguments)), abs=1e-6), name
            assert ours[1] == pytest.approx(float(jaccard(*arguments)), abs=1e-6), name


def test_torchmetrics_does_not_score_two_empty_masks_1():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    empty = np.zeros((4, 4), bool)
    assert float(functional.binary_f1_score(_batch(empty), _batch(empty))) == 0.0
    jaccard = float(functional.binary_jaccard_index(_batch(empty), _batch(empty)))
    assert np.isnan(jaccard) or jaccard == 0.0
    assert _scores(empty, empty) == (1.0, 1.0)


def test_torchmetrics_averages_an_image_with_both_empty_away_or_to_0():
    segmentation = pytest.importorskip("torchmetrics.functional.segmentation")
    empty = np.zeros((4, 4), bool)
    score = segmentation.dice_score(
        _batch(empty), _batch(empty), num_classes=1, average="none", input_format="one-hot"
    )
    assert float(score.squeeze()) != 1.0
