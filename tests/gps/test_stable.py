"""What other images would have selected, what chance would, and which channels are used."""

import pytest
import torch
from torch import nn

from gpsseg import gps


def layer(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False))


def scores(model, sums):
    totals = {"0.weight": torch.tensor(sums)}
    return gps.Scores(model, gps.CRITERIA["gradient"], totals, list(totals))


def selected(model, kept):
    """A selection from a mask of the first layer's weight."""
    index = torch.tensor(kept).flatten().nonzero().flatten().int()
    return gps.Selection({"0.weight": index}, {"0.weight": tuple(model[0].weight.shape)})


def channels(model, selection):
    return gps.channels_of(model, selection, ["0.weight"])


def test_of_two_neurons_one_has_another_winner_by_the_other_images():
    """Gradients of part one: 3 0 and 3 0; of part two: 2 1 and 0 -4; of all: 5 1 and 3 -4."""
    model, on_the_way = layer(2, 2), gps.SumsOnTheWay()
    growing = scores(model, [[3.0, 0.0], [3.0, 0.0]])
    on_the_way.keep(growing)
    growing.totals["0.weight"].add_(torch.tensor([[2.0, 1.0], [0.0, -4.0]]))
    one, two = (
        gps.select(model, each, {"0.weight": 1}) for each in on_the_way.halves(growing, [0])
    )
    assert one.indices["0.weight"].tolist() == [0, 2]
    assert two.indices["0.weight"].tolist() == [0, 3]
    assert gps.overlap(one, two) == 0.5


def test_parts_that_do_not_follow_one_another_are_added_up():
    """Parts of 1, 10, 100 and 1000; what they were on the way does not change any more."""
    model, on_the_way = layer(1, 1), gps.SumsOnTheWay()
    growing = scores(model, [[0.0]])
    for own in (1.0, 10.0, 100.0, 1000.0):
        growing.totals["0.weight"].add_(own)
        if own < 1000:
            on_the_way.keep(growing)
    both = on_the_way.halves(growing, [0, 2])
    assert [each.rows("0.weight").item() for each in both] == [101, 1010]


def test_a_weight_without_gradient_in_one_half_is_scored_in_the_other():
    model, on_the_way = layer(1, 1), gps.SumsOnTheWay()
    growing = gps.Scores(model, gps.CRITERIA["gradient"], {}, ["0.weight"])
    on_the_way.keep(growing)
    one, two = on_the_way.halves(growing.of({"0.weight": torch.tensor([[2.0]])}), [0])
    assert one.without_gradient == ("0.weight",)
    assert two.rows("0.weight").item() == 2


def test_halves_are_as_equal_as_can_be():
    """Of 3, 1, 1 and 3 images only what pairs a large part with a small one makes 4 and 4."""
    assert sorted(gps.divisions([3, 1, 1, 3], 5, seed=0)) == [(0, 1), (0, 2)]
    assert gps.divisions([3, 1, 1, 3], 1, seed=0)[0] in {(0, 1), (0, 2)}
    assert gps.divisions([1, 2], 5, seed=0) == [(0,)]
    drawn = [gps.divisions([2] * 8, 5, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({*drawn[0]}) == 5


@pytest.mark.parametrize(("k", "chance"), [(1, 0.1), (3, 0.3), (10, 1)])
def test_chance_of_the_best_k_of_n(k, chance):
    model = layer(10, 4)
    kept = [[i < k for i in range(10)]] * 4
    found = gps.chance_of_overlap(model, selected(model, kept), ["0.weight"])
    assert found == pytest.approx(chance)


def test_chance_where_entries_compete_in_the_layer_or_the_network():
    """Rows of 2 and 0 of 4: in a neuron 2 of 4, in the layer 2 of 8, in a network of 16 2 of 16."""
    model = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False))
    selection, names = selected(model, [[1, 1, 0, 0], [0] * 4]), ["0.weight", "1.weight"]
    assert [
        gps.chance_of_overlap(model, selection, names, level)
        for level in ("neuron", "layer", "net")
    ] == [0.5, 0.25, 0.125]


