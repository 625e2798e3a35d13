"""The one loss: of scoring, training and the benchmark."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def segmentation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy plus soft IoU loss, the loss of the GPS segmentation experiments.

    Args:
        logits: (B, C, H, W) float.
        mask: (B, 1, H, W) float of 0 and 1, or with C > 1 of the classes 0 (background) to C - 1.

    Returns:
        Scalar: mean cross-entropy over pixels + mean over images, and over the classes but the
        background, of 1 - soft IoU.
    """
    logits = logits.float()
    if logits.shape[-2:] != mask.shape[-2:]:
        logits = F.interpolate(logits, mask.shape[-2:], mode="bilinear", align_corners=False)
    if logits.shape[1] > 1:
        return _loss_of_classes(logits, mask[:, 0].long())
    probability = logits.sigmoid()
    overlap = (probability * mask).sum((1, 2, 3))
    union = (probability + mask).sum((1, 2, 3)) - overlap
    soft_iou = (overlap + 1) / (union + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - soft_iou).mean()


def _loss_of_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss for (B, C, H, W) logits and (B, H, W) integer labels."""
    probability = logits.softmax(dim=1)[:, 1:]
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:]
    overlap = (probability * truth).sum((2, 3))
    union = (probability + truth).sum((2, 3)) - overlap
    soft_iou = (overlap + 1) / (union + 1)
    return F.cross_entropy(logits, labels) + (1 - soft_iou).mean()
