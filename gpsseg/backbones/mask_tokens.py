"""Several classes for SAM's mask decoder: one more mask token for each.

SAM's decoder makes one mask of each of its mask tokens: the token attends to the image, and a small
network of its own (the hypernetwork) turns it into the weights of a last 1x1 convolution (Kirillov
et al., 2023, appendix A). The pre-trained tokens stay: the first is for the single mask, the others
are for ambiguous prompts. Every class gets a further token and hypernetwork, copies of the first's.
So nothing is random, no class is preferred, and each begins near what the network segments untuned
(not at it: tokens attend to one another, and there are more of them).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class MaskTokens(nn.Module):
    """The pre-trained mask tokens, and one for each class but the background.

    Args:
        pretrained: (tokens, channels), the first of which makes the single mask.
        classes: C, the background included.
    """

    def __init__(self, pretrained: nn.Embedding, classes: int):
        super().__init__()
        single = pretrained.weight[:1].detach()
        self.pretrained = pretrained
        self.of_classes = nn.Embedding.from_pretrained(single.repeat(classes - 1, 1), freeze=False)

    @property
    def weight(self) -> Tensor:
        """All tokens: (tokens + C - 1, channels)."""
        return torch.cat([self.pretrained.weight, self.of_classes.weight])


def add_classes(decoder: Any, classes: int) -> None:
    """Give a mask decoder a token and a hypernetwork for each class, in place.

    Args:
        decoder: of SAM, SAM-HQ, SAM 2, EdgeTAM or LiteMedSAM. With ``multimask_output`` it returns
            the masks of all tokens but the first: those of the classes are the last. (SAM-HQ's are
            made by ``hq_decoder``.)
        classes: C, the background included; with 1 nothing is changed.
    """
    if classes > 1:
        decoder.mask_tokens = MaskTokens(decoder.mask_tokens, classes)
        networks = decoder.output_hypernetworks_mlps
        networks.extend([copy.deepcopy(networks[0]) for _ in range(classes - 1)])
        decoder.num_mask_tokens += classes - 1


def class_layers(decoder: Any, classes: int) -> Sequence[nn.Module]:
    """What ``add_classes`` added, and no checkpoint holds; nothing for one class."""
    if classes == 1:
        return ()
    return [decoder.mask_tokens.of_classes, *decoder.output_hypernetworks_mlps[1 - classes :]]


def class_logits(masks: Tensor, classes: int) -> Tensor:
    """Make (B, C, H, W) logits of a decoder's masks.

    The background's logits are 0: with one other class the softmax is what the sigmoid was.

    Args:
        masks: (B, C - 1 or more, H, W), the classes' last; for one class (B, 1, H, W).
        classes: C.

    >>> pair = class_logits(torch.tensor([9.0, 2.0]).view(1, 2, 1, 1), 2).softmax(1).flatten()
    >>> pair[1] == torch.tensor(2.0).sigmoid()
    tensor(True)
    """
    if classes == 1:
        return masks
    return torch.cat([torch.zeros_like(masks[:, :1]), masks[:, 1 - classes :]], dim=1)
