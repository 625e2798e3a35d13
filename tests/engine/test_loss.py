"""The loss, worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gpsseg.engine.loss import segmentation_loss, weights_near_edges

KINDS = ("bce-iou", "structure")
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


def weights_by_hand(mask):
    """1 + 5 |mean of 31 x 31 - pixel| in numpy, pixel by pixel; beyond the image all is 0."""
    padded = np.pad(mask, 15)
    around = [
        [padded[y : y + 31, x : x + 31].sum() / 961 for x in range(mask.shape[1])]
        for y in range(mask.shape[0])
    ]
    return 1 + 5 * np.abs(np.array(around) - mask)


def test_the_structure_loss_is_worked_out_by_hand():
    """One pixel of four: its own weight is 1 + 5 (1 - 1/961), the others' 1 + 5/961."""
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    near, far = 1 + 5 * 960 / 961, 1 + 5 / 961
    logits = torch.tensor([[[[1.0, 0.0], [0.0, -2.0]]]])
    p, q = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2))
    entropy = -near * math.log(p) - far * (2 * math.log(0.5) + math.log(1 - q))
    overlap = near * p
    union = near * (p + 1) + far * (0.5 + 0.5 + q) - overlap
    expected = entropy / (near + 3 * far) + 1 - (overlap + 1) / (union + 1)
    assert segmentation_loss(logits, mask, "structure").item() == pytest.approx(expected)


def test_weights_are_of_the_31_pixels_around_whatever_the_size():
    mask = np.zeros((40, 37), np.float32)
    mask[3:20, 8:30] = 1
    mask[35:, 30:] = 1
    found = weights_near_edges(torch.tensor(mask)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, weights_by_hand(mask), atol=1e-5)
    assert found.min() >= 1
    assert found.max() < 6
    wide = np.zeros((96, 96), np.float32)
    wide[40:44, 40:44] = 1
    found = weights_near_edges(torch.tensor(wide)[None, None])[0, 0]
    assert (found[:25] == 1).all(), "fifteen pixels from the edge and more"
    assert (found[25, 40:44] > 1).all()


def test_each_image_s_cross_entropy_counts_the_same_with_weights():
    """An image with much edge has larger weights, and would else count more."""
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, :, 8:20, 8:20] = 1
    logits = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    alone = [segmentation_loss(logits[[i]], mask[[i]], "structure").item() for i in (0, 1)]
    assert segmentation_loss(logits, mask, "structure").item() == pytest.approx(sum(alone) / 2)


def test_without_an_edge_the_two_losses_are_equal():
    """A mask of nothing has none; one of everything has the image's border, and no other."""
    logits = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    empty, full = torch.zeros_like(logits), torch.ones_like(logits)
    plain, structure = (segmentation_loss(logits, empty, kind) for kind in KINDS)
    torch.testing.assert_close(plain, structure)
    weights = weights_near_edges(full)
    torch.testing.assert_close(weights[:, :, 15:49, 15:49], full[:, :, 15:49, 15:49])
    assert weights[0, 0, 0, 0].item() == pytest.approx(1 + 5 * (1 - 256 / 961))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("fill", [0, 1])
def test_gradients_of_the_structure_loss_are_finite_for_empty_and_full_masks(fill, classes):
    for size in (1, 8):
        for scale in (0.0, 1e4):  # sure of it, and sure of the opposite
            logits = torch.full((1, classes, size, size), scale).requires_grad_(True)
            loss = segmentation_loss(
                logits, torch.full((1, 1, size, size), fill * 1.0), "structure"
            )
            loss.backward()
            assert math.isfinite(loss.item())
            assert logits.grad.isfinite().all()


def test_the_structure_loss_of_two_classes_is_the_binary_loss():
    logits, mask = torch.randn(2, 1, 33, 9), torch.zeros(2, 1, 33, 9)
    mask[:, :, 4:20, 3:] = 1
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    binary = segmentation_loss(logits, mask, "structure")
    torch.testing.assert_close(segmentation_loss(two, mask, "structure"), binary)


def test_a_pixel_of_several_classes_weighs_as_at_the_nearest_edge_of_any():
    """Of the class's own soft IoU it weighs as at that class's edge; worked out in numpy."""
    mask = np.array([[0, 1, 1], [2, 2, 0]])
    logits = torch.randn(1, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(1)[0].double().numpy()
    weights = np.stack([weights_by_hand((mask == kind).astype(float)) for kind in (1, 2)])
    largest = weights.max(0)
    own = np.take_along_axis(p, mask[None], 0)[0]
    expected = (-np.log(own) * largest).sum() / largest.sum()
    for kind, weight in zip((1, 2), weights, strict=True):
        truth = mask == kind
        overlap = (p[kind] * truth * weight).sum()
        union = ((p[kind] + truth) * weight).sum() - overlap
        expected += (1 - (overlap + 1) / (union + 1)) / 2
    loss = segmentation_loss(logits, torch.tensor(mask)[None, None].float(), "structure")
    assert loss.item() == pytest.approx(expected, rel=1e-5)
