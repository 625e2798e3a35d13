import warnings

import numpy as np
import pytest

from gpsseg.evaluators.protocols import Scorer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    confusion = pytest.importorskip("isic_challenge_scoring.confusion")
    metrics = pytest.importorskip("isic_challenge_scoring.metrics")


def test_the_official_scorer_agrees_everywhere(cases):
    scorer = Scorer(("isic",))
    expected = []
    for name, levels, truth in cases:
        row = scorer.add(name, levels, truth)
        matrix = confusion.create_binary_confusion_matrix(
            truth_binary_values=truth.astype(np.uint8) * 255 > 128,
            prediction_binary_values=levels > 128,
        )
        thresholded = metrics.binary_threshold_jaccard(matrix, threshold=0.65)
        expected.append(thresholded)
        assert row["isic_iou"] == pytest.approx(metrics.binary_jaccard(matrix), abs=1e-6), name
        assert row["isic_dice"] == pytest.approx(metrics.binary_dice(matrix), abs=1e-6), name
        assert row["isic_jaccard_thresholded"] == pytest.approx(thresholded, abs=1e-6), name
    assert scorer.summary()["isic"]["jaccard_thresholded"] == pytest.approx(np.mean(expected))


def test_level_128_is_background_here_and_foreground_per_image():
    truth = np.ones((2, 2), bool)
    row = Scorer(("per-image", "isic")).add("a", np.full((2, 2), 128, np.uint8), truth)
    assert (row["dice"], row["isic_dice"]) == (1.0, 0.0)


@pytest.mark.parametrize(("hits", "score"), [(13, 0.65), (12, 0.0)])
def test_a_jaccard_below_65_percent_scores_0(hits, score):
    truth = np.ones((4, 5), bool)
    prediction = np.arange(20).reshape(4, 5) < hits
    row = Scorer(("isic",)).add("a", prediction, truth)
    assert row["isic_jaccard_thresholded"] == pytest.approx(score)
    assert row["isic_iou"] == pytest.approx(hits / 20)
