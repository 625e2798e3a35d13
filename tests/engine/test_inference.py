"""From a network and a batch to maps at native size."""

import math

import pytest
import torch
from torch import nn

from gpsseg.engine.inference import Views, predict_all
from gpsseg.engine.machine import make_machine
from gpsseg.errors import TrainingDivergedError
from gpsseg.evaluators import foreground


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
    found = list(predict_all(nn.Conv2d(3, 1, 1), [batch], machine))
    assert [(one.index, one.probability.shape) for one in found] == [(4, (5, 9)), (7, (20, 6))]
    assert all(0 <= p <= 1 for one in found for p in one.probability.flat)


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
    (found,) = predict_all(first_channel(), [in_one_row([-20.0, 20.0], 4)], machine)
    assert found.probability.tolist() == [pytest.approx([0, 0.25, 0.75, 1], abs=1e-6)]


def test_a_network_left_in_training_mode_predicts_without_dropout(machine):
    model = nn.Sequential(first_channel(), nn.Dropout(0.5)).train()
    (found,) = predict_all(model, [in_one_row([math.log(3)] * 64, 64)], machine)
    assert found.probability.tolist() == [pytest.approx([0.75] * 64)]


def test_predictions_of_a_diverged_network_are_refused(machine):
    model = nn.Conv2d(3, 1, 1)
    nn.init.constant_(model.bias, math.nan)
    size = torch.tensor([5])
    batch = {"image": torch.rand(1, 3, 8, 8), "index": size, "height": size, "width": size}
    with pytest.raises(TrainingDivergedError, match="--lr ten times smaller"):
        list(predict_all(model, [batch], machine))


def sets(model, value):
    """Puts a network into place whose every logit is the first channel plus ``value``."""

    def put():
        with torch.no_grad():
            model.bias.fill_(value)

    return put


def test_members_are_averaged_as_probabilities_and_told_apart(machine):
    """Logits 0 and ln 3 are probabilities of 1/2 and 3/4: their mean is 5/8."""
    model, batch = first_channel(), in_one_row([0.0, 0.0], 2)
    networks = (sets(model, 0.0), sets(model, math.log(3)))
    (found,) = predict_all(model, [batch], machine, views=Views(networks, apart=True))
    assert found.probability.tolist() == [pytest.approx([0.625, 0.625])]
    assert found.members.shape == (2, 1, 2)
    assert found.members[:, 0, 0].tolist() == pytest.approx([0.5, 0.75])
    (other,) = predict_all(model, [batch], machine, views=Views(networks[::-1], apart=True))
    assert other.probability.tolist() == found.probability.tolist()
    (plain,) = predict_all(model, [batch], machine, views=Views(networks))
    assert plain.members is None
    assert plain.probability.tolist() == found.probability.tolist()


def test_of_one_network_the_members_are_its_mirror_images(machine):
    """A network that adds 1 on the left half only; the row's mirror image has it on the right."""
    model = Leaning()
    (found,) = predict_all(
        model, [in_one_row([0.0, 0.0], 2)], machine, views=Views(flips=True, apart=True)
    )
    p = 1 / (1 + math.exp(-1))
    assert found.members[:, 0].tolist() == [
        pytest.approx(row) for row in ([p, 0.5], [0.5, p], [p, 0.5], [0.5, p])
    ]
    assert found.probability.tolist() == [pytest.approx([(p + 0.5) / 2] * 2)]


def test_the_members_of_a_study_are_its_networks_each_averaged_over_flips(machine):
    model = Leaning()
    views = Views((lambda: None, lambda: None), flips=True, apart=True)
    (found,) = predict_all(model, [in_one_row([0.0, 0.0], 2)], machine, views=views)
    assert found.members.shape == (2, 1, 2)
    assert found.members[0].tolist() == found.probability.tolist()


def test_a_member_is_the_map_that_its_network_gives_alone(machine):
    """Also of several classes, where what is not background counts, and at another size."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 3, 3, padding=1)
    batch = {
        "image": torch.rand(1, 3, 8, 8),
        "index": torch.tensor([0]),
        "height": torch.tensor([13]),
        "width": torch.tensor([11]),
    }
    networks = [sets(model, value) for value in (0.0, 0.1)]
    (found,) = predict_all(model, [batch], machine, views=Views(networks, apart=True))
    for put, member in zip(networks, found.members, strict=True):
        put()
        (alone,) = predict_all(model, [batch], machine)
        assert member.tolist() == foreground(alone.probability).tolist()


class Leaning(nn.Module):
    """Adds 1 to the logits of the left half."""

    def forward(self, image):
        logits = image[:, :1].clone()
        logits[..., : image.shape[-1] // 2] += 1
        return logits
