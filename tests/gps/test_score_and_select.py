"""Scores and selection, on networks small enough to work out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gpsseg import gps
from gpsseg.errors import UserError
from gpsseg.gps.neurons import as_rows


def given_scores(model, criterion="gradient", **totals):
    """Scores as if these were the sums of the gradients; dots in names are double underscores."""
    totals = {name.replace("__", "."): torch.as_tensor(total) for name, total in totals.items()}
    return gps.Scores(model, gps.CRITERIA[criterion], totals, list(totals))


def squared_error(model, batch):
    inputs, targets = batch
    return ((model(inputs) - targets) ** 2).sum()


def test_score_is_the_magnitude_of_the_summed_gradient():
    layer = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(layer.weight)
    # d/dw (w x - t)^2 at w = 0 is -2 t x: batches give (-2, -4) and (6, -4).
    batches = [
        (torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0]])),
        (torch.tensor([[-3.0, 2.0]]), torch.tensor([[1.0]])),
    ]
    scores = gps.score(layer, batches, squared_error, ["weight"])
    assert scores.rows("weight").tolist() == [[4.0, 8.0]]
    assert scores.without_gradient == ()


def test_scoring_leaves_the_network_as_it_was():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval()
    model[0].bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    batches = [(torch.randn(5, 3), torch.randn(5, 1))]
    gps.score(model, batches, squared_error, gps.neuron_weights(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert [name for name, flag in flags.items() if not flag] == ["0.bias"]


def test_a_weight_without_gradient_is_named_and_not_selected():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    model = Half()
    weights = gps.neuron_weights(model)
    scores = gps.score(model, [(torch.ones(1, 2), torch.zeros(1, 2))], squared_error, weights)
    selection = gps.select(model, scores, dict.fromkeys(weights, 1))
    assert scores.without_gradient == ("unused.weight",)
    assert list(selection.indices) == ["used.weight"]


def test_a_weight_whose_gradient_is_always_zero_is_named_and_not_selected():
    """A switched-off branch: it takes part, and no input of it matters more than another."""

    class Off(nn.Module):
        def __init__(self):
            super().__init__()
            self.on, self.off = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.on(x) + 0 * self.off(x)

    model = Off()
    weights = gps.neuron_weights(model)
    scores = gps.score(model, [(torch.ones(1, 2), torch.zeros(1, 2))], squared_error, weights)
    assert scores.without_gradient == ("off.weight",)
    assert list(gps.select(model, scores, dict.fromkeys(weights, 1)).indices) == ["on.weight"]


def test_score_needs_an_image_and_finite_gradients():
    layer = nn.Linear(2, 1)
    with pytest.raises(UserError, match="no training image"):
        gps.score(layer, [], squared_error, ["weight"])
    bad = (torch.full((1, 2), torch.inf), torch.zeros(1, 1))
    scores = gps.score(layer, [bad], squared_error, ["weight"])
    with pytest.raises(UserError, match="not finite"):
        gps.select(layer, scores, {"weight": 1})


def test_select_keeps_the_top_k_of_each_neuron():
    layer = nn.Linear(3, 2)
    scores = given_scores(layer, weight=[[1.0, 3.0, 2.0], [9.0, 7.0, 8.0]])
    assert gps.select(layer, scores, {"weight": 1}).indices["weight"].tolist() == [1, 3]
    assert gps.select(layer, scores, {"weight": 2}).indices["weight"].tolist() == [1, 2, 3, 5]


def test_a_convolution_is_flattened_to_its_output_channels():
    layer = nn.Conv2d(2, 2, 1, bias=False)
    scores = given_scores(layer, weight=torch.tensor([1.0, 5.0, 4.0, 2.0]).view(2, 2, 1, 1))
    assert gps.select(layer, scores, {"weight": 1}).indices["weight"].tolist() == [1, 2]


@pytest.mark.parametrize("groups", [1, 2])
def test_rows_of_a_transposed_convolution_are_its_output_channels(groups):
    layer = nn.ConvTranspose2d(4, 6, 2, groups=groups, bias=False)
    image = torch.randn(1, 4, 3, 3)
    for channel in range(6):
        changed = layer.weight.detach().clone()
        positions = torch.arange(changed.numel()).view(changed.shape)
        changed.view(-1)[as_rows(positions, layer)[channel]] += 1
        moved = nn.functional.conv_transpose2d(image, changed, groups=groups) - layer(image)
        assert {c for c in range(6) if moved[:, c].abs().max() > 1e-5} == {channel}


LAYERS = [
    nn.Linear(7, 5),
    nn.Conv2d(4, 6, 3, groups=2),
    nn.Conv2d(4, 4, 3, groups=4),
    nn.ConvTranspose2d(4, 6, 2, groups=2),
    nn.Embedding(3, 8),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@given(seed=st.integers(0, 2**31 - 1), k=st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_exactly_k_per_neuron_and_none_better_left_out(layer, seed, k):
    values = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(seed))
    selection = gps.select(layer, given_scores(layer, weight=values), {"weight": k})
    index = selection.indices["weight"].long()
    chosen = torch.zeros(values.numel(), dtype=torch.bool)
    chosen[index] = True
    rows, scores = as_rows(chosen.view(values.shape), layer), as_rows(values, layer)
    assert (rows.sum(1) == min(k, rows.shape[1])).all()
    for row, score in zip(rows, scores, strict=True):
        assert row.all() or score[row].min() >= score[~row].max()
    assert index.tolist() == sorted(set(index.tolist()))


@pytest.mark.parametrize("k", [0, -1, 4])
def test_an_impossible_k_is_refused(k):
    layer = nn.Linear(3, 2)
    scores = given_scores(layer, weight=torch.rand(2, 3))
    with pytest.raises(UserError, match="between 1 and 3"):
        gps.select(layer, scores, {"weight": k})


def test_a_short_row_is_kept_whole_where_others_are_longer():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    scores = given_scores(
        model, **{f"{i}__weight": torch.rand_like(model[i].weight) for i in (0, 1)}
    )
    selection = gps.select(model, scores, {"0.weight": 3, "1.weight": 3})
    assert len(selection.indices["0.weight"]) == 6


def test_a_selection_survives_its_file(tmp_path):
    layer = nn.Linear(3, 2)
    scores = given_scores(layer, weight=torch.rand(2, 3))
    selection = gps.select(layer, scores, {"weight": 2})
    selection.save(tmp_path / "selection.safetensors")
    loaded = gps.Selection.load(tmp_path / "selection.safetensors")
    assert loaded.hash == selection.hash
    assert loaded.shapes == selection.shapes
    assert torch.equal(loaded.indices["weight"], selection.indices["weight"])


def test_neurons_are_found_by_type_and_norm_layers_are_not_among_them():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm(5), nn.Linear(5, 5))
    assert gps.neuron_weights(model) == ["0.weight", "3.weight"]
    assert gps.neuron_biases(model) == ["0.bias", "3.bias"]
    assert gps.neuron_biases(model, shifts=True) == ["0.bias", "3.bias", "1.bias"]


def test_attention_weights_are_neurons_too():
    attention = nn.MultiheadAttention(4, 2)
    assert gps.neuron_weights(attention) == ["in_proj_weight", "out_proj.weight"]
    assert gps.neuron_biases(attention) == ["in_proj_bias", "out_proj.bias"]


def test_every_criterion_by_hand():
    """Weight (2, -1); gradients of two batches (3, -4) and (-1, -4)."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
    batches = [torch.tensor([3.0, -4.0]), torch.tensor([-1.0, -4.0])]
    expected = {
        "gradient": [2.0, 8.0],
        "gradient-abs": [4.0, 8.0],
        "fisher": [10.0, 32.0],
        "taylor": [4.0, 8.0],
        "channel-normalised": [1.0, 1.0],
        "gallop": [1.0, 8.0],
        "magnitude": [2.0, 1.0],
    }

    def product(model, gradient):
        return (model.weight * gradient).sum()

    for criterion, values in expected.items():
        scores = gps.score(layer, batches, product, ["weight"], criterion)
        torch.testing.assert_close(scores.rows("weight"), torch.tensor([values]))
    assert set(expected) | {"random", "fps"} == set(gps.CRITERIA)


