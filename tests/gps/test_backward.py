"""Backward passes keep and compute no more than the selected entries need."""

import functools

import pytest
import timm.layers
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gpsseg import gps
from gpsseg.gps.backward import plan
from gpsseg.gps.sparse import sparse_layers


def select_entries(model, **indices):
    """Sparsify so that these flat positions train; dots in names are double underscores."""
    named = {name.replace("__", "."): torch.tensor(index) for name, index in indices.items()}
    shapes = {name: tuple(model.get_parameter(name).shape) for name in named}
    gps.sparsify(model, gps.Selection(named, shapes))
    return model


def kept_for_backward(model, x):
    """Every tensor that autograd keeps, but for the weights."""
    weights = {t.data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        model(x)
    return [tensor for tensor in kept if tensor.data_ptr() not in weights]


def test_plan_by_hand():
    """Entries (0, 1), (1, 4) and (2, 1) of a (3, 6) weight use the channels 1 and 4."""
    channels, gather = plan(torch.tensor([1, 10, 13]), torch.Size([3, 6]))
    assert channels.tolist() == [1, 4]
    assert gather.tolist() == [0, 3, 4], "positions in a (3, 2) gradient"


def test_plan_of_a_convolution_and_its_transpose():
    """Entry (1, 2, 0, 1) of a (2, 4, 1, 2) weight: channel 2; transposed (4, 2, 1, 2): row 2."""
    channels, gather = plan(torch.tensor([13]), torch.Size([2, 4, 1, 2]))
    assert (channels.tolist(), gather.tolist()) == ([2], [3]), "in a (2, 1, 1, 2) gradient"
    channels, gather = plan(torch.tensor([11]), torch.Size([4, 2, 1, 2]), transposed=True)
    assert (channels.tolist(), gather.tolist()) == ([2], [3]), "in a (1, 2, 1, 2) gradient"


def test_plan_keeps_the_whole_input_where_most_of_it_is_selected():
    index = torch.tensor([0, 1, 2])
    channels, gather = plan(index, torch.Size([1, 4]))
    assert len(channels) == 0
    assert gather is index


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: nn.Linear(8, 5), (2, 3, 8)),
        (lambda: nn.Conv2d(8, 5, 3, padding=1), (2, 8, 6, 6)),
        (lambda: nn.ConvTranspose2d(8, 5, 2), (2, 8, 6, 6)),
    ],
)
def test_the_selected_channels_alone_are_kept(build, shape):
    layer = build()
    model = select_entries(layer, weight=[0, 1])  # of one input channel, or two
    x = torch.randn(shape, requires_grad=True)
    whole = sum(
        tensor.numel() for tensor in kept_for_backward(model, x) if tensor.is_floating_point()
    )
    assert whole <= x.numel() / 4


def test_timms_norms_keep_no_input_either():
    norm = timm.layers.BatchNormAct2d(3, act_layer=nn.ReLU).eval()
    norm.running_mean.uniform_(), norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(norm, nn.Conv2d(3, 4, 1)).eval()
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    expected = model(x)
    expected.sum().backward()
    gradient, x.grad = x.grad, None
    select_entries(model, **{"1__weight": [0]})
    kept = [t for t in kept_for_backward(norm, x) if t.shape == x.shape]
    assert len(kept) == 1, "what the ReLU keeps"
    y = model(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    torch.testing.assert_close(x.grad, gradient)


def test_layers_with_a_dense_gradient_are_named():
    class Unknown(nn.Linear):
        def forward(self, x):
            return x @ self.weight.T

    model = nn.Sequential(nn.Embedding(4, 6), nn.Linear(6, 6), Unknown(6, 2))
    select_entries(model, **{f"{i}__weight": [0] for i in range(3)})
    assert gps.with_dense_gradient(model) == ["0.weight", "2.weight"]


def test_bare_parameters_and_attention_weights_train_their_selected_entries():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * self.scale

    model = select_entries(Bare(), scale=[1])
    model(torch.tensor([2.0, 3.0, 4.0])).sum().backward()
    assert model.scale_values.grad.tolist() == [3.0]

    torch.manual_seed(0)
    attention, x = nn.MultiheadAttention(4, 2, batch_first=True), torch.randn(2, 3, 4)
    attention(x, x, x)[0].square().sum().backward()
    exact = attention.in_proj_weight.grad.flatten()[[5, 40]]
    attention.zero_grad()
    select_entries(attention, in_proj_weight=[5, 40], out_proj__weight=[3])
    attention(x, x, x)[0].square().sum().backward()
    torch.testing.assert_close(attention.in_proj_weight_values.grad, exact)
    assert attention.out_proj.weight_values.grad.shape == (1,)


def small_network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(72, 4)
    )
    return select_entries(
        model, **{"0__weight": [0, 30], "2__weight": [1, 17, 40], "4__weight": [0, 80, 200]}
    )


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_activation_checkpointing_gives_the_same_gradients():
    x = torch.randn(2, 3, 3, 3)
    plain, again = small_network(), small_network()
    for block in again:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    for model in (plain, again):
        model(x).square().sum().backward()
    expected = gradients(plain)
    assert len(expected) == 3
    torch.testing.assert_close(gradients(again), expected)


def test_the_forward_pass_can_be_compiled():
    x = torch.randn(2, 3, 3, 3)
    plain, model = small_network(), small_network()
    compiled = torch.compile(model, backend="aot_eager")
    for network in (plain, compiled):
        network(x).square().sum().backward()
    torch.testing.assert_close(compiled(x), plain(x))
    torch.testing.assert_close(gradients(model), gradients(plain))
    with torch.no_grad():  # a changed value must show: it is no constant of the compiled code
        for network in (plain, model):
            network[4].weight_values.add_(1)
    torch.testing.assert_close(compiled(x), plain(x))


def test_merge_leaves_nothing_behind():
    model = small_network()
    gps.merge(model)
    assert not list(sparse_layers(model))
    assert [type(layer) for layer in model] == [
        nn.Conv2d,
        nn.GELU,
        nn.Conv2d,
        nn.Flatten,
        nn.Linear,
    ]
    assert not list(model.buffers())
    assert all("weight_values" not in name for name, _ in model.named_parameters())
