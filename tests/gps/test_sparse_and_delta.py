"""Sparse layers are exact, frozen entries never move, and a delta comes off without a trace."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gpsseg import gps
from gpsseg.errors import UserError
from gpsseg.gps.sparse import sparse_layers


class OwnForward(nn.Linear):
    """A layer that gpsseg knows no backward pass for."""

    def forward(self, x):
        return F.linear(x, self.weight, self.bias).square()


LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (2, 3, 6)),
    "linear without bias": (lambda: nn.Linear(6, 5, bias=False), (4, 6)),
    "conv": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 7, 6)),
    "pointwise conv": (lambda: nn.Conv2d(4, 6, 1), (2, 4, 5, 5)),
    "dilated conv": (lambda: nn.Conv2d(4, 6, 3, dilation=2, padding=2), (2, 4, 7, 7)),
    "grouped conv": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
    "depthwise conv": (lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), (2, 4, 5, 5)),
    "reflecting conv": (
        lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        (2, 4, 5, 5),
    ),
    "same-sized conv": (lambda: nn.Conv2d(4, 6, (4, 3), padding="same"), (2, 4, 5, 5)),
    "conv of a single image": (lambda: nn.Conv2d(4, 6, 3), (4, 5, 5)),
    "conv in 1-D": (lambda: nn.Conv1d(4, 6, 3, padding=1), (2, 4, 7)),
    "conv in 3-D": (lambda: nn.Conv3d(4, 6, 3, padding=1), (1, 4, 3, 4, 3)),
    "transposed conv": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2), (2, 4, 4, 4)),
    "padded transposed conv": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, dilation=2),
        (2, 4, 4, 4),
    ),
    "grouped transposed conv": (lambda: nn.ConvTranspose2d(4, 6, 2, groups=2), (2, 4, 4, 4)),
    "layer of another kind": (lambda: OwnForward(6, 5), (2, 3, 6)),
}


def random_selection(model, share=0.3, seed=0, dense=()):
    generator = torch.Generator().manual_seed(seed)
    indices, shapes = {}, {}
    for name in gps.neuron_weights(model):
        weight = model.get_parameter(name)
        count = max(1, int(share * weight.numel()))
        chosen = torch.randperm(weight.numel(), generator=generator)[:count]
        indices[name], shapes[name] = chosen.sort().values.int(), tuple(weight.shape)
    return gps.Selection(indices, shapes, dense)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 4),
    )


def train(model, steps=5, lr=0.1):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.5)
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(torch.randn(3, 3, 4, 4)).square().mean().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_gradients_equal_the_dense_ones(name, share):
    build, shape = LAYERS[name]
    dense = build().double()
    sparse = copy.deepcopy(dense)
    selection = random_selection(sparse, share, dense=("bias",) if dense.bias is not None else ())
    gps.sparsify(sparse, selection)
    x1 = torch.randn(shape, dtype=torch.double, requires_grad=True)
    x2 = x1.detach().clone().requires_grad_(True)
    y1, y2 = dense(x1), sparse(x2)
    torch.testing.assert_close(y1, y2)
    dy = torch.randn_like(y1)
    y1.backward(dy)
    y2.backward(dy)
    index = selection.indices["weight"].long()
    torch.testing.assert_close(sparse.weight_values.grad, dense.weight.grad.reshape(-1)[index])
    torch.testing.assert_close(x2.grad, x1.grad)
    if dense.bias is not None:
        torch.testing.assert_close(sparse.bias.grad, dense.bias.grad)


@pytest.mark.parametrize("name", LAYERS)
def test_gradcheck(name):
    build, shape = LAYERS[name]
    layer = build().double()
    gps.sparsify(layer, random_selection(layer))
    values = layer.weight_values.detach().clone().requires_grad_(True)
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)

    def output(values, x):
        return torch.func.functional_call(layer, {"weight_values": values}, (x,))

    # Only the values' and the input's gradients are at stake; the written weight follows `values`.
    assert torch.autograd.gradcheck(output, (values, x))


def test_an_embedding_trains_its_selected_entries():
    table = nn.Embedding(4, 3)
    gps.sparsify(table, gps.Selection({"weight": torch.tensor([1, 9])}, {"weight": (4, 3)}))
    table(torch.tensor([0, 0, 3])).sum().backward()
    assert table.weight_values.grad.tolist() == [2.0, 1.0]


def test_a_weight_read_by_another_module_keeps_its_gradient():
    layer = nn.Linear(3, 2)
    gps.sparsify(layer, gps.Selection({"weight": torch.tensor([0, 5])}, {"weight": (2, 3)}))
    F.linear(torch.ones(1, 3), layer.weight).sum().backward()
    assert layer.weight_values.grad.tolist() == [1.0, 1.0]
    assert (layer.in_features, layer.weight.shape) == (3, (2, 3))


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=10, deadline=None)
def test_frozen_entries_stay_bit_identical_under_weight_decay(seed):
    torch.manual_seed(seed)
    model = network().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    selection = random_selection(model, seed=seed, dense=("0.bias",))
    gps.sparsify(model, selection)
    train(model)
    gps.merge(model)
    for name, tensor in model.state_dict().items():
        changed = (tensor != before[name]).reshape(-1).nonzero().flatten().tolist()
        if name in selection.indices:
            allowed = selection.indices[name].tolist()
        else:
            allowed = list(range(tensor.numel())) if name in selection.dense else []
        assert set(changed) <= set(allowed), name
        assert not allowed or changed, name


def test_the_optimiser_holds_the_selected_values_only():
    model = network().eval()
    selection = random_selection(model, share=0.1)
    gps.sparsify(model, selection)
    optimizer = train(model, steps=1)
    selected = sum(len(index) for index in selection.indices.values())
    states = [s for state in optimizer.state.values() for s in state.values()]
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == selected
    assert sum(s.numel() for s in states if s.ndim) == 2 * selected


def test_merge_gives_the_plain_classes_back_with_the_trained_weights():
    model = network().eval()
    classes = [type(module) for module in model.modules()]
    names = list(dict(model.named_parameters()))
    gps.sparsify(model, random_selection(model))
    train(model)
    x = torch.randn(2, 3, 4, 4)
    expected = model(x)
    gps.merge(model)
    assert [type(module) for module in model.modules()] == classes
    assert sorted(dict(model.named_parameters())) == sorted(names)
    assert torch.equal(model(x), expected)


def test_merge_right_after_an_update_holds_that_update():
    """No forward pass has written the last values into the weight yet."""
    layer = nn.Linear(3, 2)
    gps.sparsify(layer, gps.Selection({"weight": torch.tensor([1, 5])}, {"weight": (2, 3)}))
    expected = layer.weight.detach().flatten().clone()
    with torch.no_grad():
        layer.weight_values.copy_(torch.tensor([7.0, 8.0]))
    expected[[1, 5]] = torch.tensor([7.0, 8.0])
    gps.merge(layer)
    assert torch.equal(layer.weight.flatten(), expected)


def test_the_scale_of_a_batch_normalisation_trains_where_it_is_chosen():
    """Loss: the sum of a x + b; the scale's gradient is the sum of x, normalised."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0)).eval()
    model[1].running_mean.fill_(1), model[1].running_var.fill_(4)
    with torch.no_grad():
        model[0].weight.fill_(1), model[0].bias.zero_()
    gps.sparsify(model, gps.Selection({}, {}, ("1.weight", "1.bias")))
    model(torch.tensor([3.0, 7.0]).view(1, 1, 1, 2)).sum().backward()
    assert (model[1].weight.grad.tolist(), model[1].bias.grad.tolist()) == ([4.0], [2.0])


