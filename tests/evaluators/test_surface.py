import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_erosion

from gpsseg.evaluators.surface import (
    average_distance,
    boundary_scores,
    hausdorff95,
    joint_box,
    outline,
    surface_dice,
    surface_distances,
)


def test_two_pixels_three_apart():
    prediction, truth = np.zeros((2, 5, 8), bool)
    prediction[2, 1] = truth[2, 4] = True
    distances = surface_distances(prediction, truth)
    assert hausdorff95(distances) == 3.0
    assert average_distance(distances) == 3.0
    assert surface_dice(distances, 2.0) == 0.0
    assert surface_dice(distances, 3.0) == 1.0
    millimetres = surface_distances(prediction, truth, spacing=(9.0, 0.5))
    assert hausdorff95(millimetres) == 1.5


def test_empty_masks_score_0_or_the_diagonal():
    empty, some = np.zeros((3, 4), bool), np.eye(3, 4, dtype=bool)
    for first, second in ((empty, some), (some, empty)):
        one = boundary_scores(first, second)
        assert one == {"hd95": 5.0, "assd": 5.0, "nsd": 0.0, "empty_masks": 1}
    assert boundary_scores(empty, some, spacing=(2.0, 2.0))["hd95"] == 10.0
    both = boundary_scores(empty, empty)
    assert both == {"hd95": 0.0, "assd": 0.0, "nsd": 1.0, "empty_masks": 2}


def test_nsd_stays_in_pixels_where_a_spacing_is_given():
    prediction, truth = np.zeros((2, 5, 8), bool)
    prediction[2, 1] = truth[2, 3] = True
    scores = boundary_scores(prediction, truth, spacing=(10.0, 10.0))
    assert scores["hd95"] == 20.0
    assert scores["nsd"] == 1.0


@given(arrays(bool, array_shapes(min_dims=2, max_dims=3, max_side=9)))
def test_boundary_is_what_erosion_removes(mask):
    assert (outline(mask) == (mask & ~binary_erosion(mask))).all()


@given(st.data())
def test_symmetric_and_blind_to_empty_space_around(data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=10))
    first = data.draw(arrays(bool, shape))
    second = data.draw(arrays(bool, shape))
    there, back = surface_distances(first, second), surface_distances(second, first)
    assert hausdorff95(there) == hausdorff95(back)
    assert average_distance(there) == pytest.approx(average_distance(back))
    assert surface_dice(there, 2.0) == surface_dice(back, 2.0)
    if there.empty_masks == 0:
        wide = surface_distances(np.pad(first, 5), np.pad(second, 5))
        assert hausdorff95(wide) == hausdorff95(there)


def test_joint_box():
    first, second = np.zeros((2, 6, 7), bool)
    first[1, 2] = second[4, 5] = True
    assert joint_box(first, second) == (slice(1, 5), slice(2, 6))
    assert joint_box(first & second, first & second) == (slice(0, 0), slice(0, 0))


def _monai(prediction, truth, spacing, tolerance):
    import torch

    metrics = pytest.importorskip("monai.metrics")
    first, second = (torch.from_numpy(m[None, None].astype(np.uint8)) for m in (prediction, truth))
    common = {"include_background": True, "spacing": spacing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            float(metrics.compute_hausdorff_distance(first, second, percentile=95, **common)),
            float(
                metrics.compute_average_surface_distance(first, second, symmetric=True, **common)
            ),
            float(metrics.compute_surface_dice(first, second, [tolerance], **common)),
        )


def _ours(prediction, truth, spacing, tolerance):
    distances = surface_distances(prediction, truth, spacing)
    nsd = surface_dice(distances, tolerance)
    return hausdorff95(distances), average_distance(distances), nsd


def test_monai_agrees_on_images(mask_pairs):
    for name, prediction, truth in mask_pairs:
        if prediction.any() and truth.any():
            expected = _monai(prediction, truth, None, 2.0)
            assert _ours(prediction, truth, None, 2.0) == pytest.approx(expected, rel=1e-6), name


def test_monai_agrees_with_a_spacing(mask_pairs):
    for name, prediction, truth in mask_pairs[::3]:
        if prediction.any() and truth.any():
            expected = _monai(prediction, truth, (0.7, 1.3), 1.1)
            ours = _ours(prediction, truth, (0.7, 1.3), 1.1)
            assert ours == pytest.approx(expected, rel=1e-6), name


def test_monai_agrees_on_volumes():
    rng = np.random.default_rng(5)
    ball = np.linalg.norm(
        np.mgrid[:14, :20, :18] - np.array([6, 9, 9])[:, None, None, None], axis=0
    )
    truth = ball < 6
    for prediction in (
        ball < 5,
        np.roll(truth, 3, axis=1),
        truth ^ (rng.random(ball.shape) > 0.98),
    ):
        expected = _monai(prediction, truth, (2.5, 0.8, 0.8), 2.0)
        ours = _ours(prediction, truth, (2.5, 0.8, 0.8), 2.0)
        assert ours == pytest.approx(expected, rel=1e-6)


def test_monai_gives_no_number_where_a_mask_is_empty():
    """Infinite or nan there, against the diagonal, 0 or 1 here."""
    empty, some = np.zeros((6, 8), bool), np.eye(6, 8, dtype=bool)
    for prediction, truth in ((some, empty), (empty, some)):
        hd95, assd, nsd = _monai(prediction, truth, None, 2.0)
        assert not np.isfinite(hd95)
        assert not np.isfinite(assd)
        assert nsd == 0.0
        assert _ours(prediction, truth, None, 2.0) == (10.0, 10.0, 0.0)
    hd95, assd, nsd = _monai(empty, empty, None, 2.0)
    assert np.isnan([hd95, assd, nsd]).all()
    assert _ours(empty, empty, None, 2.0) == (0.0, 0.0, 1.0)
