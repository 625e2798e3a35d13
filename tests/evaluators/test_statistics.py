import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gpsseg.errors import UserError
from gpsseg.evaluators import by_stratum
from gpsseg.evaluators.statistics import estimates, holm, mean_estimate, paired_comparison
from gpsseg.evaluators.units import unit_totals
from gpsseg.evaluators.words import varied_text

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=20)


def test_units_are_summed_by_group():
    totals = unit_totals([[1.0], [2.0], [4.0], [8.0]], ["a", None, "a", None])
    assert totals.tolist() == [[2.0, 1.0], [5.0, 2.0], [8.0, 1.0]]


def test_every_seed_keeps_its_own_totals_of_a_unit():
    columns = np.array([[[1.0], [2.0], [4.0]], [[10.0], [20.0], [40.0]]])
    totals = unit_totals(columns, ["a", "b", "a"])
    assert totals.tolist() == [[[2.0, 1.0], [5.0, 2.0]], [[20.0, 1.0], [50.0, 2.0]]]


def test_an_interval_over_images_is_students():
    values = np.random.default_rng(0).random(40)
    found = mean_estimate(values)
    assert found.value == pytest.approx(values.mean())
    expected = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert found.interval == pytest.approx(expected)
    assert found.varied == {"resampled": "image", "units": 40, "seeds": 1}


def test_an_interval_over_groups_of_one_size_is_students_over_their_means():
    values = np.random.default_rng(1).random((8, 5)) * 0.2 + np.linspace(0.3, 0.6, 8)[:, None]
    found = mean_estimate(values.ravel(), np.repeat([f"p{i}" for i in range(8)], 5).tolist())
    means = values.mean(1)
    expected = stats.t.interval(0.95, 7, means.mean(), stats.sem(means))
    assert found.interval == pytest.approx(expected)
    assert found.varied == {"resampled": "group", "units": 8, "seeds": 1}


def test_an_interval_over_groups_of_unequal_size_is_of_the_means_without_each():
    """Without a, b or c the mean is 2.7 / 4, 2.4 / 5 or 1.5 / 3; a group's sum says nothing."""
    values, groups = [0.2, 0.4, 0.9, 0.6, 0.6, 0.6], ["a", "a", "b", "c", "c", "c"]
    found = mean_estimate(values, groups, (-9.0, 9.0))
    without = np.array([0.675, 0.48, 0.5])
    variance = 2 / 3 * ((without - without.mean()) ** 2).sum()
    degrees = 1 / (1 / 9 + 1 / 36 + 1 / 4) - 1
    margin = stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    assert found.value == pytest.approx(0.55)
    assert found.interval == pytest.approx((0.55 - margin, 0.55 + margin))


def test_seeds_and_images_are_crossed_as_in_the_analysis_of_variance():
    """Mean squares by hand: variance (MS_seed + MS_image - MS_both) / (seeds * images)."""
    rng = np.random.default_rng(2)
    scores = 0.5 + rng.normal(0, 0.05, (4, 1)) + rng.normal(0, 0.05, (1, 30))
    scores = scores + rng.normal(0, 0.02, (4, 30))
    rows, columns, mean = scores.mean(1), scores.mean(0), scores.mean()
    of_seeds = 30 * ((rows - mean) ** 2).sum() / 3
    of_images = 4 * ((columns - mean) ** 2).sum() / 29
    both = ((scores - rows[:, None] - columns + mean) ** 2).sum() / (3 * 29)
    variance = (of_seeds + of_images - both) / 120
    share = (of_seeds - both) / 120 / variance
    critical = share * stats.t.isf(0.025, 3) + (1 - share) * stats.t.isf(0.025, 29)
    found = mean_estimate(scores)
    margin = critical * variance**0.5
    assert found.interval == pytest.approx((mean - margin, mean + margin))
    assert found.varied == {"resampled": "image", "units": 30, "seeds": 4}


def test_a_pooled_ratio_has_the_jackknifes_interval():
    counts = np.random.default_rng(3).integers(1, 50, (12, 2)).astype(float)

    def ratio(sums):
        return {"share": sums[:, 0] / (sums[:, 0] + sums[:, 1])}

    found = estimates(counts, ratio)["share"]
    total = counts.sum(0)
    without = [ratio((total - row)[None])["share"][0] for row in counts]
    error = (11 / 12 * ((without - np.mean(without)) ** 2).sum()) ** 0.5
    expected = total[0] / total.sum()
    assert found.value == pytest.approx(expected)
    weights = np.full(12, 1 / 12)
    margin = stats.t.isf(0.025, 1 / (weights**2).sum() - 1) * error
    assert found.interval == pytest.approx((expected - margin, expected + margin))


@given(SCORES)
def test_interval_holds_the_mean_and_stays_within_what_a_score_can_be(values):
    found = mean_estimate(values)
    if found.interval is None:
        assert np.ptp(values) < 1e-10
        return
    low, high = found.interval
    assert 0 <= low <= found.value + 1e-12
    assert found.value - 1e-12 <= high <= 1


