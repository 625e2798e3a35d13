"""A method's layers become weights: the network computes what it did, and has the base's names."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gpsseg.config.finetune import SettledConfig
from gpsseg.errors import UserError
from gpsseg.runs.merged import merge
from gpsseg.tuning import METHODS

RATES = {"lr": 1e-3, "decoder_lr": 1e-3, "batch_size": 1, "epochs": 1}


class Small(nn.Module):
    """Every kind of layer that a shift can go into, and one before a normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.up, self.last = nn.ConvTranspose2d(8, 6, 2, 2), nn.Linear(6, 4)
        self.end = nn.LayerNorm(4)
        nn.init.normal_(self.norm.get_buffer("running_mean"))
        self.facts: Any = type("Facts", (), {"prompt": "none"})

    def forward(self, image: Tensor, prompt: None = None) -> Tensor:
        x = self.up(self.norm(self.first(image)).relu())
        return self.end(self.last(x.movedim(1, -1)))


def tuned(method: str, model: nn.Module) -> nn.Module:
    """With the method's layers, and values that a training might have left in them."""
    names = [n for n, p in model.named_parameters()]
    before = set(names)
    adds = METHODS[method].adds
    assert adds
    adds(model, names, [], 2)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in before and "base_layer" not in name:
                parameter += 0.3 * torch.randn_like(parameter)
    model.train(True).train(False)  # layers that keep a function of their weights make it anew
    return model.eval()


def config(method: str) -> SettledConfig:
    return SettledConfig(method=method, image_size=16, **RATES)  # type: ignore[arg-type]


@torch.no_grad()
@pytest.mark.parametrize("method", ["lora", "dora", "ssf"])
def test_layers_become_weights(method: str) -> None:
    torch.manual_seed(0)
    base: Any = Small().eval()
    model: Any = tuned(method, copy.deepcopy(base))
    image = torch.rand(2, 3, 16, 16)
    expected = model(image)
    assert not torch.allclose(expected, base(image), atol=1e-2)
    merge(model, config(method))
    assert list(model.state_dict()) == list(base.state_dict())
    assert [type(m) for m in model.modules()] == [type(m) for m in base.modules()]
    assert not any(m._forward_hooks for m in model.modules())
    torch.testing.assert_close(model(image), expected, atol=1e-5, rtol=1e-5)


class Odd(Small):
    """The first layer's features go two ways, so that the normalisation cannot take their shift."""

    def forward(self, image: Tensor, prompt: None = None) -> Tensor:
        x = self.first(image)
        return self.norm(x) + x


class Unnormalised(Small):
    def forward(self, image: Tensor, prompt: None = None) -> Tensor:
        return self.up(self.first(image).relu())


class Activated(Small):
    """As timm's normalisations, which end in an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.norm.act = nn.ReLU()
        self.norm.forward = lambda x: self.norm.act(nn.BatchNorm2d.forward(self.norm, x))


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Odd, "does more with its features"),
        (Unnormalised, "first has no bias"),
        (Activated, "norm applies ReLU before it is scaled"),
    ],
)
def test_a_shift_without_place_is_refused_and_nothing_changes(kind: Any, why: str) -> None:
    torch.manual_seed(0)
    model = tuned("ssf", kind())
    image = torch.rand(1, 3, 16, 16)
    before, names = model(image), list(model.state_dict())
    with pytest.raises(UserError, match=f"{why}.*--format onnx"):
        merge(model, config("ssf"))  # type: ignore[arg-type]
    assert list(model.state_dict()) == names
    assert torch.equal(model(image), before)


def test_adapters_stay() -> None:
    with pytest.raises(UserError, match=r"bends .* --format onnx` or monai-bundle"):
        merge(Small(), config("adapter"))  # type: ignore[arg-type]


def test_most_methods_have_nothing_to_merge() -> None:
    for method in set(METHODS) - {"lora", "dora", "ssf", "adapter"}:
        assert METHODS[method].merges is None
        merge(Small(), config(method))  # type: ignore[arg-type]
