"""Plain products in the place of the fused attention: the same numbers."""

from types import SimpleNamespace

import pytest
import torch
from transformers.models.sam.modeling_sam import SamVisionAttention
from transformers.models.sam_hq.modeling_sam_hq import SamHQVisionAttention

from gpsseg.backbones import attention

PLAIN = {"sam": SamVisionAttention, "sam-hq": SamHQVisionAttention}


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


def logits_of(model, image, bf16=True, grad=True):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.set_grad_enabled(grad):
        return model(image)


def test_a_cpu_trains_in_bf16_with_plain_products_and_else_with_the_fused_ones(net):
    model, calls = net
    image = torch.rand(1, 3, *(model.facts.image_size,) * 2)
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
    image = torch.rand(2, 3, *(model.facts.image_size,) * 2)
    weight = model.net.vision_encoder.layers[0].attn.qkv.weight
    found = []
    for plain in (False, True):
        pretended = SimpleNamespace(
            is_autocast_enabled=lambda device, plain=plain: plain,
            is_grad_enabled=torch.is_grad_enabled,
        )
        monkeypatch.setattr(attention, "torch", pretended)
        calls.clear()
        logits = model(image)
        assert bool(calls) == plain
        found.append((logits, *torch.autograd.grad(logits.square().mean(), weight)))
    for fused, other in zip(*found, strict=True):
        torch.testing.assert_close(other, fused, rtol=1e-3, atol=1e-4 * float(fused.abs().max()))
