"""The one loss of scoring, training and the benchmark, in its two kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.config.shared import Loss
from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prompts import Prompter, answer

AREA = 31  # side in pixels of what a pixel is compared with, as in the published code (352 px)
EDGES = 5  # how much more than 1 a pixel weighs whose surroundings are all of the other kind


def segmentation_loss(logits: Tensor, mask: Tensor, kind: Loss = "bce-iou") -> Tensor:
    """Cross-entropy plus soft IoU loss, of all pixels alike or with more weight near edges.

    "bce-iou" is the loss of the GPS authors' segmentation code. "structure" weighs every pixel, in
    both parts, as ``weights_near_edges`` says (Wei et al., F3Net, AAAI 2020; Fan et al., PraNet,
    MICCAI 2020). PraNet's code and SAM2-UNet's pass ``reduce="none"`` to PyTorch, which takes that
    for the mean, so that there the cross-entropy has no weights after all; here it has them.

    Args:
        logits: (B, C, h, w) float of any size; resized bilinearly to the mask's.
        mask: (B, 1, H, W) float of 0 and 1, or with C > 1 of the classes 0 (background) to C - 1.
        kind: of the loss.

    Returns:
        Scalar float32 >= 0: mean cross-entropy over pixels + mean over images, and over the classes
        but the background, of 1 - soft IoU.
    """
    logits = logits.float()
    if logits.shape[-2:] != mask.shape[-2:]:
        logits = F.interpolate(logits, mask.shape[-2:], mode="bilinear", align_corners=False)
    if logits.shape[1] > 1:
        labels = mask[:, 0].long()
        probability = logits.softmax(dim=1)[:, 1:]
        truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:]
        entropy = partial(F.cross_entropy, logits, labels)
    else:
        probability, truth = logits.sigmoid(), mask
        entropy = partial(F.binary_cross_entropy_with_logits, logits, mask)
    if kind == "bce-iou":
        return entropy() + (1 - _soft_iou(probability, truth)).mean()
    weights = weights_near_edges(truth.float())
    of_pixel = weights.amax(1)  # near an edge of any class
    each = entropy(reduction="none").view_as(of_pixel) * of_pixel
    weighted = (each.sum((1, 2)) / of_pixel.sum((1, 2))).mean()
    return weighted + (1 - _soft_iou(probability, truth, weights)).mean()


def weights_near_edges(truth: Tensor) -> Tensor:
    """1 + 5 |mean of the 31 x 31 pixels around - the pixel|: 1 far from edges, below 6 at them.

    The area is so many pixels whatever the image's size, as in the published code. What lies beyond
    the image counts as background there, so a lesion's cut at the image's border is an edge too.

    Args:
        truth: (B, C, H, W) float of 0 and 1, of each class for itself.

    Returns:
        (B, C, H, W) float, 1 to 6.
    """
    half = AREA // 2
    along = F.avg_pool2d(truth, (1, AREA), 1, (0, half))  # one after the other is ten times as fast
    return 1 + EDGES * (F.avg_pool2d(along, (AREA, 1), 1, (half, 0)) - truth).abs()


def _soft_iou(probability: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """(B, C) soft IoU of (B, C, H, W), each pixel with its weight."""
    overlap, both = probability * truth, probability + truth
    if weights is not None:
        overlap, both = overlap * weights, both * weights
    common = overlap.sum((2, 3))
    return (common + 1) / (both.sum((2, 3)) - common + 1)


def batch_loss(
    machine: Machine, prompter: Prompter, kind: Loss
) -> Callable[[nn.Module, Batch], Tensor]:
    """Return ``loss(model, batch)``, as scoring and training both use it."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        batch = machine.place(batch)
        with machine.autocast():
            logits = answer(model, batch, prompter)
        return segmentation_loss(logits, batch["mask"], kind)

    return loss
