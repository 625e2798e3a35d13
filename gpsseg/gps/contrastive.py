"""The loss by which GPS scores a classifier's weights: no head is needed, so none disturbs them.

A new head starts at random, and so would the gradients that come through it. The supervised
contrastive loss (Khosla et al., 2020: their L_out, with the mean outside of the logarithm) asks of
the features alone that images of one class lie close together. GPS scores with it (Zhang et al.,
CVPR 2024); a temperature of 0.07 is what the method's public code takes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gpsseg.errors import UserError


def supervised_contrastive_loss(
    features: Tensor, labels: Tensor, temperature: float = 0.07
) -> Tensor:
    """Mean over the images of how badly their features tell their class from the others.

    Args:
        features: (B, D) float, such as a classifier's pooled features; their length does not
            matter. Two views of each image are simply 2 B rows.
        labels: (B,) integer classes.
        temperature: by which similarities, -1 to 1, are divided.

    Returns:
        Scalar >= 0: for each image that has another of its class, the mean over these of
        -log(share of that one among all others); then the mean over such images.

    Raises:
        UserError: shapes do not fit, or no two images are of one class.

    >>> apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> round(supervised_contrastive_loss(apart, torch.tensor([0, 0, 1, 1]), 1.0).item(), 4)
    0.5514
    """
    if features.dim() != 2 or labels.shape != features.shape[:1]:
        raise UserError(
            f"Features are {tuple(features.shape)} and labels {tuple(labels.shape)}, expected "
            "(images, channels) and (images,). Pool the features first."
        )
    others = ~torch.eye(len(labels), dtype=torch.bool, device=features.device)
    same = (labels[:, None] == labels[None, :]) & others
    positives = same.sum(dim=1)
    if not positives.any():
        raise UserError(
            f"No two of the {len(labels)} images of a batch are of one class, so nothing can be "
            "compared. Take larger batches, or two views of each image."
        )
    unit = F.normalize(features.float(), dim=1)
    similarity = (unit @ unit.T) / temperature
    log_share = similarity - similarity.masked_fill(~others, -torch.inf).logsumexp(1, keepdim=True)
    has = positives > 0
    each = -(log_share.masked_fill(~same, 0.0).sum(dim=1))[has] / positives[has]
    return each.mean()
