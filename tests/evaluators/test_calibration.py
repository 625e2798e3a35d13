import numpy as np
import pytest

from gpsseg.errors import UserError
from gpsseg.evaluators import mean_estimate
from gpsseg.evaluators.calibration import calibration
from gpsseg.evaluators.counts import histogram, quantise
from gpsseg.evaluators.protocols import Scorer


def test_calibration_by_hand():
    levels = np.array([51, 51, 204, 204], np.uint8)
    result = calibration(histogram(levels, np.array([False, True, True, True])), bins=2)
    assert result.confidence.tolist() == pytest.approx([0.2, 0.8])
    assert result.accuracy.tolist() == [0.5, 1.0]
    assert result.pixels.tolist() == [2, 2]
    assert result.ece == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)


def test_too_sure_and_too_unsure_do_not_cancel():
    """Half of the pixels .8 too high, half .8 too low."""
    levels = np.array([51, 51, 204, 204], np.uint8)
    result = calibration(histogram(levels, np.array([True, True, False, False])), bins=2)
    assert result.ece == pytest.approx(0.8)


def test_a_level_on_an_edge_belongs_to_the_bin_above_and_1_to_the_last():
    """Of 15 bins an edge is every 17 levels: 17 / 255 = 1 / 15."""
    levels = np.array([16, 17, 254, 255], np.uint8)
    pixels = calibration(histogram(levels, levels > 0), bins=15).pixels
    assert pixels.tolist() == [1, 1, *[0] * 12, 2]


def test_a_bin_of_one_pixel_has_its_point_and_an_empty_one_none():
    levels = np.array([51, 204, 204], np.uint8)
    result = calibration(histogram(levels, np.array([True, True, False])), bins=3)
    assert result.confidence.tolist() == pytest.approx([0.2, np.nan, 0.8], nan_ok=True)
    assert result.accuracy.tolist() == pytest.approx([1.0, np.nan, 0.5], nan_ok=True)


def test_torchmetrics_ece_agrees():
    """On 8-bit maps, with 11 bins, whose edges are not levels."""
    functional = pytest.importorskip("torchmetrics.functional.classification")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 255, 20_000).astype(np.uint8)
    truth = rng.random(levels.size) < (levels / 255) ** 2
    expected = functional.binary_calibration_error(
        torch.from_numpy(levels / 255.0), torch.from_numpy(truth.astype(np.int64)), n_bins=11
    )
    assert calibration(histogram(levels, truth), bins=11).ece == pytest.approx(
        float(expected), abs=1e-6
    )


def test_ece_of_a_float_map_moves_by_less_than_a_level():
    rng = np.random.default_rng(6)
    probability = rng.random(50_000)
    truth = rng.random(probability.size) < probability**2
    which = np.minimum((probability * 15).astype(int), 14)
    gaps = np.bincount(which, truth - probability, 15)
    exact = np.abs(gaps).sum() / probability.size
    assert calibration(histogram(quantise(probability), truth)).ece == pytest.approx(
        exact, abs=2e-3
    )


def test_pooled_calibration_is_the_calibration_of_all_pixels():
    rng = np.random.default_rng(8)
    levels, truth = rng.integers(0, 256, (2, 500)).astype(np.uint8), rng.random((2, 500)) > 0.5
    pooled = histogram(levels[0], truth[0]) + histogram(levels[1], truth[1])
    assert calibration(pooled).ece == calibration(histogram(levels, truth)).ece
    with pytest.raises(UserError, match="no pixels"):
        calibration(histogram(np.zeros((0, 1), np.uint8), np.zeros((0, 1), bool)))


def test_the_scorer_pools_its_images_for_calibration():
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 256, (6, 7), dtype=np.uint8) for _ in range(3)]
    truths = [rng.random((6, 7)) < 0.4 for _ in range(3)]
    scorer = Scorer(pool=True)
    for i, (probability, truth) in enumerate(zip(maps, truths, strict=True)):
        scorer.add(str(i), probability, truth)
    pooled = histogram(np.stack(maps), np.stack(truths))
    expected, found = calibration(pooled), scorer.calibration()
    assert found["ece"] == expected.ece
    assert sum(entry["pixels"] for entry in found["bins"]) == 3 * 6 * 7
    with pytest.raises(UserError, match="no image"):
        Scorer(pool=True).calibration()


@pytest.mark.parametrize("last", ["q", None])
def test_strata_vary_whole_patients(last):
    """Also where one image has no patient: it is one by itself."""
    scorer, groups = Scorer(), ["p", "p", "q", "q", last]
    for i, group in enumerate(groups):
        truth, found = np.zeros((2, 10, 10), bool)
        truth[0, :4], found[0, i : i + 4] = True, True
        scorer.add(str(i), found * 1.0, truth, group)
    (row,) = scorer.strata()
    expected = mean_estimate([case["dice"] for case in scorer.rows()], groups)
    assert (row["resampled"], row["units"]) == ("group", 2 if last else 3)
    assert row["dice_ci95"] == scorer.summary()["per-image"]["dice_ci95"] == expected.ci95()


def test_strata_leave_out_images_without_a_lesion():
    scorer, truth = Scorer(), np.zeros((10, 10), bool)
    scorer.add("empty", truth * 1.0, truth)
    truth[0, :2] = True
    scorer.add("small", truth * 1.0, truth)
    (row,) = scorer.strata()
    assert (row["low"], row["high"], row["images"], row["dice"]) == (0.01, 0.05, 1, 1.0)
    assert Scorer().strata() == []