@pytest.mark.parametrize("dense", [(), ("0.bias",)], ids=["frozen", "shift trains"])
def test_frozen_batch_normalisation_is_the_same_function_and_keeps_no_input(dense):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)).eval()
    model[0].running_mean.uniform_(), model[0].running_var.uniform_(0.5, 2)
    twin = copy.deepcopy(model)
    selection = random_selection(model)
    gps.sparsify(model, gps.Selection(selection.indices, selection.shapes, dense))
    x1 = torch.randn(2, 3, 5, 5, requires_grad=True)
    x2 = x1.detach().clone().requires_grad_(True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = model[0](x1)
    assert all(tensor.shape != x1.shape for tensor in kept)
    assert torch.equal(y, twin[0](x2))
    model(x1).sum().backward(), twin(x2).sum().backward()
    torch.testing.assert_close(x1.grad, x2.grad)
    if dense:
        torch.testing.assert_close(model[0].bias.grad, twin[0].bias.grad)


def test_sparse_networks_can_be_copied_and_pickled():
    model = network().eval()
    gps.sparsify(model, random_selection(model))
    train(model, steps=2)
    x = torch.randn(2, 3, 4, 4)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))
        train(twin, steps=1)
        assert not torch.equal(twin(x), model(x))


def test_bf16_autocast_gives_float32_gradients_near_the_exact_ones():
    model = network().eval()
    twin = copy.deepcopy(model)
    selection = random_selection(model)
    gps.sparsify(model, selection)
    x = torch.randn(2, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(x).float().square().mean()
    loss.backward()
    twin(x).square().mean().backward()
    for name, layer in sparse_layers(model):
        exact = twin.get_submodule(name).weight.grad.reshape(-1)
        exact = exact[selection.indices[f"{name}.weight"].long()]
        assert layer.weight_values.grad.dtype == torch.float32
        assert (layer.weight_values.grad - exact).norm() <= 0.05 * exact.norm()


def test_gradients_accumulate_over_batches():
    layer = nn.Linear(3, 2)
    gps.sparsify(layer, gps.Selection({"weight": torch.tensor([0])}, {"weight": (2, 3)}))
    for _ in range(2):
        layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight_values.grad.tolist() == [2.0]


@pytest.mark.parametrize(
    ("indices", "shape", "message"),
    [
        ({"other.weight": [0]}, (2, 3), "no weight other.weight"),
        ({"weight": [0]}, (3, 3), "is \\(2, 3\\) here"),
        ({"weight": [6]}, (2, 3), "outside the weight's 0..5"),
        ({"weight": [-1]}, (2, 3), "outside the weight's 0..5"),
        ({"weight": [1, 1]}, (2, 3), "twice"),
    ],
)
def test_a_selection_that_does_not_fit_is_refused_and_nothing_changes(indices, shape, message):
    layer = nn.Linear(3, 2)
    tensors = {name: torch.tensor(index, dtype=torch.int32) for name, index in indices.items()}
    with pytest.raises(UserError, match=message):
        gps.sparsify(layer, gps.Selection(tensors, dict.fromkeys(indices, shape)))
    assert type(layer) is nn.Linear
    assert layer.weight.requires_grad


def trained_delta(base, **kwargs):
    tuned = copy.deepcopy(base)
    gps.sparsify(tuned, random_selection(tuned, dense=("0.bias",)))
    train(tuned)
    return tuned, gps.extract(tuned, "toy", gps.model_hash(base), **kwargs)


def test_apply_gives_the_tuned_network_and_remove_the_base_bit_for_bit(tmp_path):
    base = network().eval()
    tuned, delta = trained_delta(base, dataset="toy")
    delta.save(tmp_path / "delta.safetensors")
    loaded = gps.Delta.load(tmp_path / "delta.safetensors")
    assert loaded.metadata["dataset"] == "toy"
    before, x = gps.model_hash(base), torch.randn(2, 3, 4, 4)
    applied = loaded.apply(base)
    assert torch.equal(base(x), tuned(x))
    assert gps.model_hash(base) != before
    applied.remove()
    assert gps.model_hash(base) == before


def test_a_delta_refuses_another_base_and_a_second_application():
    base, other = network().eval(), network().eval()
    _, delta = trained_delta(base)
    untouched = gps.model_hash(other)
    with pytest.raises(UserError, match="made from toy"):
        delta.apply(other)
    assert gps.model_hash(other) == untouched
    delta.apply(base)
    with pytest.raises(UserError, match="twice"):
        delta.apply(base)


def test_a_delta_refuses_a_base_of_other_running_statistics():
    base = network().eval()
    _, delta = trained_delta(base)
    base[1].running_mean[0] += 1
    with pytest.raises(UserError, match="made from toy"):
        delta.apply(base)


class Caching(nn.Linear):
    """Computes with what it made of its weight when it was last put into a mode."""

    def train(self, mode=True):
        self.kept = 2 * self.weight.detach()
        return super().train(mode)

    def forward(self, x):
        return F.linear(x, self.kept)


def test_a_layer_that_caches_its_weight_follows_a_delta_on_and_off():
    layer = Caching(1, 1, bias=False).eval()
    with torch.no_grad():
        layer.weight.fill_(3)
    layer.eval()
    x, base = torch.ones(1, 1), {"base_hash": gps.model_hash(layer)}
    applied = gps.Delta({}, {"weight": torch.tensor([[5.0]])}, base).apply(layer)
    assert layer(x).item() == 10
    applied.remove()
    assert layer(x).item() == 6
    assert not layer.training


def test_a_file_that_is_no_delta_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("not tensors")
    with pytest.raises(UserError, match="not a readable delta"):
        gps.Delta.load(tmp_path / "text.safetensors")
    with pytest.raises(UserError, match="does not exist"):
        gps.Delta.load(tmp_path / "missing.safetensors")


def test_the_hash_sees_a_single_bit():
    model = network()
    before = gps.model_hash(model)
    with torch.no_grad():
        model[0].bias[0] = torch.nextafter(model[0].bias[0], torch.tensor(torch.inf))
    assert gps.model_hash(model) != before
