import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gpsseg.evaluators.counts import (
    Counts,
    Histogram,
    count_pixels,
    histogram,
    min_max,
    normalised,
    quantise,
    sweep_levels,
)

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=12)


def test_counts_by_hand():
    prediction = np.array([[True, True, False], [False, True, False]])
    truth = np.array([[True, False, False], [True, True, False]])
    counts = count_pixels(prediction, truth)
    assert counts == Counts(tp=2, fp=1, fn=1, tn=2)
    assert (counts.prediction, counts.truth) == (3, 3)


def test_histogram_by_hand():
    levels = np.array([[0, 7], [7, 255]], dtype=np.uint8)
    result = histogram(levels, np.array([[False, True], [False, True]]))
    assert result.foreground[[0, 7, 255]].tolist() == [0, 1, 1]
    assert result.background[[0, 7, 255]].tolist() == [1, 1, 0]
    assert result.at_least(8) == Counts(tp=1, fp=0, fn=1, tn=2)


@given(st.data())
def test_histogram_serves_every_threshold_of_an_8_bit_map(data):
    shape = data.draw(SHAPES)
    levels = data.draw(arrays(np.uint8, shape))
    truth = data.draw(arrays(bool, shape))
    counted = histogram(levels, truth)
    for level in (0, 1, 100, 127, 128, 129, 255):
        assert counted.at_least(level) == count_pixels(levels >= level, truth)
    assert counted.at_least(256).prediction == 0


def test_every_threshold_splits_float64_exactly():
    """`floor(255 p)` and `p >= k / 255` agree on both sides of all 256 thresholds."""
    thresholds = np.arange(256) / 255
    assert sweep_levels(thresholds).tolist() == list(range(256))
    below = np.nextafter(thresholds[1:], 0)
    assert sweep_levels(below).tolist() == list(range(255))
    above = np.nextafter(thresholds[:-1], 1)
    assert sweep_levels(above).tolist() == list(range(255))


@given(st.data())
def test_sweep_is_the_rule_applied_256_times(data):
    shape = data.draw(SHAPES)
    elements = st.floats(0, 1, width=32)
    probability = data.draw(arrays(np.float32, shape, elements=elements))
    truth = data.draw(arrays(bool, shape))
    stretched = min_max(probability)
    tp, fp = histogram(sweep_levels(stretched), truth).sweep()
    for k in range(256):
        counts = count_pixels(stretched >= (255 - k) / 255, truth)
        assert (tp[k], fp[k]) == (counts.tp, counts.fp)


@pytest.mark.parametrize("low", range(0, 256, 17))
def test_normalising_the_histogram_is_normalising_the_map(low):
    for high in range(low, 256, 5):
        levels = np.arange(low, high + 1, dtype=np.uint8)
        truth = levels % 3 == 0
        direct = histogram(sweep_levels(min_max(levels)), truth)
        by_histogram = normalised(histogram(levels, truth))
        assert (direct.foreground == by_histogram.foreground).all()
        assert (direct.background == by_histogram.background).all()


def test_8_bit_and_the_same_float_map_sweep_alike():
    levels = np.arange(20, 200, dtype=np.uint8).reshape(20, 9)
    assert (sweep_levels(min_max(levels)) == sweep_levels(min_max(levels / 255.0))).all()


def test_min_max_stretches_and_leaves_constants():
    assert min_max(np.array([[0.25, 0.75]])).tolist() == [[0.0, 1.0]]
    assert min_max(np.full((2, 2), 0.3)).tolist() == [[0.3, 0.3], [0.3, 0.3]]
    assert min_max(np.full((1, 2), 51, np.uint8)).tolist() == [[0.2, 0.2]]


def test_quantising_rounds_to_the_nearest_level():
    assert quantise(np.array([0.0, 0.4999, 0.5, 1.0])).tolist() == [0, 127, 128, 255]
    levels = np.array([3], np.uint8)
    assert quantise(levels) is levels


def test_quantising_is_not_sweeping():
    """A float just under a threshold rounds up across it; the sweep must not see that."""
    probability = np.array([0.0, 0.4999 / 0.9998, 1.0])
    probability[1] = 127.6 / 255
    assert quantise(probability)[1] == 128
    assert sweep_levels(min_max(probability))[1] == 127


def test_histograms_pool():
    one = histogram(np.zeros((2, 2), np.uint8), np.eye(2, dtype=bool))
    both = one + one
    assert isinstance(both, Histogram)
    assert both.foreground[0] == 4
    assert both.background.sum() == 4