def test_channels_of_a_linear_layer():
    """Of three neurons two read input 2 and one input 0; three draws of 4 leave out (3/4)^3."""
    model = layer(4, 3)
    kept = [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    found = channels(model, selected(model, kept))["0.weight"]
    assert found.neurons.tolist() == [1, 0, 2, 0]
    assert (found.used, found.selecting) == (2, 3)
    assert found.by_chance == pytest.approx(4 * (1 - 0.75**3))


def test_channels_of_convolutions():
    """Kernels of two entries: a neuron with 2 of 4 leaves out a channel in 1 of 6 ways."""
    model = nn.Sequential(nn.Conv2d(2, 1, (1, 2), bias=False))
    found = gps.channels_of(model, selected(model, [[[[0, 0]], [[1, 1]]]]), ["0.weight"])[
        "0.weight"
    ]
    assert (found.neurons.tolist(), found.by_chance) == ([0, 1], pytest.approx(2 * 5 / 6))
    grouped = nn.Sequential(nn.Conv2d(4, 2, 1, groups=2, bias=False))
    kept = torch.zeros(2, 2, 1, 1, dtype=torch.bool)
    kept[0, 1] = kept[1, 0] = True
    found = channels(grouped, selected(grouped, kept.tolist()))["0.weight"]
    assert (found.neurons.tolist(), found.by_chance) == ([0, 1, 1, 0], pytest.approx(2))
    turned = nn.Sequential(nn.ConvTranspose2d(3, 2, 1, bias=False))  # (in, out, 1, 1)
    kept = torch.zeros(3, 2, 1, 1, dtype=torch.bool)
    kept[2, 0] = kept[2, 1] = True
    found = channels(turned, selected(turned, kept.tolist()))["0.weight"]
    assert found.neurons.tolist() == [0, 0, 2]
    depthwise = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2, bias=False))
    assert channels(depthwise, selected(depthwise, [[[[1] * 3] * 3]] * 2)) == {}


def test_a_neuron_that_keeps_all_leaves_no_channel_out():
    model = layer(3, 1)
    found = channels(model, selected(model, [[1, 1, 1]]))["0.weight"]
    assert (found.used, found.by_chance) == (3, 3)


def test_the_share_of_all_score():
    model = layer(2, 2)
    found = scores(model, [[3.0, -1.0], [-3.0, 1.0]])
    assert gps.share_of_scores(model, found, selected(model, [[1, 0], [1, 0]])) == 0.75
    nothing = scores(model, [[0.0, 0.0], [0.0, 0.0]])
    assert gps.share_of_scores(model, nothing, selected(model, [[1, 0], [1, 0]])) == 0


def test_a_weight_of_which_nothing_is_selected_counts_too():
    """Scores 3 1 and 2 of a second layer: 3 of 6; its only input channels are not used."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False))
    totals = {"0.weight": torch.tensor([[3.0, -1.0]]), "1.weight": torch.tensor([[2.0, 0.0]])}
    found = gps.Scores(model, gps.CRITERIA["gradient"], totals, list(totals))
    one = selected(model, [[1, 0]])
    assert gps.share_of_scores(model, found, one) == 0.5
    assert gps.share_of_scores(model, found.of({"0.weight": totals["0.weight"]}), one) == 0.75
    both = gps.channels_of(model, one, totals)
    assert [(each.used, each.by_chance) for each in both.values()] == [(1, 1), (0, 0)]


def test_criteria_of_the_same_sums():
    assert {"gradient", "taylor", "channel-normalised", "magnitude"} <= {
        *gps.of_the_same_sums("gradient")
    }
    assert gps.of_the_same_sums("gradient-abs") == ["gradient-abs", "magnitude"]
