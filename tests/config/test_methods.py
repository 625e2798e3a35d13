"""The light list of methods, and what the commands know of protocols, are those of the packages."""

import torch
from torch import nn

from gpsseg.benchmark.measure import PREPARE
from gpsseg.config.benchmark import MEASURED
from gpsseg.config.evaluate import PROTOCOLS, WITH_TOLERANCE
from gpsseg.config.methods import BLIND, METHOD_OPTIONS, SELECTING
from gpsseg.evaluators import registry
from gpsseg.gps.criteria import CRITERIA
from gpsseg.tuning import METHODS


def test_every_method_is_listed_with_the_options_that_it_reads():
    assert set(METHOD_OPTIONS) == set(METHODS)
    for name, method in METHODS.items():
        options = set(METHOD_OPTIONS[name])
        assert (set(SELECTING) <= options) == (method.selects is not None)
        fixed = set(method.selects or {})
        assert not fixed & options, "what a method sets itself is no option of it"
        if method.selects is not None:
            blind = method.selects.get("criterion") in BLIND
            never = {"selection_images"} if blind else set()
            never |= {"refresh"} if method.selects.get("criterion") == "magnitude" else set()
            own = {"criterion", "level", "selection_images", "refresh"}
            assert options == {*SELECTING, *own} - fixed - never


def test_the_methods_with_a_rank_are_those_that_it_changes():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.two(self.one(x))

    for name, method in METHODS.items():
        if method.adds is None:
            assert "rank" not in METHOD_OPTIONS[name]
            continue
        sizes = []
        for rank in (1, 2):
            torch.manual_seed(0)
            net = nn.Sequential(Block(), Block())
            weights = [n for n, _ in net.named_parameters()]
            method.adds(net, weights, list(net), rank)
            sizes.append(sum(p.numel() for p in net.parameters()))
        assert (sizes[0] != sizes[1]) == ("rank" in METHOD_OPTIONS[name]), name


def test_blind_criteria_are_those_without_gradient():
    assert set(BLIND) == {name for name, how in CRITERIA.items() if how.of_gradient is None}


def test_protocols_and_measured_methods():
    assert set(PROTOCOLS) == set(registry())
    assert set(MEASURED) == {*PREPARE, "selection"}
    assert set(WITH_TOLERANCE) < set(PROTOCOLS)