@given(SCORES, st.randoms())
def test_no_result_depends_on_the_order_of_images(values, random):
    groups = [random.choice(["a", "b", None]) for _ in values]
    pairs = list(zip(values, groups, strict=True))
    random.shuffle(pairs)
    shuffled, their_groups = zip(*pairs, strict=True)
    first, second = mean_estimate(values), mean_estimate(shuffled)
    assert (first.value, first.interval, first.why) == (second.value, second.interval, second.why)
    one, other = mean_estimate(values, groups), mean_estimate(shuffled, their_groups)
    assert one.value == pytest.approx(other.value)
    assert one.interval == other.interval is None or one.interval == pytest.approx(other.interval)


def test_frames_of_one_patient_count_once():
    values = np.repeat(np.random.default_rng(2).random(10), 20)
    patients = np.repeat([f"p{i}" for i in range(10)], 20).tolist()
    frames = np.subtract(*mean_estimate(values).interval[::-1])
    grouped = np.subtract(*mean_estimate(values, patients).interval[::-1])
    assert grouped > 3 * frames


def test_one_patient_with_most_of_the_images_leaves_hardly_any_freedom():
    """Twelve patients, one with 90 of 101 images: Student's t with 1 degree, not 11."""
    rng = np.random.default_rng(4)
    groups = ["large"] * 90 + [f"p{i}" for i in range(11)]
    values = rng.normal(0.5, 0.01, 101)
    even = mean_estimate(values, [f"p{i % 12}" for i in range(101)]).interval
    uneven = mean_estimate(values, groups).interval
    assert np.subtract(*uneven[::-1]) > 3 * np.subtract(*even[::-1])


@pytest.mark.parametrize(
    ("groups", "why"), [(None, "one image: no interval"), (["p1"], "one group: no interval")]
)
def test_one_unit_has_no_interval(groups, why):
    found = mean_estimate([0.992], groups)
    assert (found.value, found.interval, found.p_value, found.why) == (0.992, None, None, why)


def test_three_images_of_one_patient_have_no_interval_either():
    found = mean_estimate([0.1, 0.5, 0.9], ["p", "p", "p"])
    assert (found.interval, found.why) == (None, "one group: no interval")


def test_bad_values_are_refused():
    with pytest.raises(UserError, match="no images"):
        mean_estimate([])
    with pytest.raises(UserError, match="not a finite number"):
        mean_estimate([0.5, float("nan")])
    with pytest.raises(UserError, match="1 groups for 2 images"):
        mean_estimate([0.5, 0.6], ["a"])


def test_two_networks_are_compared_by_students_t_over_images():
    rng = np.random.default_rng(4)
    b = rng.random(40)
    a = b + 0.005 + rng.normal(0, 0.01, 40)
    result = paired_comparison(a, b)
    oracle = stats.ttest_rel(a, b)
    assert result.value == pytest.approx((a - b).mean())
    assert result.interval == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    assert result.p_value == pytest.approx(oracle.pvalue)
    reverse = paired_comparison(b, a)
    assert reverse.value == pytest.approx(-result.value)
    assert reverse.p_value == pytest.approx(result.p_value)


def test_an_interval_of_a_difference_ends_where_a_difference_can():
    """Of two scores in 0..1 it lies in -1..1: of three images Student's reaches beyond."""
    a, b = np.array([1.0, 1.0, 0.3]), np.zeros(3)
    beyond = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert beyond.high > 1
    assert paired_comparison(a, b).interval == pytest.approx((beyond.low, 1.0))
    assert paired_comparison(b, a).interval == pytest.approx((-1.0, -beyond.low))


def test_the_p_value_is_5_percent_where_the_interval_ends_at_zero():
    rng = np.random.default_rng(5)
    a = rng.normal(0.02, 0.05, (3, 1)) + rng.normal(0, 0.1, (3, 60)) + 0.5
    found = paired_comparison(a, np.full_like(a, 0.5))
    half = found.value - found.interval[0]
    at_zero = paired_comparison(a - found.value + half, np.full_like(a, 0.5))
    assert at_zero.interval[0] == pytest.approx(0, abs=1e-12)
    assert at_zero.p_value == pytest.approx(0.05)


