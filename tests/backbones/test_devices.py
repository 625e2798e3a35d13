"""On a device that is no processor: nothing stays behind, and nothing has 64 bits."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from gpsseg.backbones import Backbone
from gpsseg.engine.loss import segmentation_loss

ELSEWHERE = "meta"  # it keeps shapes alone, and takes no tensor of the processor
PROMPTED = [
    (family, prompt)
    for family in ("sam", "sam-hq", "sam2", "edgetam")
    for prompt in ("point", "box")
]
Step = Callable[..., None]


@pytest.fixture
def step(no_64_bits: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Step:
    """``step(model, prompt)``: forward, loss and backward there."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # not there

    def step(model: Backbone, *prompt: torch.Tensor) -> None:
        side = model.facts.image_size
        model.to(ELSEWHERE).train()
        with no_64_bits(ELSEWHERE):
            image, mask = torch.rand(2, 3, side, side), torch.zeros(2, 1, side, side)
            logits = model(image.to(ELSEWHERE), *(each.to(ELSEWHERE) for each in prompt))
            segmentation_loss(logits, mask.to(ELSEWHERE)).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert {grad.device.type for grad in grads} == {ELSEWHERE}

    return step


def test_a_network_follows_its_images(tiny: Backbone, step: Step) -> None:
    step(tiny)


@pytest.mark.parametrize(("family", "prompt"), [("litemedsam", "box"), *PROMPTED])
def test_prompts_do_too(
    family: str, prompt: str, make_tiny: Callable[..., Backbone], step: Step
) -> None:
    step(make_tiny(family, prompt), torch.rand(2, 2 if prompt == "point" else 4))


def test_what_stays_behind_and_what_has_64_bits_is_seen(
    make_tiny: Callable[..., Backbone], step: Step, no_64_bits: Callable[[str], Any]
) -> None:
    unet = make_tiny("unet")
    unet.register_forward_pre_hook(
        lambda _, images: (images[0] + torch.zeros(images[0].shape[-1]),)
    )
    with pytest.raises(RuntimeError, match="device"):
        step(unet)
    with no_64_bits(ELSEWHERE), pytest.raises(AssertionError):
        torch.zeros(1, dtype=torch.float64).to(ELSEWHERE)
