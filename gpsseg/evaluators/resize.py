"""Bilinear resizing to a fixed grid, for the one protocol that scores at 256 x 256."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse


@lru_cache(maxsize=256)
def interpolation_matrix(source: int, target: int, dtype: str = "float32") -> sparse.csr_matrix:
    """Weights of linear interpolation along one axis, two a row.

    Pixel centres are aligned (`align_corners=False`), there is no antialiasing.

    Args:
        source: length before.
        target: length after.
        dtype: of the weights.

    Returns:
        (target, source) sparse matrix whose rows sum to 1.
    """
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(position.astype(int), max(source - 2, 0))
    weight = position - left
    row = np.arange(target)
    right = np.minimum(left + 1, source - 1)
    entries = np.concatenate([1 - weight, weight]), (np.r_[row, row], np.r_[left, right])
    return sparse.csr_matrix(entries, shape=(target, source), dtype=np.dtype(dtype))


def resize_bilinear(image: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize a map, as ``torch.nn.functional.interpolate(mode="bilinear")`` does.

    Args:
        image: (H, W) float32 or float64.
        shape: (height, width) wanted.

    Returns:
        `shape`, of the image's dtype; the image itself where it already has that shape.
    """
    if image.shape == shape:
        return image
    down = interpolation_matrix(image.shape[0], shape[0], image.dtype.name) @ image
    across = interpolation_matrix(image.shape[1], shape[1], image.dtype.name)
    return (across @ np.ascontiguousarray(down.T)).T
