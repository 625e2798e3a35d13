"""Learning curves: laws that are known are found, and what cannot be said is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpsseg.compare.cells import Cell
from gpsseg.compare.curve import Curve, NoCurve, curves_of, fit_curve
from gpsseg.compare.rows import rank
from gpsseg.report.charts.of_compare import score_against_size
from gpsseg.report.compare import write_ranking
from gpsseg.report.curves import curve_lines

SIZES = [10, 20, 40, 80]
SETTINGS = {"settings": {"epochs": 12, "lr_factors": (0.3, 1.0)}}


def rows(scores, sizes=SIZES, method="gps", **facts):
    """The rows of one method whose seeds scored (seeds, sizes), largest size first."""
    found = [
        {
            "method": method,
            "train_size": size,
            "seeds": len(scores),
            "dice": float(np.mean(column)),
            "dice_of_seeds": list(column),
            "diverged": 0,
            "untrained": 0,
            **facts,
        }
        for size, column in zip(sizes, zip(*scores, strict=True), strict=True)
    ]
    return found[::-1]


def around(law, spread):
    """Three seeds, one on the law and one on either side of it."""
    means = np.array([law(n) for n in SIZES])
    return np.stack([means - spread, means, means + spread])


@pytest.mark.parametrize(("a", "b", "c"), [(0.9, 1.2, 0.5), (0.7, 3.0, 1.0), (1.0, 0.9, 0.3)])
def test_a_law_without_noise_is_found_and_carried_on(a, b, c):
    found = fit_curve(SIZES, around(lambda n: a - b * n**-c, 0.0)[:2])
    for n in (10, 160, 320):
        assert found.at(n).value == pytest.approx(a - b * n**-c, abs=2e-3)
    assert found.law == pytest.approx({"a": a, "b": b, "c": c}, rel=0.05)
    assert found.at(160).high - found.at(160).low < 0.01, "nothing varied"


def test_a_curve_that_would_pass_1_is_held_there():
    """Straight in log n up to .97: no law with a <= 1 is that, and none says more than 1."""
    found = fit_curve(SIZES, around(lambda n: 0.37 + 0.2 * np.log2(n / 10), 0.1))
    assert max(fit.a.max() for fit in found.fits) == 1.0
    assert found.at(1e6).high <= 1.0


def test_the_interval_is_students_where_the_exponent_is_certain():
    """Saturated at .8, with one spread at all sizes: the variance of a training by hand.

    It is pooled: of seeds 4 * 2 * .04^2, the curve being exact, over 8 + 1 degrees of freedom;
    Student's t with nine and .9 is 1.3830.
    """
    found = fit_curve(SIZES, around(lambda n: 0.8 - 2 / n, 0.04))
    assert found.fits[0].falls == 0
    assert found.fits[0].room == pytest.approx(1.3830**2 * 8 * 0.04**2 / 9, rel=1e-3)
    there = found.at(40)
    of_the_row_alone = (found.fits[0].room / 3) ** 0.5  # three more trainings scatter, too
    assert min(there.high - there.value, there.value - there.low) > of_the_row_alone


@pytest.mark.parametrize("falls", [0, 1])
def test_the_seeds_say_whether_their_spread_falls_with_the_size(falls):
    """Eight seeds whose deviation is as n^-falls/2: the likeliest way is told, the other is out."""
    n = np.array([10, 20, 40, 80, 160])
    offsets = np.resize([-1.0, 1.0], (8, 1)) * 0.05 * (n / 10) ** (-falls / 2)
    found = fit_curve(n, 0.8 - 2 / n + offsets)
    assert found.fits[0].falls == falls
    assert 1 - falls not in [fit.falls for fit in found.fits]


def test_the_interval_holds_that_of_each_way_to_fall_that_the_seeds_allow():
    found = fit_curve(SIZES, around(lambda n: 0.8 - 2 / n, 0.04))
    assert len(found.fits) > 1
    there, alone = found.at(160), [fit.at(2, 3) for fit in found.fits]
    assert there.low == pytest.approx(min(low for _, low, _ in alone))
    assert there.high == pytest.approx(max(high for *_, high in alone))


def test_sizes_that_lie_close_together_are_not_carried_on():
    found = fit_curve([100, 101, 102, 103], [[0.70, 0.71, 0.72, 0.73]] * 2)
    assert isinstance(found, NoCurve)
    assert "too close together" in found.why


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.floats(0.01, 0.2),
    st.sampled_from([10, 80, 160, 1000]),
)
def test_an_interval_holds_its_value_and_widens_with_the_spread(means, spread, size):
    means = np.sort(means)
    narrow, wide = (fit_curve(SIZES, [means - s, means + s]) for s in (spread, 2 * spread))
    if isinstance(narrow, Curve) and isinstance(wide, Curve):
        first, second = narrow.at(size), wide.at(size)
        assert 0 <= first.low <= first.value <= first.high <= 1
        assert second.low <= first.low <= first.high <= second.high


def test_an_interval_widens_with_the_distance_and_narrows_with_seeds():
    three = around(lambda n: 0.9 - n**-0.5, 0.04)
    curve, more = fit_curve(SIZES, three), fit_curve(SIZES, np.concatenate([three] * 3))
    width = {n: curve.at(n).high - curve.at(n).low for n in (160, 320, 1280)}
    assert width[160] < width[320] < width[1280]
    assert more.at(160).high - more.at(160).low < 0.7 * width[160]


@pytest.mark.parametrize(
    ("scores", "sizes", "why"),
    [
        ([[0.5, 0.6]] * 3, [10, 20], "it needs 4 training sizes, got 2"),
        ([[0.5, 0.6, 0.65, 0.67]], SIZES, "it needs 2 seeds, got 1"),
        ([[0.8, 0.75, 0.7, 0.68], [0.81, 0.74, 0.71, 0.66]], SIZES, "does not rise"),
        ([[0.7, 0.7, 0.7, 0.7]] * 2, SIZES, "does not rise"),
        ([[0.5, 0.8, 0.5, 0.8], [0.51, 0.8, 0.5, 0.81]], SIZES, "more than seeds differ"),
    ],
    ids=["sizes", "seeds", "falls", "flat", "zigzag"],
)
def test_where_nothing_can_be_said_there_is_a_reason_and_no_expectation(scores, sizes, why):
    assert isinstance(fit_curve(sizes, scores), NoCurve)
    found = curves_of(rows(scores, sizes))
    assert why in found[0]["why"]
    assert not {"next", "points", "a"} & set(found[0])
    (line,) = curve_lines({"curves": found, **SETTINGS})
    assert line.startswith("Learning curve of gps: none, as ")
    assert why in line
    assert "expect" not in line


def test_the_sentence_is_the_interval_less_the_mean_at_the_largest_size():
    scores = around(lambda n: 0.9 - 3 / n, 0.01)
    (found,) = curves_of(rows(scores, diverged=1))
    there = found["next"]
    assert (there["from"], there["train_size"], found["train_sizes"]) == (80, 160, SIZES)
    expected = fit_curve(SIZES, scores).at(160)
    assert there["dice_ci80"] == [expected.low, expected.high]
    shown = 0.9 - 3 / 80
    assert there["gain"] == pytest.approx(expected.value - shown)
    assert there["gain_ci80"] == pytest.approx([expected.low - shown, expected.high - shown])
    line, note = curve_lines({"curves": [found], **SETTINGS})
    low, high = there["gain_ci80"]
    assert 0 < low < 3 / 160 < high
    assert f"from 80 to 160 training images expect {low:+.3f} to {high:+.3f} mDice" in line
    assert "(4 runs diverged; counted as is)" in line
    assert "3 seeds" in note
    assert "12 epochs (more images are also more training steps) and a learning rate" in note
    json.dumps(found)


def test_the_note_says_that_patience_ended_trainings_and_how_far_intervals_were_checked():
    for sizes, beyond in ((SIZES, False), ([2 * size for size in SIZES], True)):
        curves = curves_of(rows(around(lambda n: 0.9 - 3 / n, 0.01), sizes))
        settings = {"epochs": 200, "patience": 5, "lr_factors": (1.0,)}
        _, note = curve_lines({"curves": curves, "settings": settings})
        assert "settings: at most 200 epochs, fewer where patience 5 ended a training (more" in note
        assert note.endswith(" checked up to 160 images only, see docs/choose.md.") is beyond


def test_an_interval_with_no_gain_in_it_says_that_the_data_do_not():
    (found,) = curves_of(rows(around(lambda n: 0.8 - 0.4 / n, 0.05)))
    line, _ = curve_lines({"curves": [found], **SETTINGS})
    assert found["next"]["gain_ci80"][0] < 0
    assert "the data do not say whether 160 training images are better than 80" in line
    assert "expect" not in line


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((-0.0003, 0.0004), "from 80 to 160 training images expect no gain of 0.001 mDice or more"),
        ((-0.02, -0.01), "from 80 to 160 training images expect no gain of 0.001 mDice or more"),
        ((0.0002, 0.012), "the data do not say whether 160 training images are better than 80"),
        ((-0.0002, 0.012), "are better than 80: +0.000 to +0.012 mDice"),
        ((0.0006, 0.012), "from 80 to 160 training images expect +0.001 to +0.012 mDice"),
    ],
)
def test_words_agree_with_the_digits_that_are_shown(gains, said):
    (found,) = curves_of(rows(around(lambda n: 0.9 - 3 / n, 0.01)))
    changed = found | {"next": found["next"] | {"gain_ci80": list(gains)}}
    assert said in curve_lines({"curves": [changed], **SETTINGS})[0]


def test_each_method_has_its_curve_and_a_comparison_of_one_size_has_none():
    good, bad = around(lambda n: 0.9 - 3 / n, 0.01), around(lambda n: 0.5 + 1 / n, 0.0)
    found = curves_of([*rows(good), *rows(bad, method="full")])
    assert [(each["method"], "next" in each) for each in found] == [("gps", True), ("full", False)]
    assert curves_of([*rows(good[:, :1], [10]), *rows(bad[:, :1], [10], "full")]) == []
    assert curve_lines(SETTINGS) == []


def test_methods_with_one_reason_share_a_sentence():
    few = [row for name in ("gps", "full") for row in rows([[0.5, 0.6]] * 3, [20, 100], name)]
    assert curve_lines({"curves": curves_of(few), **SETTINGS}) == [
        "Learning curve of gps, full: none, as it needs 4 training sizes, got 2."
    ]


def test_a_curve_is_drawn_to_twice_the_largest_size_with_its_interval_from_there():
    both = rows(around(lambda n: 0.9 - 3 / n, 0.01)) + rows([[0.5] * 4] * 2, method="full")
    both = [row | {"dice_ci95": [row["dice"] - 0.02, row["dice"] + 0.02]} for row in both]
    curves = curves_of(both)
    points = curves[0]["points"]
    at = [point["train_size"] for point in points]
    assert (at[0], at[-1], at == sorted(at), 80.0 in at) == (10, 160, True, True)
    assert points[-1]["dice_ci80"] == curves[0]["next"]["dice_ci80"]
    plain, chart = score_against_size(both), score_against_size(both, curves)
    assert "goes on to 0.88" in chart.description
    assert "at 160 images" in chart.description
    assert (plain.svg.count("--band"), chart.svg.count("--band")) == (0, 1)
    assert chart.svg.count(">gps</text>") == chart.svg.count(">full</text>") == 1


@pytest.mark.parametrize("sizes", [SIZES, [80]])
def test_the_files_of_a_comparison_have_its_curves_and_those_of_one_size_none(
    tmp_path, tools, sizes
):
    settings = tools.config(tmp_path, methods=("gps",), lr_factors=(1.0,))
    for size in sizes:
        for seed, off in enumerate((-0.002, 0.002)):
            dice = [0.8 - 3 / size + off + image / 100 for image in range(4)]
            tools.finished(settings, Cell("gps", size, 1.0, seed), dice)
            run = tmp_path / "cells" / Cell("gps", size, 1.0, seed).name
            (run / "split.json").write_text(json.dumps({"train": [f"{i}" for i in range(size)]}))
    picked = {(size, "gps"): Cell("gps", size, 1.0, 0) for size in sizes}
    write_ranking(tmp_path, rank(settings, {g: [c] for g, c in picked.items()}, picked))
    written = json.loads((tmp_path / "compare.json").read_text())
    pages = [(tmp_path / f"compare.{end}").read_text() for end in ("md", "html")]
    if len(sizes) == 1:
        assert "curves" not in written
        assert not any("Learning curve" in text or "More training" in text for text in pages)
        return
    (curve,) = written["curves"]
    (sentence, note) = curve_lines(written)
    assert "from 80 to 160 training images expect +" in sentence
    assert all(sentence in text and note in text for text in pages)
    assert "The shaded end of a curve" in pages[1]
    listed = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    keys = [
        *curve,
        *(f"next.{k}" for k in curve["next"]),
        *(f"points.{k}" for k in curve["points"][0]),
    ]
    assert [k for k in keys if k not in ("next", "points") and f"`curves.{k}`" not in listed] == []
