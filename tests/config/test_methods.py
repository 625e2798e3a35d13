"""The light list of methods, and what the commands know of protocols, are those of the packages."""

import pytest
import torch
from torch import nn

from gpsseg.benchmark.measure import PREPARE
from gpsseg.config.benchmark import MEASURED
from gpsseg.config.evaluate import PROTOCOLS, WITH_TOLERANCE
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.methods import BLIND, METHOD_OF_CRITERION, METHOD_OPTIONS, SELECTING
from gpsseg.config.select import SelectConfig
from gpsseg.errors import UserError
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
            if "criterion" not in fixed:
                assert {"criterion", "mix", "mix_share", "level"} <= options
            else:
                assert METHOD_OF_CRITERION[fixed_criterion(method)] == name
            assert ("selection_images" in options) == (not blind)


def fixed_criterion(method):
    return method.selects["criterion"]


def test_gps_scores_by_the_gradient_alone():
    """Each criterion without one is another method's, which the sentence names."""
    without = {name for name, how in CRITERIA.items() if how.of_gradient is None}
    assert set(METHOD_OF_CRITERION) == without
    for criterion in CRITERIA:
        if criterion in without:
            other = METHOD_OF_CRITERION[criterion]
            with pytest.raises(UserError, match=f"Pass --method {other}"):
                FinetuneConfig(criterion=criterion)
            assert SelectConfig(criterion=criterion).criterion == criterion
        else:
            assert FinetuneConfig(criterion=criterion).criterion == criterion


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


def test_blind_criteria_are_those_that_look_at_no_image():
    assert set(BLIND) == {name for name, how in CRITERIA.items() if how.is_blind}


def test_protocols_and_measured_methods():
    assert set(PROTOCOLS) == set(registry())
    assert set(MEASURED) == {*PREPARE, "selection"}
    assert set(WITH_TOLERANCE) < set(PROTOCOLS)
