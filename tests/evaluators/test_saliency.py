import warnings

import numpy as np
import pytest

from gpsseg.evaluators.counts import histogram, min_max, sweep_levels
from gpsseg.evaluators.protocols import Scorer, registry
from gpsseg.evaluators.saliency import e_measure, weighted_f
from gpsseg.evaluators.structure import mean_absolute_error, quadrants_of_map
from gpsseg.evaluators.structure import s_measure as s_measure_of_sums


def s_measure(stretched, truth):
    return s_measure_of_sums(quadrants_of_map(stretched, truth), truth, stretched.__getitem__)


oracle = pytest.importorskip("py_sod_metrics")


def _oracle_scores(levels, truth):
    sweep = oracle.FmeasureV2(
        {"dice": oracle.DICEHandler(True, False), "iou": oracle.IOUHandler(True, False)}
    )
    measures = [
        sweep, oracle.Smeasure(), oracle.Emeasure(), oracle.WeightedFmeasure(), oracle.MAE()
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for measure in measures:
            measure.step(levels, truth.astype(np.uint8) * 255)
    swept, s, e, wf, mae = (measure.get_results() for measure in measures)
    return {
        "dice": swept["dice"]["dynamic"].mean(),
        "iou": swept["iou"]["dynamic"].mean(),
        "s_measure": s["sm"],
        "e_measure": e["em"]["curve"].mean(),
        "weighted_f": wf["wfm"],
        "mae": mae["mae"],
    }


def test_pysodmetrics_agrees_on_all_six(cases):
    scorer = Scorer(("pranet",))
    for name, levels, truth in cases:
        row = scorer.add(name, levels, truth)
        for measure, expected in _oracle_scores(levels, truth).items():
            if np.isnan(expected):
                assert measure == "s_measure", name
                assert _centroid_in_the_last_line(truth), name
                continue
            assert row[f"pranet_{measure}"] == pytest.approx(expected, abs=1e-6), (name, measure)


def _centroid_in_the_last_line(truth):
    centre = np.argwhere(truth).mean(axis=0).round().astype(int) + 1
    return (centre == truth.shape).any()


def test_pysodmetrics_s_measure_is_nan_for_a_lesion_centred_on_the_last_line():
    """It averages an empty quadrant there; we give a quadrant without pixels no weight."""
    truth = np.zeros((6, 8), bool)
    truth[5, 2] = True
    levels = (truth * 255).astype(np.uint8)
    assert np.isnan(_oracle_scores(levels, truth)["s_measure"])
    assert s_measure(min_max(levels), truth) == pytest.approx(1.0)


def test_pysodmetrics_agrees_on_float_maps(cases):
    """Without its own normalisation it accepts float maps, already stretched to [0, 1]."""
    rng = np.random.default_rng(3)
    for name, _, truth in cases[::5]:
        stretched = min_max(rng.random(truth.shape))
        metric = oracle.FmeasureV2({"dice": oracle.DICEHandler(True, False)})
        metric.step(stretched, truth, normalize=False)
        row = Scorer(("pranet",), saliency=False).add(name, stretched, truth)
        expected = metric.get_results()["dice"]["dynamic"].mean()
        assert row["pranet_dice"] == pytest.approx(expected, abs=1e-6), name


def test_a_large_image_agrees_too():
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:300, :400]
    distance = np.hypot((row - 120) / 60, (column - 300) / 80)
    levels = (255 / (1 + np.exp(9 * (distance - 1.1)))).astype(np.uint8)
    levels[rng.random(levels.shape) > 0.99] = 200
    result = Scorer(("pranet",)).add("large", levels, distance < 1)
    for measure, expected in _oracle_scores(levels, distance < 1).items():
        assert result[f"pranet_{measure}"] == pytest.approx(expected, abs=1e-6), measure


def test_by_hand():
    truth = np.array([[True, False], [False, False]])
    stretched = np.array([[1.0, 0.0], [0.5, 0.0]])
    assert mean_absolute_error(quadrants_of_map(stretched, truth)) == pytest.approx(0.125)
    assert s_measure(stretched, np.zeros((2, 2), bool)) == pytest.approx(1 - 0.375)
    assert s_measure(stretched, np.ones((2, 2), bool)) == pytest.approx(0.375)
    assert weighted_f(stretched, np.zeros((2, 2), bool)) == 0.0
    weight = 2 - 0.5 ** (1 / 5)
    precision = 1 / (1 + 0.5 * weight)
    assert weighted_f(stretched, truth) == pytest.approx(2 * precision / (1 + precision))


def test_a_perfect_mask():
    truth = np.zeros((20, 20), bool)
    truth[4:9, 5:13] = True
    stretched = truth.astype(float)
    assert s_measure(stretched, truth) == pytest.approx(1.0)
    assert weighted_f(stretched, truth) == pytest.approx(1.0)
    assert mean_absolute_error(quadrants_of_map(stretched, truth)) == 0.0
    swept = e_measure(histogram(sweep_levels(stretched), truth))
    assert swept == pytest.approx(400 / 399 * (255 + 0.25) / 256, abs=1e-9)


def test_a_crop_changes_nothing():
    """8-bit maps are scored where there is anything, float maps whole: the scores are the same."""
    rng = np.random.default_rng(4)
    row, column = np.mgrid[:90, :120]
    for top, left in ((2, 2), (40, 60), (88, 117), (45, 0)):
        truth = np.hypot((row - top) / 9, (column - left) / 14) < 1
        soft = np.hypot((row - top - 3) / 12, (column - left - 2) / 13) + rng.normal(
            0, 0.1, (90, 120)
        )
        for floor in (0, 9):
            levels = np.clip(255 * (1.6 - soft), floor, 255).astype(np.uint8)
            scored = Scorer(("pranet", "medsam-adapter"))
            eight, real = scored.add("8", levels, truth), scored.add("f", levels / 255.0, truth)
            for name in (key for key in eight if key.startswith(("pranet", "medsam"))):
                assert eight[name] == pytest.approx(real[name], abs=1e-6), name


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("layout", ["columns first", "strided", "backwards"])
def test_the_layout_in_memory_does_not_matter(cases, dtype, layout):
    all_protocols = [name for name in registry() if name != "volume"]
    arrange = {
        "columns first": np.asfortranarray,
        "strided": lambda array: np.repeat(np.repeat(array, 2, axis=0), 3, axis=1)[::2, ::3],
        "backwards": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    }[layout]
    for name, levels, truth in cases[:40]:
        values = levels if dtype is np.uint8 else levels / np.float32(255)
        scored = Scorer(all_protocols)
        plain = scored.add(name, values, truth)
        other = scored.add(name + "*", arrange(values), arrange(truth))
        numbers = [key for key, value in plain.items() if isinstance(value, float)]
        both = ([row.pop(key) for key in numbers] for row in (other, plain))
        np.testing.assert_allclose(*both, rtol=1e-9, err_msg=name)
        assert {**other, "id": name} == plain, name
        stretched = min_max(values)
        expected = pytest.approx(weighted_f(stretched, truth), rel=1e-9)
        assert weighted_f(arrange(stretched), arrange(truth)) == expected
