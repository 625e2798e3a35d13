"""A float32 tensor in two halves of 16 bits, of which the upper is the tensor in bfloat16.

Mixed precision multiplies with weights in bfloat16, and casts a frozen one anew in every forward
and every backward pass. Kept in halves it is there in bfloat16 from the start, the tensor takes as
much memory as before, and no bit of it is lost.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALF = 0x8000  # what the lower half of a tie holds: a number as near to two of bfloat16


def split(tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut float32 of any shape into its halves, of the same shape.

    Returns:
        The upper, bfloat16: rounded as a cast rounds a finite number, of two that are as near to
        the even one;
        the lower, int16: the bits that are left; and int32 (n,), the flat positions of the ties
        that were rounded down, which the halves alone do not tell from those rounded up.

    >>> upper, lower, down = split(torch.tensor([1.0, 1.005, 1.00390625]))
    >>> upper.tolist(), lower.tolist(), down.tolist()
    ([1.0, 1.0078125, 1.0], [0, -23593, -32768], [2])
    """
    bits = tensor.contiguous().view(torch.int32)
    upper = (bits + HALF >> 16).to(torch.int16)
    down = ((bits & 0x1FFFF) == HALF).flatten().nonzero().flatten()
    upper.view(-1)[down] -= 1
    return upper.view(torch.bfloat16), bits.to(torch.int16), down.int()


def joined(upper: Tensor, lower: Tensor, down: Tensor) -> Tensor:
    """Put the halves (...) and ties (n,) of ``split`` together again, (...), bit for bit.

    >>> joined(*split(torch.tensor([-0.1]))).item() == torch.tensor(-0.1).item()
    True
    """
    rounded_up = (lower < 0).to(torch.int32)
    rounded_up.view(-1)[down.long()] = 0
    bits = (upper.view(torch.int16).to(torch.int32) - rounded_up << 16) | (
        lower.to(torch.int32) & 0xFFFF
    )
    return bits.view(torch.float32)
