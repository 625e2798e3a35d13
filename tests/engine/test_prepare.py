"""What is done to a network before it trains."""

import pytest
import timm.layers
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gpsseg import gps
from gpsseg.engine import prepare
from gpsseg.engine.machine import make_machine


def test_tuning_mode_freezes_batch_statistics():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout()).eval()
    prepare.tuning_mode(model)
    before = model[1].running_mean.clone()
    model(torch.randn(4, 1, 3, 3) + 5)
    assert torch.equal(model[1].running_mean, before)
    assert model[2].training


def test_depthwise_convolutions_train_in_float32_under_bf16():
    """Plain and sparse, their gradients are those of bf16 inputs in float32 arithmetic."""
    machine, seen = make_machine("cpu", "bf16"), []
    layer = nn.Conv2d(4, 4, 3, groups=4)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.ReLU())
    prepare.depthwise_in_float32(model, machine)
    layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    x = torch.randn(2, 3, 5, 5)

    def gradient(name):
        model.zero_grad()
        with machine.autocast():
            model(x).float().square().sum().backward()
        return model.get_parameter(name).grad

    dense = gradient("1.weight").flatten().clone()
    index = torch.tensor([0, 17, 35])
    selection = gps.Selection({"1.weight": index.int()}, {"1.weight": (4, 1, 3, 3)})
    gps.sparsify(model, selection)
    torch.testing.assert_close(gradient("1.weight_values"), dense[index], rtol=1e-5, atol=1e-4)
    with machine.autocast():  # what surrounds the layer stays in bf16
        assert {t.dtype for pair in seen for t in pair} == {torch.bfloat16}
        assert torch.is_autocast_enabled("cpu")
    with torch.no_grad():
        assert model(x).dtype == torch.float32  # without autocast it is the plain layer
    prepare.depthwise_in_float32(model, make_machine("cpu", "fp32"))


DEPTHWISE = {
    "plain": (lambda: nn.Conv2d(4, 4, 3, groups=4), True),
    "padded": (lambda: nn.Conv2d(4, 4, 3, stride=2, padding=1, dilation=2, groups=4), True),
    "without bias": (lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False), True),
    "by a word": (lambda: nn.Conv2d(4, 4, 3, padding="same", groups=4), False),
    "reflecting": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=4), False),
    "timm's": (lambda: timm.layers.Conv2dSame(4, 4, 3, stride=2, groups=4), False),
}


@pytest.mark.parametrize("sparse", [False, True], ids=["whole", "selected"])
@pytest.mark.parametrize(("build", "usual"), DEPTHWISE.values(), ids=DEPTHWISE)
def test_depthwise_convolutions_keep_their_input_in_bf16(build, usual, sparse):
    """Their output, and their gradients, are float32's, rounded."""
    machine, kept = make_machine("cpu", "bf16"), []
    torch.manual_seed(0)
    model = nn.Sequential(build())
    x = torch.randn(2, 4, 7, 7).bfloat16()
    first, second = (x.clone().requires_grad_() for _ in range(2))
    plain = model[0](first.float()).bfloat16()
    plain.float().square().sum().backward()
    gradient = model[0].weight.grad.flatten()
    prepare.depthwise_in_float32(model, machine)
    if sparse:
        index = torch.tensor([0, 17, 35])
        gps.sparsify(model, gps.Selection({"0.weight": index.int()}, {"0.weight": (4, 1, 3, 3)}))
        gradient = gradient[index]
    model.zero_grad()
    with (
        machine.autocast(),
        torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t),
    ):
        y = model(second)
    y.float().square().sum().backward()
    assert torch.equal(y, plain)
    own = model.get_parameter("0.weight_values" if sparse else "0.weight").grad.flatten()
    torch.testing.assert_close(own, gradient, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(second.grad, first.grad)
    inputs = {tensor.dtype for tensor in kept if tensor.numel() == x.numel()}
    if usual:
        assert inputs == {torch.bfloat16}


class Doubled(nn.Conv2d):
    """A convolution with a way of its own, which its ``forward`` does not tell."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


OTHERWISE = {
    "its own": lambda: Doubled(4, 4, 3, groups=4),
    "computed": lambda: parametrizations.weight_norm(nn.Conv2d(4, 4, 3, groups=4)),
}


@pytest.mark.parametrize("build", OTHERWISE.values(), ids=OTHERWISE)
def test_a_depthwise_convolution_with_ways_of_its_own_keeps_them(build):
    torch.manual_seed(0)
    model, x = nn.Sequential(build()), torch.randn(2, 4, 7, 7).bfloat16()
    plain = model(x.float())
    machine = make_machine("cpu", "bf16")
    prepare.depthwise_in_float32(model, machine)
    with machine.autocast():
        assert torch.equal(model(x), plain.bfloat16())


@pytest.mark.parametrize("sparse", [False, True], ids=["whole", "selected"])
def test_a_depthwise_convolution_takes_one_image_without_a_batch(sparse):
    model, x = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), torch.randn(4, 7, 7).bfloat16()
    plain = model(x.float())
    machine = make_machine("cpu", "bf16")
    prepare.depthwise_in_float32(model, machine)
    if sparse:
        index = {"0.weight": torch.tensor([0, 17], dtype=torch.int32)}
        gps.sparsify(model, gps.Selection(index, {"0.weight": (4, 1, 3, 3)}))
    with machine.autocast():
        assert torch.equal(model(x), plain.bfloat16())


def test_a_depthwise_convolution_that_does_not_train_keeps_no_input():
    model, kept = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), []
    model.requires_grad_(False)
    machine = make_machine("cpu", "bf16")
    prepare.depthwise_in_float32(model, machine)
    x = torch.randn(2, 4, 7, 7).bfloat16().requires_grad_()
    with (
        machine.autocast(),
        torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t),
    ):
        y = model(x)
    y.float().sum().backward()
    assert x.grad.any()
    assert not [tensor for tensor in kept if tensor.numel() == x.numel()]
