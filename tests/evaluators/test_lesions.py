"""Lesions one by one: hand-made masks, what must hold of any, and panoptica's numbers."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpsseg.evaluators import Scorer, Thresholds, lesions
from gpsseg.evaluators.lesions import overlaps

lesion_scores = functools.partial(lesions.lesion_scores, least_pixels=1)
MASKS = arrays.arrays(bool, (2, 7, 9), elements=st.booleans())


def mask(*lines: str) -> np.ndarray:
    return np.array([[sign == "#" for sign in line] for line in lines])


TRUTH = mask(
    "##....#.",
    "##...#..",
    "........",
    "....####",
)
PREDICTION = mask(
    "##....##",
    "#....##.",
    "........",
    "#.....#.",
)


def test_each_lesion_is_found_missed_or_false() -> None:
    """IoU 3/4 of the square, 2/4 of the corner-connected pair, 1/4 of the bar; one is astray."""
    assert lesion_scores(overlaps(PREDICTION, TRUTH)) == {
        **{
            "true": 3,
            "predicted": 4,
            "found": 2,
            "iou_sum": 1.25,
            "touched": 3,
            "astray": 1,
            "specks": 0,
        },
    }
    assert lesion_scores(overlaps(PREDICTION, TRUTH), 0.51)["found"] == 1
    assert lesion_scores(overlaps(PREDICTION, TRUTH), 0.25)["found"] == 3


def test_a_lesion_in_two_halves_is_found_once_and_the_best_overlap_goes_first() -> None:
    halves = overlaps(mask("##.##"), mask("#####"))
    assert lesion_scores(halves, 0.4)["found"] == 1
    two = overlaps(mask("######..##"), mask("####.##.##"))  # IoU 4/6 before 1/7, and 1 elsewhere
    assert lesion_scores(two, 0.1) | {"iou_sum": 0} == {
        **{
            "true": 3,
            "predicted": 2,
            "found": 2,
            "iou_sum": 0,
            "touched": 3,
            "astray": 0,
            "specks": 0,
        },
    }


def test_specks_are_no_lesions_and_find_none() -> None:
    """Of 3 pixels: the pair of the truth is a speck, two of the four predicted ones are."""
    assert lesions.lesion_scores(overlaps(PREDICTION, TRUTH), 0.2, 3) == {
        **{"true": 2, "predicted": 2, "found": 1, "iou_sum": 0.75, "touched": 1, "astray": 1},
        "specks": 1,
    }


def test_voxels_touch_at_corners() -> None:
    volume = np.zeros((2, 2, 2), bool)
    volume[0, 0, 0] = volume[1, 1, 1] = True
    assert lesion_scores(overlaps(volume, volume))["true"] == 1


@given(MASKS)
def test_found_and_missed_are_all_and_swapping_swaps_false_finds_and_misses(
    masks: np.ndarray,
) -> None:
    there, back = (lesion_scores(overlaps(*pair)) for pair in (masks, masks[::-1]))
    assert there["found"] <= min(there["touched"], there["predicted"] - there["astray"])
    assert (there["true"], there["predicted"]) == (back["predicted"], back["true"])
    assert there["found"] == back["found"]
    assert there["iou_sum"] == pytest.approx(back["iou_sum"])
    assert there["touched"] == back["predicted"] - back["astray"]


@given(MASKS)
def test_a_perfect_prediction_has_a_quality_of_one(masks: np.ndarray) -> None:
    scorer = Scorer(["lesions"], at=Thresholds(lesion_pixels=1))
    scorer.add("a", masks[0], masks[0])
    found = scorer.summary()["lesions"]
    if masks[0].any():
        assert (found["pq"], found["f1"], found["sensitivity"], found["precision"]) == (1,) * 4
    assert ("pq" in found) == masks[0].any()
    assert found["false_finds"] == found["true"] - found["found"] == 0


def test_lesions_are_pooled_over_images_and_intervals_are_over_groups() -> None:
    """5 lesions, 4 found, 10 predicted: the second image has no lesion, the third is perfect."""
    scorer = Scorer(["lesions"], at=Thresholds(lesion_pixels=1))
    empty = np.zeros_like(TRUTH)
    for name, group, pair in (
        ("a", "p", (PREDICTION, TRUTH)),
        ("b", "p", (PREDICTION, empty)),
        ("c", "q", (TRUTH[:3], TRUTH[:3])),
        ("d", "q", (empty, empty)),
    ):
        scorer.add(name, *pair, group)
    found = scorer.summary()["lesions"]
    assert (found["true"], found["predicted"], found["found"]) == (5, 10, 4)
    assert (found["false_finds"], found["false_finds_per_image"]) == (6, 6 / 4)
    assert (found["sensitivity"], found["precision"]) == (4 / 5, 4 / 10)
    assert (found["f1"], found["sq"]) == (8 / 15, 3.25 / 4)
    assert found["pq"] == pytest.approx(found["f1"] * found["sq"])
    assert found["sensitivity_over"] == {"images": 2, "resampled": "group", "units": 2, "seeds": 1}
    low, high = found["sensitivity_ci95"]
    assert 0 <= low < 4 / 5 < high <= 1
    assert found["false_finds_per_image_over"]["images"] == 4


def test_panoptica_counts_the_same(mask_pairs: list) -> None:
    """Not in the test extra: panoptica 2.1 takes numpy below 2.3 and rich below 14 only."""
    panoptica = pytest.importorskip("panoptica", reason="needs older libraries than gpsseg")
    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.SEMANTIC,
        instance_approximator=panoptica.ConnectedComponentsInstanceApproximator(
            cca_backend=panoptica.CCABackend.cc3d  # its default for images does not join corners
        ),
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=0.5),
        verbose=False,
    )
    compared = 0
    for name, prediction, truth in mask_pairs:
        if not (prediction.any() and truth.any()):
            continue
        theirs = evaluator.evaluate(prediction.astype(np.uint8), truth.astype(np.uint8))
        theirs = next(iter(theirs.values()))
        ours = lesion_scores(overlaps(prediction, truth))
        assert (ours["found"], ours["predicted"] - ours["found"], ours["true"] - ours["found"]) == (
            *(theirs.tp, theirs.fp, theirs.fn),
        ), name
        if ours["found"]:
            pq = 2 * ours["iou_sum"] / (ours["true"] + ours["predicted"])
            assert theirs.pq == pytest.approx(pq), name
        compared += 1
    assert compared > 50
