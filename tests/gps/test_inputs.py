"""Scores of forward passes alone: how large a weight is, times how large its input is."""

import pytest
import torch
from torch import nn

from gpsseg import gps
from gpsseg.gps.inputs import no_input, over_weight
from gpsseg.gps.neurons import owner


def run(model, batch):
    return model(batch).sum()


def test_fps_by_hand():
    """Inputs (1, -3) and (3, 1) have mean magnitudes 2 and 2 over both images: (1 + 3) and (3 + 1).

    The second layer sees the first one's outputs 2 * 1 - 3 = -1 and 2 * 3 + 1 = 7: 8 in all.
    """
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 1.0]]))
        model[1].weight.copy_(torch.tensor([[1.0], [-0.5]]))
    batches = [torch.tensor([[1.0, -3.0]]), torch.tensor([[3.0, 1.0]])]
    scores = gps.score(model, batches, run, gps.neuron_weights(model), "fps")
    assert scores.rows("0.weight").tolist() == [[8.0, 4.0]]
    assert scores.rows("1.weight").tolist() == [[8.0], [4.0]]
    assert scores.without_gradient == ()


def test_no_gradient_is_formed_and_the_network_is_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1))
    batches, seen = [torch.rand(1, 1, 5, 5)], []

    def loss(net, batch):
        seen.append(torch.is_grad_enabled())
        return run(net, batch)

    gps.score(model, batches, loss, gps.neuron_weights(model), "fps")
    assert seen == [False]
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in model.modules())


LAYERS = {
    "linear": (nn.Linear(3, 4), (2, 5, 3)),
    "convolution": (nn.Conv2d(4, 6, 3), (2, 4, 5, 5)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 6, 2), (2, 4, 3, 3)),
    "transposed groups": (nn.ConvTranspose2d(4, 6, 2, groups=2), (2, 4, 3, 3)),
    "volume": (nn.Conv3d(2, 2, 1), (1, 2, 3, 3, 3)),
    "unbatched": (nn.Conv2d(4, 6, 3), (4, 5, 5)),
}


@pytest.mark.parametrize("case", LAYERS)
def test_each_weight_has_the_mean_of_its_own_input(case):
    """One channel at a time is loud: the weights that move the output are those that see it."""
    layer, shape = LAYERS[case]
    axis = len(shape) - 1 if isinstance(layer, nn.Linear) else len(shape) - layer.weight.dim() + 1
    for channel in range(shape[axis]):
        image = torch.zeros(shape)
        image.select(axis, channel).fill_(-2.0)
        totals = gps.score(layer, [image], run, ["weight"], "fps")._totals["weight"]
        gradient = torch.autograd.grad(layer(image).sum(), layer.weight)[0]
        sees = over_weight(totals, layer.weight, layer)
        assert set(sees.unique().tolist()) <= {0.0, 2.0}
        assert torch.equal(sees > 0, gradient != 0)
    assert no_input(layer).shape == totals.shape


def test_an_embedding_is_scored_by_its_size_alone():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(2, 2)

        def forward(self, index):
            return self.words(index)

    net = Net()
    scores = gps.score(net, [torch.tensor([0]), torch.tensor([0])], run, ["words.weight"], "fps")
    assert torch.equal(scores.rows("words.weight"), 2 * net.words.weight.detach().abs())
    assert no_input(owner(net, "words.weight")).shape == (1,)


def test_processes_add_up_what_each_has_seen():
    """A process that no image was left for adds nothing."""
    layer = nn.Conv2d(2, 3, 3)
    seen = gps.score(layer, [torch.ones(1, 2, 4, 4)], run, ["weight"], "fps")
    none = gps.unscored(layer, ["weight"], "fps")
    other = []
    seen.summed(lambda total: other.append(total) or total)
    assert torch.equal(
        none.summed(lambda total: total + other[0]).rows("weight"), seen.rows("weight")
    )
