"""The batch size that is measured: what is tried, what is taken, and what memory allows."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gpsseg.engine import batch_size
from gpsseg.engine.batch_size import (
    find_batch_size,
    most_images,
    sizes_to_try,
    step_timer,
    worth_it,
)
from gpsseg.engine.machine import make_machine

SECONDS = st.floats(1e-4, 1e3)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([1.0], 1),
        ([1.0, 2.0], 1),  # 1 image a second, and 1 again
        ([1.0, 1.8], 2),  # 1.11 times as many: worth it
        ([1.0, 1.9], 1),  # 1.05 times
        ([1.0, 1.0, 1.0, 1.7], 8),  # 1, 2, 4 and 4.7 images a second
        ([1.0, 1.0, 1.0, 1.9], 4),  # 4.2 are 1.05 times 4
        ([1.0, 2.0, 2.0], 1),  # what was not worth it ends it, whatever comes after
        ([1.0, None], 1),
        ([1.0, 1.2, None, 0.1], 2),
    ],
)
def test_twice_the_images_are_worth_it_for_a_tenth_more_a_second(seconds, expected):
    assert worth_it([(2**i, each) for i, each in enumerate(seconds)]) == expected


@given(st.lists(SECONDS, min_size=1, max_size=7), st.integers(0, 7))
def test_what_is_taken_was_tried_and_each_step_up_to_it_paid(seconds, short):
    """``short`` is the first size for which memory does not suffice; one image always goes."""
    known = {2**i: None if i >= max(1, short) else each for i, each in enumerate(seconds)}
    asked = []
    tried = find_batch_size(known, lambda size: (asked.append(size), known[size])[1])
    best = worth_it(tried)
    assert asked == [size for size, _ in tried] == list(known)[: len(tried)]
    assert best == worth_it(list(known.items())), "what comes after does not matter"
    assert asked[-1] in (best, 2 * best), "nothing is tried once it does not pay"
    rates = [size / known[size] for size in known if size <= best]
    assert all(1.1 * a <= b * (1 + 1e-12) for a, b in itertools.pairwise(rates))


@given(st.integers(1, 100_000), st.integers(1, 50), st.integers(1, 4))
def test_a_training_keeps_two_hundred_updates_where_it_can(seen, accumulate, usual):
    most = most_images(seen, accumulate, usual)
    assert usual <= most <= 64
    assert most == usual or most * accumulate * 200 <= seen
    assert most == 64 or (most + 1) * accumulate * 200 > seen, "and no more"
    sizes = sizes_to_try(most)
    assert sizes == [2**i for i in range(len(sizes))]
    assert sizes[-1] <= most < 2 * sizes[-1]


class Net(nn.Module):
    """A convolution that fails from so many images on."""

    def __init__(self, most=99, error="CUDA out of memory. Tried to allocate 2 GiB"):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)
        self.most, self.error, self.seen = most, error, []

    def forward(self, image):
        self.seen.append(len(image))
        if len(image) > self.most:
            raise RuntimeError(self.error)
        return self.layer(image)


def timer_of(net, **more):
    return step_timer(net, make_machine("cpu", "fp32"), 8, "none", **more)


def test_steps_are_timed_and_leave_the_network_as_it_was():
    net = Net()
    before = net.layer.weight.detach().clone()
    seconds = timer_of(net)(4)
    assert 0 < seconds < 10
    assert net.seen == [4, 4, 4, 4], "one to warm up"
    assert torch.equal(net.layer.weight, before)
    assert net.layer.weight.grad is None


def test_memory_that_runs_out_ends_it_unless_one_image_does_not_go():
    assert timer_of(Net(most=1))(2) is None
    with pytest.raises(RuntimeError, match="out of memory"):
        timer_of(Net(most=0))(1)
    with pytest.raises(RuntimeError, match="shapes"):
        timer_of(Net(most=1, error="shapes differ"))(2)


@pytest.mark.parametrize(
    ("free", "processes", "fits"), [(26, 1, True), (24, 1, False), (26, 2, False)]
)
def test_no_step_begins_that_free_memory_would_not_hold(monkeypatch, free, processes, fits):
    """A step of 1 takes 10 MB, so one of 2 is expected to take 20, four fifths of 25."""
    net, peaks = Net(), iter([100.0, 110.0, 100.0, 110.0])
    monkeypatch.setattr(batch_size, "peak_memory_mb", lambda device, reset=False: next(peaks))
    monkeypatch.setattr(batch_size, "free_memory", lambda: (free * 2**20, 1e12))
    seconds_of = timer_of(net, at_a_time=processes)
    assert seconds_of(1) is not None
    assert (seconds_of(2) is not None) == fits
    assert (2 in net.seen) == fits
