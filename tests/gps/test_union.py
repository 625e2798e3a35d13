"""All entries that were ever selected."""

import pytest
import torch
from torch import nn

from gpsseg import gps
from gpsseg.gps import Selection, Union
from gpsseg.gps.union import write


def selection(**indices):
    shapes = {f"{name}.weight": (2, 3) for name in indices}
    return Selection(
        {f"{name}.weight": torch.tensor(i, dtype=torch.int32) for name, i in indices.items()},
        shapes,
        ("a.bias",),
    )


@pytest.fixture
def model():
    """Two layers whose weights are 0 to 5, and 10 to 15."""
    net = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2, bias=False)})
    for start, layer in zip((0.0, 10.0), net.values(), strict=True):
        layer.weight = nn.Parameter(torch.arange(start, start + 6).view(2, 3))
    return net


@pytest.mark.parametrize("halves", [False, True])
def test_the_union_has_each_entry_once_with_what_it_was_before(model, halves):
    first = selection(a=[1, 4])
    gps.sparsify(model, first, halves)
    union = Union.of(model, gps.selected_in(model))
    assert gps.selected_in(model).hash == first.hash == union.selection.hash
    with torch.no_grad():
        model.get_parameter("a.weight_values").copy_(torch.tensor([-1.0, -4.0]))
    gps.merge(model)
    union = union.joined(model, selection(a=[0, 4], b=[5]))
    assert union.selection.hash == selection(a=[0, 1, 4], b=[5]).hash
    assert union.base["a.weight"].tolist() == [0, 1, 4], "before, not what they have become"
    assert union.base_of("a.weight", torch.tensor([1, 4])).tolist() == [1, 4]
    gps.sparsify(model, selection(a=[0, 4], b=[5]), halves)
    now = union.values(model)
    assert {name: values.tolist() for name, values in now.items()} == {
        "a.weight": [0, -1, -4],
        "b.weight": [15],
    }
    gps.merge(model)
    write(model, union.selection.indices, union.base)
    assert model["a"].weight.flatten().tolist() == [0, 1, 2, 3, 4, 5]
