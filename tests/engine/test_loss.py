"""The loss, worked out by hand."""

import math

import pytest
import torch
from torch import nn

from gpsseg.engine.loss import segmentation_loss

BIG = 20.0  # a logit whose sigmoid is 0 or 1 to 1e-8


def test_loss_of_a_perfect_and_of_an_inverted_mask():
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    logits = (mask * 2 - 1) * BIG
    assert segmentation_loss(logits, mask).item() == pytest.approx(0, abs=1e-6)
    # Inverted: cross-entropy 20 per pixel; overlap 0, union 4, soft IoU (0 + 1) / (4 + 1).
    assert segmentation_loss(-logits, mask).item() == pytest.approx(20 + 0.8, abs=1e-4)


def test_loss_of_logits_zero_is_worked_out_by_hand():
    mask = torch.zeros(2, 1, 2, 2)
    mask[0] = 1
    # p = .5 everywhere. Image 0: overlap 2, union 4. Image 1: overlap 0, union 2.
    soft_iou = (3 / 5 + 1 / 3) / 2
    expected = math.log(2) + 1 - soft_iou
    loss = segmentation_loss(torch.zeros(2, 1, 2, 2), mask)
    assert loss.item() == pytest.approx(expected)


def test_the_loss_of_two_classes_is_the_binary_loss():
    """The softmax of (0, z) is the sigmoid of z."""
    logits, mask = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).float()
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    binary = segmentation_loss(logits, mask)
    torch.testing.assert_close(segmentation_loss(two, mask), binary)


def test_the_loss_of_three_classes_is_worked_out_by_hand():
    mask = torch.tensor([[[[0.0, 1.0], [2.0, 2.0]]]])
    logits = 2 * BIG * nn.functional.one_hot(mask[:, 0].long(), 3).movedim(-1, 1).float()
    assert segmentation_loss(logits, mask).item() == pytest.approx(0, abs=1e-6)
    # All equal: p = 1/3. Class 1: overlap 1/3, union 2. Class 2: overlap 2/3, union 8/3.
    soft_iou = ((1 + 1 / 3) / 3 + (1 + 2 / 3) / (1 + 8 / 3)) / 2
    expected = math.log(3) + 1 - soft_iou
    assert segmentation_loss(0 * logits, mask).item() == pytest.approx(expected)


def test_logits_of_another_size_are_resized_by_the_places_of_their_pixels_middles():
    """Two to four: -2, -1, 1, 2, as the middles lie at -1/4, 1/4, 3/4 and 5/4 of the way."""
    mask = torch.tensor([[[[0.0, 1.0, 1.0, 1.0]]]])
    loss = segmentation_loss(torch.tensor([[[[-2.0, 2.0]]]]), mask)
    entropy = (
        2 * math.log1p(math.exp(-2)) + math.log1p(math.exp(1)) + math.log1p(math.exp(-1))
    ) / 4
    # Probabilities 1 - q, 1 - p, p, q: 2 in all, of which 1 + q lie in the mask.
    q = 1 / (1 + math.exp(-2))
    soft_iou = (1 + q + 1) / (2 + 3 - (1 + q) + 1)
    assert loss.item() == pytest.approx(entropy + 1 - soft_iou)
