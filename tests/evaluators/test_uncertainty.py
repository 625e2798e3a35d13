"""How little an ensemble agrees, and whether that says where errors are: by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from gpsseg.evaluators.uncertainty import (
    MemberAgreement,
    aurc,
    disagreement,
    risk_coverage,
    uncertainty_of,
    worth,
    worth_of_rows,
)


def test_the_number_is_one_minus_the_mean_dice_of_all_pairs():
    """Masks of 4, 2 and 2 pixels; pairs 1-2 and 1-3 share 2 (Dice 2/3), 2-3 share none."""
    members = np.array([[[1, 1, 1, 1]], [[1, 1, 0, 0]], [[0, 0, 1, 1]]], float)
    assert uncertainty_of(members) == pytest.approx(1 - (2 / 3 + 2 / 3 + 0) / 3)
    assert uncertainty_of(members[::-1]) == uncertainty_of(members)


@pytest.mark.parametrize(
    ("masks", "expected"), [([[0, 0], [0, 0]], 0.0), ([[0, 0], [1, 0]], 1.0), ([[1, 1], [1, 1]], 0)]
)
def test_empty_masks_agree_with_one_another_and_with_nothing_else(masks, expected):
    assert uncertainty_of(np.array(masks, float)[:, None]) == expected


def test_a_case_may_come_in_parts_and_half_is_foreground():
    whole = np.random.default_rng(0).random((3, 10, 7)).astype(np.float32)
    whole[:, 0, 0] = 0.5
    case = MemberAgreement()
    for part in (whole[:, :4], whole[:, 4:]):
        case.add(part)
    assert case.uncertainty == uncertainty_of(whole) == uncertainty_of((whole >= 0.5).astype(float))


def test_the_map_is_the_standard_deviation_over_members():
    members = np.array([[[0.0, 0.5, 0.2]], [[1.0, 0.5, 0.4]]], np.float32)
    assert disagreement(members).tolist() == [pytest.approx([0.5, 0.0, 0.1])]


RISK, DOUBT = [0.1, 0.4, 0.2, 0.5], [1, 3, 2, 4]


def test_the_area_under_the_curve_by_hand():
    """In the order of doubt the risks are .1 .2 .4 .5, of which the first k have these means."""
    coverage, risk = risk_coverage(RISK, DOUBT)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk.tolist() == pytest.approx([0.1, 0.15, 0.7 / 3, 0.3])
    assert aurc(RISK, DOUBT) == pytest.approx((0.1 + 0.15 + 0.7 / 3 + 0.3) / 4)


def test_the_order_of_cases_that_are_alike_does_not_matter():
    """.1 and .5 share a place: on average their order gives .3 first, then .3 of both."""
    for risk in ([0.1, 0.5, 0.3], [0.5, 0.1, 0.3]):
        assert risk_coverage(risk, [1, 1, 2])[1].tolist() == pytest.approx([0.3, 0.3, 0.3])


def test_both_bounds_stand_beside_the_area():
    found = worth(RISK, [4, 1, 3, 2])
    assert found["aurc_random"] == pytest.approx(0.3)
    assert found["aurc_perfect"] == pytest.approx(aurc(RISK, DOUBT))
    assert found["aurc"] == pytest.approx((0.4 + 0.45 + 1.1 / 3 + 0.3) / 4)
    assert worth(RISK, [1, 1, 1, 1])["aurc"] == pytest.approx(0.3)


def test_the_rank_correlation_is_scipys_and_its_interval_knows_groups():
    draw = np.random.default_rng(1)
    doubt = np.repeat(draw.random(12), 5)  # five frames of each of twelve patients
    risk = np.clip(0.5 * doubt + 0.5 * np.repeat(draw.random(12), 5), 0, 1)
    alone = worth(risk, doubt)
    assert alone["spearman"] == pytest.approx(spearmanr(risk, doubt).statistic)
    together = worth(risk, doubt, [f"patient {i // 5}" for i in range(60)])
    assert (together["resampled"], together["units"]) == ("group", 12)
    low, high = together["spearman_ci95"]
    assert high - low > 1.5 * (alone["spearman_ci95"][1] - alone["spearman_ci95"][0])
    assert -1 <= low < together["spearman"] < high <= 1


@pytest.mark.parametrize(
    ("risk", "doubt", "why"),
    [
        (RISK, DOUBT, "fewer than 5 images"),
        ([0.1] * 6, range(6), "all images have the same error"),
        (np.linspace(0, 1, 6), [0] * 6, "all images have the same uncertainty"),
    ],
)
def test_where_there_is_no_order_it_is_said(risk, doubt, why):
    for groups in (None, ["p", "q", *["r"] * (len(risk) - 2)]):
        found = worth(risk, list(doubt), groups)
        assert (found["spearman"], found["spearman_ci95"]) == (None, None)
        assert found["spearman_why"] == why


def test_that_the_order_has_no_interval_says_nothing_of_the_area():
    """Only one image is worse: without it there is no order, and an area there is all the same."""
    found = worth([0.1] * 5 + [0.9], list(range(6)))
    assert found["spearman"] is not None
    assert (found["spearman_ci95"], found["spearman_why"]) == (None, "it hangs on one image")
    assert found["aurc_ci95"] is not None
    assert "no_interval" not in found
    alone = worth([0.1, 0.2], [1, 2], ["p", "p"])
    assert (alone["aurc_ci95"], alone["no_interval"]) == (None, "one group: no interval")


def test_a_perfect_order_is_not_said_to_be_of_images_that_are_alike():
    found = worth(np.arange(8) / 8, np.arange(8))
    assert (found["spearman"], found["spearman_ci95"]) == (pytest.approx(1), None)
    assert found["spearman_why"] == "it is the same without any one image: no interval"
    assert found["aurc_ci95"] is not None


def test_groups_that_leave_fewer_than_five_images_still_have_an_interval():
    """Two of three images each: without one there are three, and they have an order."""
    found = worth([0.1, 0.2, 0.3, 0.2, 0.4, 0.5], [1, 2, 3, 1, 3, 2], [*"pppqqq"])
    assert found["spearman_ci95"] is not None
    assert "spearman_why" not in found


def test_the_error_of_a_row_is_what_dice_lacks():
    rows = [
        {"dice": 1 - r, "uncertainty": d, "group": None} for r, d in zip(RISK, DOUBT, strict=True)
    ]
    found = worth_of_rows(rows)
    assert (found["images"], found["resampled"]) == (4, "image")
    assert found["aurc"] == pytest.approx(aurc(RISK, DOUBT))
