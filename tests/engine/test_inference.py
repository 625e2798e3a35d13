"""From a network and a batch to maps at native size."""

import math

import pytest
import torch
from torch import nn

from gpsseg.engine.inference import predict_maps
from gpsseg.engine.machine import make_machine
from gpsseg.errors import TrainingDivergedError


@pytest.fixture
def machine():
    return make_machine("cpu", "fp32")


def test_predictions_come_at_native_size_and_in_range(machine):
    batch = {
        "image": torch.rand(2, 3, 8, 8),
        "index": torch.tensor([4, 7]),
        "height": torch.tensor([5, 20]),
        "width": torch.tensor([9, 6]),
    }
    found = dict(predict_maps(nn.Conv2d(3, 1, 1), [batch], machine))
    assert {index: map_.shape for index, map_ in found.items()} == {4: (5, 9), 7: (20, 6)}
    assert all(map_.min() >= 0 and map_.max() <= 1 for map_ in found.values())


def test_predictions_of_a_diverged_network_are_refused(machine):
    model = nn.Conv2d(3, 1, 1)
    nn.init.constant_(model.bias, math.nan)
    size = torch.tensor([5])
    batch = {"image": torch.rand(1, 3, 8, 8), "index": size, "height": size, "width": size}
    with pytest.raises(TrainingDivergedError, match="--lr ten times smaller"):
        list(predict_maps(model, [batch], machine))
