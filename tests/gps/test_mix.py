"""Two rules share a selection."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gpsseg import gps
from gpsseg.errors import UserError


def scores_of(layer, total, criterion="gradient"):
    return gps.Scores(layer, gps.CRITERIA[criterion], {"weight": total}, ["weight"])


def chosen(layer, total, other, share, k, seed=0):
    top_k, first = {"weight": k}, scores_of(layer, total)
    mixed = gps.Mixed(first, first.by(other), share, top_k, seed)
    return gps.select(layer, mixed, top_k).indices["weight"].tolist()


def test_half_by_the_gradient_and_half_by_magnitude():
    """Gradient 9 8 1 1, magnitude 5 1 3 2: the gradient takes entry 0, magnitude then 2, not 0."""
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[5.0, 1.0, 3.0, 2.0]])
    total = torch.tensor([[9.0, -8.0, 1.0, 1.0]])
    assert chosen(layer, total, "magnitude", 0.5, 2) == [0, 2]
    assert chosen(layer, total, "magnitude", 0.5, 4) == [0, 1, 2, 3]


def test_with_one_entry_a_neuron_half_of_the_neurons_have_the_other_rule():
    layer = nn.Linear(2, 4, bias=False)
    layer.weight.data = torch.tensor([[0.0, 1.0]]).repeat(4, 1)
    total = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    found = [index % 2 for index in chosen(layer, total, "magnitude", 0.5, 1)]
    assert sorted(found) == [0, 0, 1, 1]


@given(
    k=st.integers(1, 5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
    neurons=st.integers(1, 9),
)
@settings(max_examples=25, deadline=None)
def test_each_neuron_has_k_and_the_layer_its_share(k, share, seed, neurons):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(5, neurons, bias=False)
    total = torch.rand(neurons, 5, generator=generator) + 0.1
    mixed = gps.Mixed(
        *(scores_of(layer, total), scores_of(layer, total).by("random")), share, {"weight": k}, seed
    )
    rows = mixed.rows("weight")
    index = gps.select(layer, mixed, {"weight": k}).indices["weight"]
    assert torch.bincount(index.long() // 5, minlength=neurons).tolist() == [k] * neurons
    first = int((rows > 1).sum())
    assert abs(first - (1 - share) * k * neurons) <= 0.5 + 1e-6
    best = total.topk(k, dim=1).indices
    assert all(
        set((rows[n] > 1).nonzero().flatten().tolist()) <= set(best[n].tolist())
        for n in range(neurons)
    )


def test_what_is_chosen_first_is_above_all_else_also_with_a_score_of_zero():
    """Half of the neurons have their entry by the gradient, which is zero everywhere."""
    layer = nn.Linear(3, 8, bias=False)
    layer.weight.data = torch.tensor([[0.0, 0.0, 5.0]]).repeat(8, 1)
    total = torch.zeros(8, 3)
    total[:, 1] = torch.tensor([0.0, 1e-30] * 4)
    first = scores_of(layer, total)
    mixed = gps.Mixed(first, first.by("magnitude"), 0.5, {"weight": 1}, 0)
    rows, own = mixed.rows("weight"), mixed.chosen_first("weight")
    assert own.sum(dim=1).tolist() == mixed.numbers_first("weight", 8, 3).tolist()
    assert own.sum() == 4
    assert rows[own].min() > rows[~own].max()
    whole = gps.select(layer, mixed, {"weight": 1}).indices["weight"]
    alone = gps.chosen_first(layer, mixed).indices["weight"]
    assert torch.isin(alone, whole).all()
    assert alone.tolist() == own.flatten().nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("total", "other", "k", "expected"),
    [
        ([5.0, 5.0, 1.0, 0.0], "magnitude", 2, 1),  # 5 and 5, of which one is chosen first
        ([9.0, 5.0, 5.0, 0.0], "magnitude", 2, 0),  # which magnitude does not look at
        ([9.0, 4.0, 4.0, 0.0], "taylor", 2, 1),  # of what is left by taylor 4 and 4
        ([9.0, 9.0, 4.0, 4.0], "taylor", 2, 1),  # 9 and 9; then 9 is far above 4
        ([9.0, 9.0, 9.0, 9.0], "magnitude", 4, 0),  # all are chosen
    ],
)
def test_each_rule_s_ties_are_counted(total, other, k, expected):
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.ones(1, 4)
    first = scores_of(layer, torch.tensor([total]))
    mixed = gps.Mixed(first, first.by(other), 0.5, {"weight": k}, 0)
    assert gps.within_rounding(mixed, {"weight": k}) == expected


def test_a_draw_is_the_seeds_and_disturbs_no_other():
    layer, total = nn.Linear(50, 8, bias=False), torch.rand(8, 50)
    before = torch.get_rng_state()
    found = [chosen(layer, total, "random", 0.5, 4, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_only_rules_of_the_same_sums_can_share():
    layer = nn.Linear(2, 1)
    with pytest.raises(UserError, match="adds up something else"):
        scores_of(layer, torch.ones(1, 2)).by("fisher")
    with pytest.raises(UserError, match="adds up something else"):
        scores_of(layer, torch.ones(2), "fps").by("gradient")