def test_a_loud_channel_is_not_every_neurons_choice_when_channels_are_normalised():
    layer = nn.Linear(2, 2)
    total = [[100.0, 1.0], [10.0, 2.0]]  # as shares of their columns: .995, .447; .0995, .894
    loud = gps.select(layer, given_scores(layer, weight=total), {"weight": 1})
    fair = given_scores(layer, "channel-normalised", weight=total)
    assert loud.indices["weight"].tolist() == [0, 2]
    assert gps.select(layer, fair, {"weight": 1}).indices["weight"].tolist() == [0, 3]


def test_groups_of_a_convolution_have_channels_of_their_own():
    layer = nn.Conv2d(2, 2, 1, groups=2, bias=False)
    total = torch.tensor([3.0, 5.0]).view(2, 1, 1, 1)
    rows = given_scores(layer, "channel-normalised", weight=total).rows("weight")
    assert rows.tolist() == [[1.0], [1.0]], "each is all there is of its own channel"


def test_random_and_magnitude_read_no_image():
    layer = nn.Linear(3, 2)

    def never(model, batch):
        raise AssertionError

    for criterion in ("random", "magnitude"):
        scores = gps.score(layer, [None], never, ["weight"], criterion)
        assert scores.rows("weight").shape == (2, 3)
    torch.manual_seed(1)
    one = scores_of_chance(layer)
    torch.manual_seed(1)
    assert torch.equal(one, scores_of_chance(layer))


