"""Clinical measures of each image, and agreement of sizes, by hand."""

import numpy as np
import pytest

from gpsseg.evaluators import Scorer, Thresholds

Image = tuple[list[int], list[int]]


def summary(images: list[Image], groups: str | None = None, spacing=None) -> dict:
    scorer = Scorer(["clinical"], at=Thresholds(lesion_pixels=1))
    for number, (prediction, truth) in enumerate(images):
        masks = (np.array([row], bool) for row in (prediction, truth))
        scorer.add(str(number), *masks, groups and groups[number], spacing)
    return scorer.summary()["clinical"]


IMAGES: list[Image] = [
    ([1, 1, 0, 0], [1, 0, 0, 0]),  # sensitivity 1, specificity 2/3, precision 1/2
    ([0, 0, 0, 0], [1, 1, 0, 0]),  # 0, 1, none
    ([1, 0, 1, 0], [0, 0, 0, 0]),  # none, 1/2, 0; two false lesions
    ([0, 0, 0, 0], [0, 0, 0, 0]),  # none, 1, none
    ([1, 1, 1, 1], [1, 1, 1, 1]),  # 1, none, 1
]


def test_a_measure_is_averaged_over_the_images_that_have_it() -> None:
    found = summary(IMAGES)
    assert (found["sensitivity"], found["sensitivity_over"]["images"]) == (2 / 3, 3)
    assert found["specificity"] == pytest.approx((2 / 3 + 1 + 1 / 2 + 1) / 4)
    assert (found["precision"], found["precision_over"]["images"]) == (1 / 2, 3)
    assert (found["false_find_share"], found["false_lesions_per_image"]) == (1 / 2, 2 / 2)
    assert found["false_find_share_over"]["images"] == 2
    assert found["images"] == 5


def test_what_no_image_has_is_not_there() -> None:
    found = summary([([0, 0], [0, 0])])
    assert "sensitivity" not in found
    assert "precision" not in found
    assert found["specificity"] == 1
    assert found["agreement"][0] == {"unit": "pixels", "images": 0, "why": "no image has a size"}


def row(pixels: int) -> list[int]:
    return [1] * pixels + [0] * (20 - pixels)


PAIRS = [(3, 2), (5, 2), (9, 10), (8, 6), (16, 20), (0, 0)]
SIZES = [(row(predicted), row(true)) for predicted, true in PAIRS]


def test_bias_and_limits_of_agreement_are_bland_and_altmans() -> None:
    """Differences 1, 3, -1, 2, -4 (two empty masks agree on nothing)."""
    differences = np.array([1, 3, -1, 2, -4])
    found, _ = summary(SIZES)["agreement"]
    spread = 1.96 * differences.std(ddof=1)
    assert (found["unit"], found["images"]) == ("pixels", 5)
    assert found["bias"] == pytest.approx(0.2)
    assert (found["lower"], found["upper"]) == pytest.approx((0.2 - spread, 0.2 + spread))
    low, high = found["bias_ci95"]
    margin = 2.776445 * differences.std(ddof=1) / 5**0.5  # Student's t, 4 degrees of freedom
    assert (low, high) == pytest.approx((0.2 - margin, 0.2 + margin))
    assert found["slope"] == pytest.approx(np.polyfit([2, 2, 10, 6, 20], differences, 1)[0])
    assert found["lower_ci95"][0] < found["lower"] < found["lower_ci95"][1]


def test_without_a_spacing_sizes_are_also_in_percent_of_their_image() -> None:
    """Images of 4 and of 8 pixels, half of which are lesion; all of the first is predicted."""
    scorer = Scorer(["clinical"])
    for name, pixels in (("a", 4), ("b", 8), ("c", 8)):
        truth = np.arange(pixels)[None] < pixels / 2
        scorer.add(name, np.full_like(truth, True) if pixels == 4 else truth, truth)
    pixels, percent = scorer.summary()["clinical"]["agreement"]
    assert (pixels["bias"], percent["unit"], percent["bias"]) == (
        *(pytest.approx(2 / 3), "% of the image", pytest.approx(50 / 3)),
    )


def test_differences_that_grow_with_size_are_said_to() -> None:
    found, _ = summary([(row(2 * n), row(n)) for n in range(1, 9)])["agreement"]
    assert found["slope"] == pytest.approx(1)
    assert found["grows"] is True
    signs = (1, -1, -1, 1, 1, -1, -1, 1)
    found, _ = summary([(row(4 + n + d), row(4 + n)) for n, d in enumerate(signs)])["agreement"]
    assert found["grows"] is False


def test_predictions_that_scatter_about_lesions_of_one_size_do_not_grow_with_them() -> None:
    """On the mean of both sizes the slope would be 2."""
    found, _ = summary([(row(n), row(10)) for n in (2, 5, 8, 11, 14, 17)])["agreement"]
    assert found["slope"] == 0
    assert found["grows"] is False


def test_differences_of_unknown_slope_do_not_grow_in_any_unit() -> None:
    """Without the one empty image all sizes are alike, which rounding must not hide in ml."""
    scorer = Scorer(["clinical"])
    truth = np.ones((2, 2, 2), bool)
    for number in range(4):
        scorer.add(str(number), truth & (number > 0), truth, None, (2.0, 3.0, 4.0))
    voxels, ml = scorer.summary()["clinical"]["agreement"]
    assert (voxels["grows"], ml["grows"]) == (False, False)
    assert ml["slope_ci95"] == pytest.approx(voxels["slope_ci95"])
    assert "no_interval" not in voxels


@pytest.mark.parametrize("more", [0, 3])
def test_differences_that_are_all_alike_have_no_interval(more: int) -> None:
    found, _ = summary([(row(4 + n + more), row(4 + n)) for n in range(6)])["agreement"]
    assert (found["bias"], found["lower"], found["upper"]) == (more, more, more)
    assert [found[f"{name}_ci95"] for name in ("bias", "lower", "upper", "slope")] == [None] * 4
    assert found["no_interval"] == "all 6 images alike: no interval"
    assert found["grows"] is False


def test_agreement_is_in_square_millimetres_and_over_groups_where_these_are_known() -> None:
    pixels, area = summary(SIZES, "aabbcc", (0.5, 2.0))["agreement"]
    assert (pixels["bias"], area["bias"], area["unit"]) == (
        pytest.approx(0.2),
        pytest.approx(0.2),
        "mm²",
    )
    assert (area["resampled"], area["units"]) == ("group", 3)
    _, area = summary(SIZES, None, (0.5, 0.5))["agreement"]
    assert area["bias"] == pytest.approx(0.05)


def test_limits_are_left_out_where_one_group_has_nearly_all() -> None:
    found, _ = summary(SIZES, "aaaaba")["agreement"]
    assert found["bias"] == pytest.approx(0.2)
    assert "lower" not in found
    assert "more groups" in found["why"]


def test_volumes_are_in_millilitres() -> None:
    scorer = Scorer(["clinical"])
    for number, filled in enumerate((10, 20, 30)):
        truth = np.zeros((10, 10, 10), bool)
        truth.flat[:100] = True
        prediction = np.zeros_like(truth)
        prediction.flat[: 100 + filled] = True
        scorer.add(str(number), prediction, truth, None, (2.0, 5.0, 10.0))
    voxels, ml = scorer.summary()["clinical"]["agreement"]
    assert (voxels["unit"], voxels["bias"], ml["unit"], ml["bias"]) == (*("voxels", 20, "ml", 2),)
