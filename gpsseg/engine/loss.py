"""The one loss: of scoring, training and the benchmark."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prompts import Prompter, answer, no_prompt


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


def batch_loss(
    machine: Machine, prompter: Prompter = no_prompt
) -> Callable[[nn.Module, Batch], Tensor]:
    """Return ``loss(model, batch)``, as scoring and training both use it."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        batch = machine.place(batch)
        with machine.autocast():
            logits = answer(model, batch, prompter)
        return segmentation_loss(logits, batch["mask"])

    return loss