def scores_of_chance(layer):
    return given_scores(layer, "random", weight=layer.weight.detach()).rows("weight")


def test_an_unknown_criterion_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'fisher'"):
        gps.score(nn.Linear(1, 1), [], squared_error, ["weight"], "fischer")


def test_no_more_than_one_set_of_gradients_is_held():
    """When a layer's gradient is added up, the layers after it have none any more."""
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)), nn.Linear(3, 1))
    weights, held = gps.neuron_weights(model), []

    def count(parameter):
        held.append(sum(p.grad is not None for p in model.parameters()))

    for name in weights:
        model.get_parameter(name).register_post_accumulate_grad_hook(count)
    batches = [(torch.randn(2, 3), torch.randn(2, 1))] * 3
    gps.score(model, batches, squared_error, weights)
    assert len(held) == 15
    assert max(held) == 1


@given(seed=st.integers(0, 2**31 - 1), k=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_every_level_spends_the_same_budget_on_the_best(seed, k):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Conv2d(2, 6, 1))
    totals = {
        f"{i}__weight": torch.rand(model[i].weight.shape, generator=generator) for i in (0, 1)
    }
    scores = given_scores(model, **totals)
    top_k = {"0.weight": k, "1.weight": k}
    sizes = {}
    for level in ("neuron", "layer", "net"):
        selection = gps.select(model, scores, top_k, level)
        sizes[level] = {name: len(index) for name, index in selection.indices.items()}
    assert sizes["layer"] == sizes["neuron"]
    assert sum(sizes["net"].values()) == sum(sizes["neuron"].values())
    everything = torch.cat([totals[f"{i}__weight"].flatten() for i in (0, 1)])
    budget = sum(sizes["neuron"].values())
    best = gps.select(model, scores, top_k, "net").indices
    kept = [totals[name.replace(".", "__")].flatten()[index.long()] for name, index in best.items()]
    assert sorted(torch.cat(kept).tolist()) == sorted(everything.topk(budget).values.tolist())


def test_overlap_is_the_share_of_common_entries():
    shapes = {"weight": (2, 4)}
    one = gps.Selection({"weight": torch.tensor([0, 1, 5, 6])}, shapes)
    other = gps.Selection({"weight": torch.tensor([1, 6, 7, 4])}, shapes)
    assert gps.overlap(one, other) == 0.5
    assert gps.overlap(one, one) == 1
    assert gps.overlap(one, gps.Selection({}, {})) == 0


def test_the_scores_of_half_the_batches_can_be_had_on_the_way():
    layer = nn.Linear(2, 1, bias=False)
    batches = [(torch.randn(1, 2), torch.randn(1, 1)) for _ in range(4)]
    running = gps.running_scores(layer, batches, squared_error, ["weight"])
    halves = [scores.rows("weight").clone() for scores in running]
    half = gps.score(layer, batches[:2], squared_error, ["weight"]).rows("weight")
    torch.testing.assert_close(halves[1], half)
    assert not torch.equal(halves[3], half)


def test_one_gradient_that_is_not_finite_stops_the_scoring():
    totals = torch.ones(2, 3)
    totals[1, 2] = float("nan")
    scores = given_scores(nn.Linear(3, 2, bias=False), weight=totals)
    with pytest.raises(UserError, match="The gradient of weight is not finite"):
        scores.rows("weight")
