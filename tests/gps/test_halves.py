"""Frozen weights in two halves: no bit is lost, and mixed precision computes what it did."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from gpsseg import gps
from gpsseg.gps.halves import joined, split


@given(hnp.arrays(np.int32, st.integers(1, 50)))
def test_every_float32_comes_back_bit_for_bit(bits):
    whole = torch.from_numpy(bits).view(torch.float32)
    upper, lower, down = split(whole)
    assert (upper.dtype, lower.dtype) == (torch.bfloat16, torch.int16)
    assert torch.equal(joined(upper, lower, down).view(torch.int32), torch.from_numpy(bits))


@given(hnp.arrays(np.float32, 20, elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_the_upper_half_is_the_cast_to_bfloat16(values):
    whole = torch.from_numpy(values)
    assert torch.equal(split(whole)[0], whole.bfloat16())


def test_ties_are_rounded_as_by_a_cast_and_come_back():
    """Of weights that were stored in 16 bits many lie in the middle of two of bfloat16."""
    for step in (1, 3, 5):
        whole = 1 + torch.arange(128).reshape(8, 16) * step / 1024
        upper, lower, down = split(whole)
        assert len(down), "some are rounded down"
        assert torch.equal(upper, whole.bfloat16())
        assert torch.equal(joined(upper, lower, down), whole)


def net():
    """Its weights are stored in 16 bits, as those of many checkpoints."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ConvTranspose2d(8, 6, 2, 2),
        nn.Flatten(2),
        nn.Linear(256, 5),
    )
    return model.half().float()


def sparse(halves):
    """The network with some entries of every weight to train, and a bias."""
    model, draw = net(), torch.Generator().manual_seed(1)
    indices, shapes = {}, {}
    for name in gps.neuron_weights(model):
        weight = model.get_parameter(name)
        index = torch.randperm(weight.numel(), generator=draw)[:6].sort().values.int()
        indices[name], shapes[name] = index, tuple(weight.shape)
    gps.sparsify(model, gps.Selection(indices, shapes, ("5.bias",)), halves)
    return model


def trained(model, steps=2):
    """Logits and gradients of each step of training in bfloat16."""
    image = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    found = []
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(image)
        logits.float().square().sum().backward()
        found += [logits, *(p.grad.clone() for p in model.parameters() if p.requires_grad)]
        optimizer.step()
        optimizer.zero_grad()
    return found


def test_training_and_merging_are_as_without_bit_for_bit():
    models = [sparse(halves) for halves in (False, True)]
    held = [sum(b.nbytes for b in model.buffers()) for model in models]
    assert held[0] < held[1] < 1.1 * held[0], "as much memory, but for the ties' positions"
    assert "weight_upper" in models[1][0]._buffers
    assert "weight" not in models[1][0]._buffers
    assert "weight_upper" not in models[1][2]._buffers, "a CPU computes grouped ones in float32"
    for one, other in zip(*map(trained, models), strict=True):
        assert torch.equal(one, other)
    for model in models:
        gps.merge(model)
    merged = [model.state_dict() for model in models]
    assert merged[0].keys() == merged[1].keys() == net().state_dict().keys()
    for name, tensor in merged[0].items():
        assert torch.equal(tensor, merged[1][name])


def test_without_mixed_precision_all_bits_are_computed_with():
    image = torch.rand(2, 3, 8, 8)
    plain, halved = sparse(False), sparse(True)
    assert torch.equal(plain(image), halved(image))
    assert torch.equal(plain[5].weight, halved[5].weight)
    assert halved[5].weight.dtype == torch.float32


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_as_good(copied):
    model = sparse(True)
    for one, other in zip(trained(copied(model)), trained(model), strict=True):
        assert torch.equal(one, other)


def test_a_weight_that_is_no_float32_stays_whole():
    model = nn.Sequential(nn.Linear(4, 2)).double()
    index = {"0.weight": torch.tensor([1], dtype=torch.int32)}
    gps.sparsify(model, gps.Selection(index, {"0.weight": (2, 4)}), halves=True)
    assert model[0]._buffers["weight"].dtype == torch.float64
