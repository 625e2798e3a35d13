"""What each method trains, on networks small enough to count by hand."""

import math

import pytest
import torch
from torch import nn

from gpsseg.errors import UserError
from gpsseg.tuning import METHODS
from gpsseg.tuning.adapter import Adapter, add_adapters
from gpsseg.tuning.lora import add_dora, add_lora, low_rank_layers
from gpsseg.tuning.ssf import ScaleShift, add_ssf, channels_first
from gpsseg.tuning.whole import bias, decoder, full, is_norm, norm


class Net(nn.Module):
    """A convolution, its normalisation and a layer without bias; then a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 1, groups=8, bias=False)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        return self.head(self.grouped(self.norm(self.conv(x)).relu()))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def roles(net):
    return {n: "decoder" if n.startswith("head") else "encoder" for n, _ in net.named_parameters()}


def test_whole_parameters_by_role_and_by_kind_of_layer(net):
    assert full(net, roles(net)) == list(roles(net))
    assert decoder(net, roles(net)) == ["head.weight", "head.bias"]
    assert bias(net, roles(net)) == ["conv.bias", "norm.bias", "head.bias"]
    assert norm(net, roles(net)) == ["norm.weight", "norm.bias"]


def test_a_prompt_encoder_never_trains(net):
    prompt = dict.fromkeys(roles(net), "prompt")
    assert [f(net, prompt) for f in (full, decoder, bias, norm)] == [[], [], [], []]


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.RMSNorm(4)],
    ids=lambda layer: type(layer).__name__,
)
def test_normalisation_layers_are_known_by_what_they_hold(layer):
    assert is_norm(layer)


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(4, 4), nn.Conv2d(4, 4, 1), nn.PReLU(4), nn.Embedding(4, 4), nn.ReLU()],
    ids=lambda layer: type(layer).__name__,
)
def test_other_layers_are_not(layer):
    assert not is_norm(layer)


def test_low_rank_updates_go_where_they_save_anything(net):
    """conv: 8 x 27 = 216 entries, rank 1 needs 35, rank 7 needs 245. head: 8 against 9."""
    names = [name for name, _ in net.named_parameters()]
    assert low_rank_layers(net, names, 1) == ["conv"]
    assert low_rank_layers(net, names, 6) == ["conv"]
    assert low_rank_layers(net, names, 7) == []
    with pytest.raises(UserError, match="smaller one"):
        add_lora(net, names, [], 7)


@pytest.mark.parametrize(("add", "extra"), [(add_lora, 0), (add_dora, 8)])
def test_the_numbers_that_lora_and_dora_add(net, add, extra):
    """(3 * 3 * 3 + 8) * rank; DoRA also has a magnitude for each of the 8 neurons."""
    before = sum(p.numel() for p in net.parameters())
    add(net, [name for name, _ in net.named_parameters()], [], 2)
    assert sum(p.numel() for p in net.parameters()) - before == (27 + 8) * 2 + extra


def test_an_adapter_is_worked_out_by_hand():
    adapter = Adapter(2, 1, last=True)
    with torch.no_grad():
        adapter.down.weight.copy_(torch.tensor([[1.0, 1.0]]))
        adapter.down.bias.fill_(0)
        adapter.up.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        adapter.up.bias.copy_(torch.tensor([0.5, 0.0]))
        gelu = 3 * 0.5 * (1 + math.erf(3 / math.sqrt(2)))
        expected = torch.tensor([1 + gelu + 0.5, 2 - 2 * gelu])
        torch.testing.assert_close(adapter(torch.tensor([[1.0, 2.0]]))[0], expected)


def test_an_adapter_finds_the_channels_first_or_last():
    torch.manual_seed(0)
    adapter = Adapter(5, 2, last=False)
    nn.init.normal_(adapter.up.weight)
    y = torch.randn(1, 5, 3, 4)
    torch.testing.assert_close(adapter(y), adapter(y.movedim(1, -1)).movedim(-1, 1))
    square = torch.randn(1, 5, 5, 5)
    last = Adapter(5, 2, last=True)
    last.load_state_dict(adapter.state_dict())
    torch.testing.assert_close(last(square.movedim(1, -1)), adapter(square).movedim(1, -1))


def test_adapters_go_into_blocks_with_a_weight_to_tune(net):
    blocks = [nn.Sequential(net.conv, net.norm), nn.Sequential(net.head)]
    add_adapters(net, ["conv.weight"], blocks, 3)
    assert [hasattr(block, "adapter") for block in blocks] == [True, False]
    assert (blocks[0].adapter.down.in_features, blocks[0].adapter.down.out_features) == (8, 3)
    with pytest.raises(UserError, match="no blocks"):
        add_adapters(net, ["conv.weight"], [], 3)


def test_scale_and_shift_by_axis():
    y = torch.randn(2, 3, 3, 3)
    for first, shape in (((), (3,)), ((4,), (3, 1, 1))):
        layer = ScaleShift(3, first)
        assert torch.equal(layer(y), y)
        with torch.no_grad():
            layer.scale.copy_(torch.tensor([1.0, 2.0, 3.0]))
            layer.shift.copy_(torch.tensor([0.0, 1.0, 0.0]))
            expected = y * layer.scale.view(shape) + layer.shift.view(shape)
            torch.testing.assert_close(layer(y), expected)


class EitherNorm(nn.LayerNorm):
    """As segmenters have it: (B, N, C) and (B, C, H, W)."""

    def forward(self, x):
        if x.dim() == 4:
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (nn.Linear(4, 2), []),
        (nn.Conv2d(4, 2, 1), [3, 4, 5]),
        (nn.LayerNorm(2), []),
        (nn.BatchNorm2d(4), [4]),
        (nn.GroupNorm(2, 4), [3, 4, 5]),
        (EitherNorm(4), [4]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_axis_holds_the_channels(layer, axes):
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert channels_first(layer) == axes
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_ssf_follows_every_layer_named(net):
    x = torch.rand(1, 3, 4, 4)
    with torch.no_grad():
        before = net(x)
        add_ssf(net, ["conv.weight", "conv.bias", "norm.weight", "grouped.weight"], [], 0)
        assert torch.equal(net(x), before)
    added = [name for name, _ in net.named_parameters() if ".ssf." in name]
    layers = ("conv", "norm", "grouped")
    assert added == [f"{layer}.ssf.{part}" for layer in layers for part in ("scale", "shift")]


def test_a_method_does_exactly_one_thing():
    for method in METHODS.values():
        kinds = (method.trains, method.adds, method.selects)
        assert sum(kind is not None for kind in kinds) == 1
        assert method.rate in ("values", "full", "decoder")
