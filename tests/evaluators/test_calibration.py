import numpy as np
import pytest

from gpsseg.errors import UserError
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


def test_strata_leave_out_images_without_a_lesion():
    scorer, truth = Scorer(), np.zeros((10, 10), bool)
    scorer.add("empty", truth * 1.0, truth)
    truth[0, :2] = True
    scorer.add("small", truth * 1.0, truth)
    (row,) = scorer.strata()
    assert (row["low"], row["high"], row["images"], row["dice"]) == (0.01, 0.05, 1, 1.0)
    assert Scorer().strata() == []
