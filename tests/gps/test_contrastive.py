"""The supervised contrastive loss, by hand and in loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpsseg.errors import UserError
from gpsseg.gps import supervised_contrastive_loss


def by_hand(features, labels, temperature):
    """Khosla et al. (2020), eq. 2, as written."""
    unit = [row / row.norm() for row in features.double()]
    losses = []
    for i, one in enumerate(unit):
        others = [j for j in range(len(unit)) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        if positives:
            total = sum(math.exp(float(one @ unit[j]) / temperature) for j in others)
            shares = [math.exp(float(one @ unit[j]) / temperature) / total for j in positives]
            losses.append(-sum(math.log(share) for share in shares) / len(positives))
    return sum(losses) / len(losses)


@given(st.integers(0, 10_000), st.integers(2, 9), st.sampled_from([0.07, 0.5, 1.0]))
def test_it_is_the_papers_formula(seed, images, temperature):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, 5, generator=generator)
    labels = torch.randint(0, 3, (images,), generator=generator)
    labels[1] = labels[0]
    found = supervised_contrastive_loss(features, labels, temperature).item()
    assert found == pytest.approx(by_hand(features, labels, temperature), rel=1e-4, abs=1e-5)


def test_length_and_order_do_not_matter():
    features, labels = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    found = supervised_contrastive_loss(features, labels)
    order = torch.randperm(6)
    torch.testing.assert_close(supervised_contrastive_loss(3 * features, labels), found)
    torch.testing.assert_close(supervised_contrastive_loss(features[order], labels[order]), found)


def test_gradients_pull_a_class_together():
    features = torch.randn(8, 4, requires_grad=True)
    labels = torch.tensor([0, 1] * 4)
    before = supervised_contrastive_loss(features, labels)
    before.backward()
    assert torch.isfinite(features.grad).all()
    after = supervised_contrastive_loss(features - 0.1 * features.grad, labels)
    assert after < before


@pytest.mark.parametrize(
    ("shape", "labels", "said"),
    [
        ((3, 4), [0, 1, 2], "No two of the 3 images of a batch are of one class"),
        ((3, 4, 1), [0, 0, 1], r"Features are \(3, 4, 1\) and labels \(3,\)"),
        ((3, 4), [0, 0], r"labels \(2,\)"),
    ],
)
def test_what_cannot_be_compared(shape, labels, said):
    with pytest.raises(UserError, match=said):
        supervised_contrastive_loss(torch.randn(shape), torch.tensor(labels))
