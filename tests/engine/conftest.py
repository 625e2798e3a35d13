"""A training of a convolution on noise, which takes a moment."""

import pytest
import torch
from torch import nn

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.engine import train as engine
from gpsseg.engine.machine import make_machine


@pytest.fixture
def machine():
    return make_machine("cpu", "fp32")


def draw(epoch, count=3):
    generator = torch.Generator().manual_seed(epoch)
    images = [torch.rand(2, 3, 8, 8, generator=generator) for _ in range(count)]
    return [{"image": image, "mask": (image[:, :1] > 0.5).float()} for image in images]


def convolution():
    torch.manual_seed(0)
    return nn.Conv2d(3, 1, 1)


def train(model, machine, run, validate=None, batches_of=draw, rates=None, **settings):
    run.mkdir(exist_ok=True)
    to = {"back": settings.pop("back", ()), "first": settings.pop("first", {})}
    config = FinetuneConfig(**{"epochs": 4, **settings})
    rates = rates or dict.fromkeys(dict(model.named_parameters()), 0.1)
    scores = iter([0.1, 0.2, 0.3, 0.4, 0.5])
    validate = validate or (lambda: next(scores))

    def in_turn(epochs):
        return [batch for epoch in epochs for batch in batches_of(epoch)]

    return engine.train(model, in_turn, validate, rates, config, machine, run, **to)


@pytest.fixture
def batches():
    """``batches(epoch, count)``: the batches of an epoch."""
    return draw


@pytest.fixture
def new_model():
    """``new_model()``: always the same."""
    return convolution


@pytest.fixture
def fit():
    """``fit(model, machine, run, ...)``: train it for four epochs, or as told."""
    return train
