"""Attention that trains in bfloat16: the same numbers as a library's own, and less kept."""

import copy

import pytest
import torch
from torch import nn
from transformers.models.sam.modeling_sam import SamVisionAttention
from transformers.models.sam_hq.modeling_sam_hq import SamHQVisionAttention

from gpsseg import gps
from gpsseg.backbones import attention
from gpsseg.backbones.attention import HalfSoftmax

PLAIN = {"sam": SamVisionAttention, "sam-hq": SamHQVisionAttention}
MORE = ("litemedsam", "monai-swinunetr")


@pytest.fixture(params=list(PLAIN))
def net(request, make_tiny, monkeypatch):
    """A network, and how often its plain attention was called."""
    plain, calls = PLAIN[request.param], []
    original = plain.forward

    def spied(layer, *args, **kwargs):
        calls.append(layer)
        return original(layer, *args, **kwargs)

    monkeypatch.setattr(plain, "forward", spied)
    return make_tiny(request.param), calls


def image_for(model, count=1):
    torch.manual_seed(0)
    return torch.rand(count, 3, *(model.facts.image_size,) * 2)


def logits_of(model, image, bf16=True, grad=True):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.set_grad_enabled(grad):
        return model(image)


def as_the_library_has_it(model):
    """A copy whose attention layers compute as they come."""
    plain = copy.deepcopy(model)
    for layer in plain.modules():
        layer.__dict__.pop("forward", None)
    return plain


def attentions_of(model):
    return [layer for layer in model.modules() if "forward" in layer.__dict__]


def kept_by(model, image):
    """All that is kept for a backward pass in bf16."""
    kept = []

    def note(tensor):
        kept.append(tensor.detach())
        return kept[-1]

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits_of(model, image)
    return kept


def test_a_cpu_trains_in_bf16_with_plain_products_and_else_with_the_fused_ones(net):
    model, calls = net
    image = image_for(model)
    layers = len(model.net.vision_encoder.layers)
    logits_of(model, image)
    assert len(calls) == layers
    logits_of(model, image, bf16=False)
    logits_of(model, image, grad=False)
    model.net.vision_encoder.requires_grad_(False)
    logits_of(model, image)
    assert len(calls) == layers


def test_both_have_one_answer_and_one_gradient(net, monkeypatch):
    """Compared in float32, where nothing but the order of sums differs between the two."""
    model, calls = net
    image = image_for(model, count=2)
    weight = model.net.vision_encoder.layers[0].attn.qkv.weight
    monkeypatch.setattr(attention, "HalfSoftmax", WholeSoftmax)
    found = []
    for plain in (False, True):
        monkeypatch.setattr(attention, "in_bf16", lambda device, plain=plain: plain)
        calls.clear()
        logits = model(image)
        assert bool(calls) == plain
        found.append((logits, *torch.autograd.grad(logits.square().mean(), weight)))
    for fused, other in zip(*found, strict=True):
        torch.testing.assert_close(
            other, fused, rtol=1e-3, atol=1e-4 * float(fused.detach().abs().max())
        )


class WholeSoftmax:
    """In the place of ``HalfSoftmax``."""

    @staticmethod
    def apply(scores):
        return torch.ops.aten._softmax(scores, -1, False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_halved_softmax_is_the_exact_one_rounded(dtype):
    torch.manual_seed(0)
    scores = (4 * torch.randn(3, 17, 19)).to(dtype).requires_grad_()
    half = HalfSoftmax.apply(scores)
    exact = scores.detach().double().requires_grad_()
    whole = exact.softmax(-1)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), whole, rtol=2**-8, atol=0)
    dy = torch.randn(whole.shape).bfloat16()
    half.backward(dy)
    whole.backward(dy.double())
    assert scores.grad.dtype == dtype
    assert (scores.grad - exact.grad).norm() < 2**-7 * exact.grad.norm()


class Scores(nn.Module):
    """An attention that gives its probabilities, however it asks for them."""

    def __init__(self, ask):
        super().__init__()
        self.ask = ask

    def forward(self, x):
        return self.ask(x)


