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


def in_one_row(values, width):
    """A batch of one grey picture of one row, whose map is to be of another width."""
    image = torch.tensor(values).view(1, 1, 1, -1).repeat(1, 3, 1, 1)
    one = torch.tensor([1])
    return {"image": image, "index": one, "height": one, "width": torch.tensor([width])}


def first_channel():
    """A network whose logits are the picture's first channel."""
    layer = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
        layer.bias.zero_()
    return layer


def test_a_map_is_resized_by_the_places_of_its_pixels_middles(machine):
    """Two pixels to four: their middles lie at -1/4, 1/4, 3/4 and 5/4 of the way."""
    ((_, map_),) = predict_maps(first_channel(), [in_one_row([-20.0, 20.0], 4)], machine)
    assert map_.tolist() == [pytest.approx([0, 0.25, 0.75, 1], abs=1e-6)]


def test_a_network_left_in_training_mode_predicts_without_dropout(machine):
    model = nn.Sequential(first_channel(), nn.Dropout(0.5)).train()
    ((_, map_),) = predict_maps(model, [in_one_row([math.log(3)] * 64, 64)], machine)
    assert map_.tolist() == [pytest.approx([0.75] * 64)]


def test_predictions_of_a_diverged_network_are_refused(machine):
    model = nn.Conv2d(3, 1, 1)
    nn.init.constant_(model.bias, math.nan)
    size = torch.tensor([5])
    batch = {"image": torch.rand(1, 3, 8, 8), "index": size, "height": size, "width": size}
    with pytest.raises(TrainingDivergedError, match="--lr ten times smaller"):
        list(predict_maps(model, [batch], machine))
