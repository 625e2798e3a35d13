"""Scores and selection, on networks small enough to work out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gpsseg import gps
from gpsseg.errors import UserError
from gpsseg.gps.neurons import as_rows


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
    assert scores.values["weight"].tolist() == [[4.0, 8.0]]
    assert scores.without_gradient == ()


def test_scoring_leaves_the_network_as_it_was():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval()
    model[0].bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = [(torch.randn(5, 3), torch.randn(5, 1))]
    gps.score(model, batches, squared_error, gps.neuron_weights(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [p.requires_grad for p in model[0].parameters()] == [True, False]


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


def test_score_needs_an_image_and_finite_gradients():
    layer = nn.Linear(2, 1)
    with pytest.raises(UserError, match="no training image"):
        gps.score(layer, [], squared_error, ["weight"])
    bad = (torch.full((1, 2), torch.inf), torch.zeros(1, 1))
    with pytest.raises(UserError, match="not finite"):
        gps.score(layer, [bad], squared_error, ["weight"])


def test_select_keeps_the_top_k_of_each_neuron():
    layer = nn.Linear(3, 2)
    scores = gps.Scores({"weight": torch.tensor([[1.0, 3.0, 2.0], [9.0, 7.0, 8.0]])}, ())
    assert gps.select(layer, scores, {"weight": 1}).indices["weight"].tolist() == [1, 3]
    assert gps.select(layer, scores, {"weight": 2}).indices["weight"].tolist() == [1, 2, 3, 5]


def test_a_convolution_is_flattened_to_its_output_channels():
    layer = nn.Conv2d(2, 2, 1, bias=False)
    scores = gps.Scores({"weight": torch.tensor([1.0, 5.0, 4.0, 2.0]).view(2, 2, 1, 1)}, ())
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
    selection = gps.select(layer, gps.Scores({"weight": values}, ()), {"weight": k})
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
    scores = gps.Scores({"weight": torch.rand(2, 3)}, ())
    with pytest.raises(UserError, match="between 1 and 3"):
        gps.select(layer, scores, {"weight": k})


def test_a_short_row_is_kept_whole_where_others_are_longer():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    scores = gps.Scores({f"{i}.weight": torch.rand(model[i].weight.shape) for i in (0, 1)}, ())
    selection = gps.select(model, scores, {"0.weight": 3, "1.weight": 3})
    assert len(selection.indices["0.weight"]) == 6


def test_a_selection_survives_its_file(tmp_path):
    layer = nn.Linear(3, 2)
    scores = gps.Scores({"weight": torch.rand(2, 3)}, ())
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