ASKED = {
    "function": lambda x: nn.functional.softmax(x, dim=-1, dtype=torch.float32),
    "function by place": lambda x: nn.functional.softmax(x, -1),
    "torch": lambda x: torch.softmax(x, -1, torch.float32),
    "method": lambda x: x.softmax(dim=-1),
    "module": nn.Softmax(dim=-1),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_every_way_to_ask_for_a_softmax_is_answered(ask):
    layer, x = Scores(ask), torch.tensor([[0.0, 1.0, 3.0]], requires_grad=True)
    attention.lighten([layer])
    whole = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert (whole.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(half.float(), whole, rtol=2**-8, atol=0)


def with_autocast_off(x):
    with torch.autocast("cpu", enabled=False):
        return nn.functional.softmax(x.float(), -1, dtype=torch.float32) @ torch.eye(3)


STAYS = {
    "autocast off": (with_autocast_off, torch.float32),
    "another axis": (lambda x: x.softmax(0), torch.float32),
    "float64": (lambda x: x.softmax(-1, torch.float64), torch.float64),
    "integers": (lambda x: torch.softmax(x.long(), -1, torch.float32), torch.float32),
    "keywords alone": (lambda x: torch.softmax(input=x, dim=-1), torch.float32),
    "no softmax": (lambda x: torch.log_softmax(x, -1), torch.float32),
}


@pytest.mark.parametrize(("ask", "dtype"), STAYS.values(), ids=STAYS)
def test_what_is_not_asked_for_in_bf16_stays(ask, dtype):
    layer, x = Scores(ask), torch.tensor([[0.0, 1.0, 3.0]], requires_grad=True)
    attention.lighten([layer])
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == dtype
    assert torch.equal(found, ask(x))


def test_another_autocast_has_its_own_softmax():
    layer, x = Scores(ASKED["module"]), torch.tensor([[0.0, 1.0, 3.0]], requires_grad=True)
    attention.lighten([layer])
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(layer(x), x.softmax(-1))


def test_relative_positions_that_train_sparsely_change_nothing_of_it(net):
    model, calls = net
    names = [n for n, _ in model.named_parameters() if "attn.rel_pos" in n]
    shapes = {name: tuple(model.get_parameter(name).shape) for name in names}
    gps.sparsify(model, gps.Selection({name: torch.tensor([0, 3]) for name in names}, shapes))
    logits_of(model, image_for(model)).float().square().mean().backward()
    assert len(calls) == len(attentions_of(model)) > 0
    assert all(bool(model.get_parameter(f"{name}_values").grad.any()) for name in names)


@pytest.mark.parametrize("family", [*PLAIN, *MORE])
def test_probabilities_are_kept_once_and_in_bf16(family, make_tiny, monkeypatch):
    model = make_tiny(family)
    image, layers = image_for(model), len(attentions_of(model))
    found, apply = [], HalfSoftmax.apply

    def noted(scores):
        found.append(apply(scores))
        return found[-1]

    monkeypatch.setattr(HalfSoftmax, "apply", noted)
    kept = kept_by(model, image)
    assert len(found) == layers > 0
    for half in found:
        places = [each.dtype for each in kept if each.data_ptr() == half.data_ptr()]
        assert places == [torch.bfloat16] * 2, "by the softmax, and by the product that follows"
    sizes = {(each.numel(), each.shape[-1]) for each in found}

    def wide(tensors):
        single = [each for each in tensors if each.dtype == torch.float32 and each.dim()]
        return [each for each in single if (each.numel(), each.shape[-1]) in sizes]

    library = kept_by(as_the_library_has_it(model), image)
    assert len(wide(library)) >= len(wide(kept)) + (layers if family in MORE else 1)


@pytest.mark.parametrize("family", [*PLAIN, *MORE])
def test_a_step_is_as_near_to_float32s_as_it_was(family, make_tiny, monkeypatch):
    model = make_tiny(family)
    image = image_for(model)
    weights = [name for name, _ in model.named_parameters() if "attn" in name]

    def gradient(bf16):
        model.zero_grad()
        logits_of(model, image, bf16).float().square().mean().backward()
        found = [model.get_parameter(name).grad for name in weights]
        return torch.cat([each.flatten() for each in found if each is not None])

    exact, half = gradient(bf16=False), gradient(bf16=True)
    monkeypatch.setattr(attention, "HalfSoftmax", WholeSoftmax)
    whole = gradient(bf16=True)
    assert (half - exact).norm() < 1.1 * (whole - exact).norm()