def test_equal_runs_do_not_differ():
    result = paired_comparison([0.5, 0.7, 0.1, 0.2, 0.3], [0.5, 0.7, 0.1, 0.2, 0.3])
    assert (result.value, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_too_few_units_or_seeds_give_no_p_value_and_say_why():
    a, b = np.linspace(0.5, 0.9, 30), np.linspace(0.4, 0.9, 30)
    few = paired_comparison(a, b, ["x"] * 10 + ["y"] * 10 + ["z"] * 10)
    assert few.p_value is None
    assert few.why == "3 groups, and a p-value needs 5"
    assert few.interval is not None
    one, two = (paired_comparison(np.stack([a] * n), np.stack([b] * n)) for n in (1, 2))
    assert one.why.startswith("1 seed, and a p-value of what another seed may bring needs 3")
    assert two.why.startswith("2 seeds, ")
    assert one.p_value is two.p_value is None
    assert paired_comparison(a, b).p_value is not None, "of these two networks there is one"
    assert paired_comparison(np.stack([a] * 3), np.stack([b] * 3)).p_value is not None


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_scores_that_are_all_alike_have_no_interval(value):
    found = mean_estimate([value] * 5)
    assert (found.value, found.interval, found.p_value) == (value, None, None)
    assert found.why == "all 5 images alike: no interval"


def test_rounding_is_no_difference():
    a = np.linspace(0.1, 0.9, 9)
    found = paired_comparison(a + 1e-17 * np.arange(9), a * (1 + 1e-16))
    assert (found.value, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_images_without_a_group_are_counted_as_such():
    found = mean_estimate([0.1, 0.2, 0.3, 0.4, 0.6], ["a", "a", None, None, "b"])
    assert found.varied == {"resampled": "group", "units": 4, "seeds": 1, "ungrouped": 2}
    assert varied_text(found.varied) == "4 groups (2 of them images without a group)"
    assert "ungrouped" not in mean_estimate([0.1, 0.2], ["a", "b"]).varied


def test_a_difference_that_never_varies_cannot_be_tested():
    result = paired_comparison(np.full(30, 0.6), np.full(30, 0.5))
    assert (result.interval, result.p_value) == (None, None)
    assert result.why == "all 30 images alike: no interval"
    with pytest.raises(UserError, match="30 scores against 29"):
        paired_comparison(np.full(30, 0.6), np.full(29, 0.6))


# What a true null and the truth look like, as (seeds', groups', shared, images') spread.
WORLDS = {
    "images": (0.0, 0.0, 0.0, 0.1),
    "groups": (0.0, 0.1, 0.02, 0.1),
    "seeds": (0.1, 0.03, 0.03, 0.1),
    "all": (0.05, 0.1, 0.05, 0.1),
}
DRAWS = 1000
NOISE = 3 * (0.05 * 0.95 / DRAWS) ** 0.5  # three standard errors of a share of 5 %


def world(rng, seeds, groups, spreads, images=8):
    """Differences (seeds, groups * images) around 0, and the images' groups."""
    of_seeds, of_groups, shared, of_images = spreads
    grouped = rng.normal(0, of_groups, (1, groups)) + rng.normal(0, shared, (seeds, groups))
    scores = np.repeat(grouped + rng.normal(0, of_seeds, (seeds, 1)), images, axis=1)
    names = np.repeat([f"p{i}" for i in range(groups)], images).tolist()
    return scores + rng.normal(0, of_images, scores.shape), names


@pytest.mark.parametrize("seeds", [1, 3, 10])
@pytest.mark.parametrize("groups", [5, 20])
@pytest.mark.parametrize("spreads", WORLDS.values(), ids=WORLDS)
def test_a_true_null_is_rejected_in_5_percent_and_intervals_cover_95(seeds, groups, spreads):
    """With one seed the networks are given; with more, seeds vary as well."""
    rng = np.random.default_rng([seeds, groups, *(int(100 * s) for s in spreads)])
    rejected = covered = 0
    for _ in range(DRAWS):
        scores, names = world(rng, seeds, groups, spreads)
        if seeds == 1:
            scores = world(rng, 1, groups, (0.0, *spreads[1:]))[0][0]
        found = mean_estimate(scores, names, (-1.0, 1.0))
        rejected += found.p_value < 0.05
        covered += found.interval[0] <= 0 <= found.interval[1]
    assert rejected / DRAWS <= 0.05 + NOISE
    assert covered / DRAWS >= 0.95 - NOISE
    if spreads == WORLDS["groups"]:
        assert rejected / DRAWS >= 0.05 - NOISE, "nor is anything given away"


def test_what_forgets_groups_or_seeds_would_not_pass():
    """The worlds above do tell: without groups, or by the mean over seeds, they are not passed."""
    rng, rejected = np.random.default_rng(6), np.zeros(2)
    for _ in range(200):
        scores, names = world(rng, 3, 10, (0.1, 0.1, 0.05, 0.1))
        rejected[0] += mean_estimate(scores[0], None, (-1.0, 1.0)).p_value < 0.05
        rejected[1] += mean_estimate(scores.mean(0), names, (-1.0, 1.0)).p_value < 0.05
    assert (rejected > 0.15 * 200).all()


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([None, 0.2]) == [None, 0.2], "what was not tested does not count"


def test_strata():
    strata = by_stratum([0.1, 0.3, 0.8, 1.0], [0.0, 0.005, 0.2, 1.0])
    assert [stratum.images for stratum in strata] == [2, 0, 0, 2]
    assert strata[0].score.value == pytest.approx(0.2)
    assert strata[3].score.value == pytest.approx(0.9)
    assert strata[1].score is None
    assert (strata[3].low, strata[3].high) == (0.15, 1.0)
    with pytest.raises(UserError, match="expected shares"):
        by_stratum([0.1], [700.0])


def test_strata_vary_whole_groups():
    values, sizes = [0.1, 0.2, 0.8, 0.9], [0.2] * 4
    (stratum,) = [s for s in by_stratum(values, sizes, groups=["a", "a", "b", "b"]) if s.images]
    assert stratum.score.varied == {"resampled": "group", "units": 2, "seeds": 1}
