import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gpsseg.errors import UserError
from gpsseg.evaluators.statistics import (
    bootstrap_interval,
    by_stratum,
    holm,
    paired_comparison,
    resample_totals,
    unit_totals,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_units_are_summed_by_group():
    totals = unit_totals([[1.0], [2.0], [4.0], [8.0]], ["a", None, "a", None])
    assert totals.tolist() == [[2.0, 1.0], [5.0, 2.0], [8.0, 1.0]]


def test_the_resample_does_not_depend_on_its_blocks():
    totals = unit_totals(np.arange(3000.0).reshape(-1, 1))
    sums = resample_totals(totals, draws=2000)
    assert sums.shape == (2000, 2)
    assert (sums[:, 1] == 3000).all()
    assert sums[:, 0].std() == pytest.approx(3000**0.5 * np.arange(3000).std(), rel=0.05)


@given(SCORES)
def test_interval_holds_the_mean_and_is_reproducible(values):
    low, high = bootstrap_interval(values, draws=500)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert bootstrap_interval(values, draws=500) == (low, high)


@given(SCORES, st.randoms())
def test_interval_does_not_depend_on_the_order(values, random):
    groups = [random.choice(["a", "b", None]) for _ in values]
    pairs = list(zip(values, groups, strict=True))
    random.shuffle(pairs)
    shuffled, their_groups = zip(*pairs, strict=True)
    assert bootstrap_interval(values, draws=100) == bootstrap_interval(shuffled, draws=100)
    expected = bootstrap_interval(values, groups, draws=100)
    assert bootstrap_interval(shuffled, their_groups, draws=100) == pytest.approx(expected)


def test_seeds_differ_a_little():
    values = np.random.default_rng(0).random(50)
    one, other = bootstrap_interval(values, seed=0), bootstrap_interval(values, seed=1)
    assert one != other
    assert one == pytest.approx(other, abs=0.03)


def test_scipy_agrees_within_resampling_noise():
    values = np.random.default_rng(1).beta(8, 2, 120)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=9999, method="percentile")
    expected = oracle.confidence_interval.low, oracle.confidence_interval.high
    assert bootstrap_interval(values, draws=9999) == pytest.approx(expected, abs=2e-3)


def test_frames_of_one_patient_count_once():
    values = np.repeat(np.random.default_rng(2).random(10), 20)
    patients = np.repeat([f"p{i}" for i in range(10)], 20).tolist()
    frames = np.subtract(*bootstrap_interval(values)[::-1])
    grouped = np.subtract(*bootstrap_interval(values, patients)[::-1])
    assert grouped > 3 * frames


def test_95_percent_intervals_cover():
    rng = np.random.default_rng(3)
    intervals = [bootstrap_interval(rng.random(60), draws=400, seed=i) for i in range(300)]
    covered = np.mean([low <= 0.5 <= high for low, high in intervals])
    assert 0.9 <= covered <= 0.99


def test_bad_values_are_refused():
    with pytest.raises(UserError, match="no images"):
        bootstrap_interval([])
    with pytest.raises(UserError, match="not a finite number"):
        bootstrap_interval([0.5, float("nan")])
    with pytest.raises(UserError, match="1 groups for 2 images"):
        bootstrap_interval([0.5, 0.6], ["a"])


def test_paired_comparison():
    rng = np.random.default_rng(4)
    b = rng.random(40)
    a = b + 0.05 + rng.normal(0, 0.01, 40)
    result = paired_comparison(a, b)
    assert result.difference == pytest.approx((a - b).mean())
    assert 0.04 < result.interval[0] < result.interval[1] < 0.06
    assert result.p_value == pytest.approx(stats.wilcoxon(a - b).pvalue)
    assert (result.images, result.units) == (40, 40)
    reverse = paired_comparison(b, a)
    assert reverse.difference == pytest.approx(-result.difference)
    assert reverse.p_value == pytest.approx(result.p_value)


def test_paired_comparison_of_equal_runs():
    result = paired_comparison([0.5, 0.7], [0.5, 0.7])
    assert (result.difference, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_paired_comparison_by_group():
    a, b = np.full(30, 0.6), np.full(30, 0.5)
    result = paired_comparison(a, b, ["x"] * 15 + ["y"] * 15)
    assert (result.images, result.units) == (30, 2)
    assert result.p_value == pytest.approx(0.5)
    with pytest.raises(UserError, match="30 scores against 29"):
        paired_comparison(a, b[1:])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_strata():
    strata = by_stratum([0.1, 0.3, 0.8, 1.0], [0.0, 0.005, 0.2, 1.0])
    assert [stratum.images for stratum in strata] == [2, 0, 0, 2]
    assert strata[0].mean == pytest.approx(0.2)
    assert strata[3].mean == pytest.approx(0.9)
    assert np.isnan(strata[1].mean)
    assert (strata[3].low, strata[3].high) == (0.15, 1.0)
    with pytest.raises(UserError, match="expected shares"):
        by_stratum([0.1], [700.0])
