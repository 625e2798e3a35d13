"""SAM 3's instances as one mask.

The rule: a pixel is foreground if an instance of a score above a half has it in its mask. Score and
mask are those of transformers' ``post_process_instance_segmentation``: the score is the query's
probability times that of the words' being in the image at all, and a mask is enlarged as
probabilities, of which those above a half are in it. The threshold of the score is that of SAM 3's
own detector (``score_threshold_detection``).

As a logit: of all instances the largest of min(the pixel's log odds, the score's log odds). It is
positive where the rule says foreground and nowhere else; it is at most the score's, so that a
doubtful instance makes a doubtful mask; and each pixel has a gradient, in the mask or in the score
of one instance, whichever is to blame: also where no instance is above the threshold, for log odds
do not flatten. So training takes the rule itself, and no smooth stand-in for it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gpsseg.backbones.base import full_precision

KEPT = 0.5  # instances of a higher score are in the mask
PIXELS = 2**23  # how many are enlarged at once, an image
LEAST = 1e-30  # a probability's logarithm stays finite, and keeps its gradient
TINY = 1e-7


def united(masks: Tensor, scores: Tensor, presence: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) logits of the union of all instances.

    Args:
        masks: (B, Q, h, w) logits of the Q queries' masks.
        scores: (B, Q) logits of each query's being an instance of what is named.
        presence: (B, 1) logits of there being any in the image.
        size: H, W.
    """
    with full_precision(masks):
        masks, scores, presence = masks.float(), scores.float(), presence.float()
        odds = score_odds(scores, presence)
        at_once = max(1, PIXELS // (size[0] * size[1]))  # of any number of images, as a graph is
        union = masks.new_full((masks.shape[0], *size), -torch.inf)
        for first in range(0, masks.shape[1], at_once):
            part = slice(first, first + at_once)
            union = _joined(union, masks[:, part], odds[:, part])
        return union[:, None]


def score_odds(scores: Tensor, presence: Tensor) -> Tensor:
    """(B, Q) log odds of sigmoid(scores) * sigmoid(presence), positive just where it is > KEPT.

    >>> score_odds(torch.tensor([[0.0, 9.0]]), torch.tensor([[2.0]])).sigmoid()
    tensor([[0.4404, 0.8807]])
    """
    kept = scores.sigmoid() * presence.sigmoid() > KEPT
    both = scores, presence.expand_as(scores), torch.zeros_like(scores)
    return _signed(scores + presence - torch.stack(both).logsumexp(0), kept)


def _joined(union: Tensor, masks: Tensor, odds: Tensor) -> Tensor:
    """A (B, H, W) union with some more instances; what it needs of them is computed twice."""
    if not torch.is_grad_enabled():
        return _join(union, masks, odds)
    joined: Tensor = checkpoint(_join, union, masks, odds, use_reentrant=False)
    return joined


def _join(union: Tensor, masks: Tensor, odds: Tensor) -> Tensor:
    inside, outside = (
        F.interpolate(each.sigmoid(), union.shape[-2:], mode="bilinear") for each in (masks, -masks)
    )
    pixel = inside.clamp_min(LEAST).log() - outside.clamp_min(LEAST).log()
    pixel = _signed(pixel, inside > 0.5)
    return torch.maximum(union, torch.minimum(pixel, odds[..., None, None]).amax(1))


def _signed(odds: Tensor, positive: Tensor) -> Tensor:
    """Log odds with the sign that a comparison of probabilities gives; rounding may differ."""
    return torch.where(positive, odds.clamp_min(TINY), odds.clamp_max(0))
