"""The light list of methods, and what the commands know of protocols, are those of the packages."""

import pytest
import torch
from torch import nn

from gpsseg.benchmark.measure import PREPARE
from gpsseg.compare import compare
from gpsseg.config.benchmark import MEASURED
from gpsseg.config.compare import CompareConfig
from gpsseg.config.evaluate import PROTOCOLS, WITH_TOLERANCE
from gpsseg.config.finetune import FinetuneConfig, require_gradient
from gpsseg.config.methods import (
    BLIND,
    METHOD_OF_CRITERION,
    METHOD_OPTIONS,
    OF_SOME,
    SELECTING,
    SIGNED,
    TOLD,
    known_options,
    options_of,
    title_of,
)
from gpsseg.config.peft_tuners import SERVED
from gpsseg.config.select import SelectConfig
from gpsseg.config.study import StudyConfig
from gpsseg.errors import UserError
from gpsseg.evaluators import registry
from gpsseg.finetune import finetune
from gpsseg.gps.criteria import CRITERIA
from gpsseg.study import study
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
            never = method.selects.get("criterion") == "magnitude"  # would select the same again
            assert ("refresh" in options) == (not never)


def fixed_criterion(method):
    return method.selects["criterion"]


def test_gps_scores_by_the_gradient_alone(tmp_path):
    """Each criterion without one is another method's, which the sentence names."""
    without = {name for name, how in CRITERIA.items() if how.of_gradient is None}
    assert set(METHOD_OF_CRITERION) == without
    for criterion in CRITERIA:
        if criterion in without:
            other = METHOD_OF_CRITERION[criterion]
            with pytest.raises(UserError, match=f"Pass --method {other}"):
                finetune(FinetuneConfig(criterion=criterion))
            with pytest.raises(UserError, match=f"Pass --method {other}"):
                study(StudyConfig(criterion=criterion, output=tmp_path / "s"))
            methods = ("full", f"gps:criterion={criterion}")
            with pytest.raises(UserError, match=f"methods gps:.*Pass --method {other}"):
                compare(CompareConfig(methods=methods, output=tmp_path / "c"))
            assert SelectConfig(criterion=criterion).criterion == criterion
        else:
            require_gradient("gps", criterion)
    assert not [*tmp_path.iterdir()]


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


def test_criteria_that_can_be_mixed_into_are_those_whose_gradients_keep_their_signs():
    assert set(SIGNED) == {name for name, how in CRITERIA.items() if how.takes_batches}


def test_no_option_of_a_method_is_forgotten_where_a_delta_is_told_of():
    assert set(TOLD) == {*OF_SOME, "loss"} - {"selection_images"}


def test_protocols_and_measured_methods():
    assert set(PROTOCOLS) == set(registry())
    assert set(MEASURED) == {*PREPARE, "selection"}
    assert set(WITH_TOLERANCE) < set(PROTOCOLS)


def test_a_tuner_of_peft_has_its_options_in_its_name():
    assert options_of("peft:loha,rank=4") == known_options("peft:loha,rank=4") == ()
    assert known_options("of a later version") == OF_SOME
    assert FinetuneConfig(method="peft:loha,rank=4").method == "peft:loha,rank=4"
    with pytest.raises(UserError, match=r"--rank 4 has no effect here: it goes with --method lora"):
        FinetuneConfig(method="peft:loha", rank=4)


def test_a_tuner_of_peft_has_a_title_and_what_is_none_has_that_of_the_unknown():
    assert title_of("peft:loha") == "PEFT's tuner loha"
    assert title_of("peft:lokr,rank=4,alpha=2") == "PEFT's tuner lokr (rank=4, alpha=2)"
    assert title_of("peft:<b>,x", "unknown") == title_of("other", "unknown") == "unknown"
    assert title_of("other") == "other"


def test_the_help_names_the_tuners_that_are_served():
    import inspect

    shown = " ".join(inspect.getsource(FinetuneConfig).split())
    assert f"Served: {', '.join(SERVED)}." in shown
