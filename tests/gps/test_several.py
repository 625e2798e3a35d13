"""Scores that several processes have parts of, and what rounding may decide."""

import pytest
import torch
from torch import nn

from gpsseg import gps


def squared_error(model, batch):
    image, target = batch
    return ((model(image) - target) ** 2).sum()


@pytest.mark.parametrize(
    ("level", "top_k", "expected"),
    [
        ("neuron", 1, 1),  # of the first row 4 and 3.9999 could change places
        ("neuron", 2, 0),
        ("layer", 1, 2),  # the best two, 4 and 3.9999; the next is 3.9998
        ("net", 2, 0),  # the best four; the next is 0
    ],
)
def test_entries_that_rounding_may_exchange_are_counted(level, top_k, expected):
    layer = nn.Linear(3, 2, bias=False)
    rows = torch.tensor([[4.0, 3.9999, 1.0], [3.9998, 0.0, 0.0]])
    scores = gps.Scores(layer, gps.CRITERIA["gradient"], {"weight": rows}, ["weight"])
    assert gps.within_rounding(scores, {"weight": top_k}, level) == expected


def test_scores_of_processes_add_up_also_where_one_has_none():
    layer = nn.Linear(2, 1, bias=False)
    batches = [(torch.randn(1, 2), torch.randn(1, 1)) for _ in range(2)]
    scores = gps.score(layer, batches, squared_error, ["weight"])
    none = gps.unscored(layer, ["weight"])
    assert none.without_gradient == ("weight",)
    held = []
    none.summed(lambda tensor: held.append(tensor) or tensor)
    assert [tensor.tolist() for tensor in held] == [[[0.0, 0.0]]]
    twice = scores.summed(lambda tensor: tensor * 2)
    torch.testing.assert_close(twice.rows("weight"), 2 * scores.rows("weight"))


def test_of_equal_scores_all_could_change_places_even_without_rounding():
    layer = nn.Linear(3, 1, bias=False)
    scores = gps.Scores(
        layer, gps.CRITERIA["gradient"], {"weight": torch.tensor([[3.0, 3.0, 1.0]])}, ["weight"]
    )
    assert gps.within_rounding(scores, {"weight": 1}, "neuron", share=0.0) == 1
