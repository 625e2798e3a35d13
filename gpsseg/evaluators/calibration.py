"""Calibration of probabilities: the reliability curve and ECE, from a streamed histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError
from gpsseg.evaluators.counts import LEVELS, Histogram

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A reliability curve over all pixels.

    Attributes:
        confidence: (bins,) mean probability of the bin's pixels; nan where there are none.
        accuracy: (bins,) share of them that is foreground; nan where there are none.
        pixels: (bins,) int64.
        ece: expected calibration error, sum of pixels x |accuracy - confidence| / all pixels.
    """

    confidence: Floats
    accuracy: Floats
    pixels: npt.NDArray[np.int64]
    ece: float


def calibration(pooled: Histogram, bins: int = 15) -> Calibration:
    """Reliability curve and ECE from a pooled histogram; memory does not grow with the data.

    Args:
        pooled: sum of the images' histograms (`counts.histogram` of `counts.quantise`).
            Exact for 8-bit maps; a float map moves by at most 1/510.
        bins: equal bins of [0, 1]: [i / bins, (i + 1) / bins), and 1 belongs to the last.

    Raises:
        UserError: the histogram is empty.

    Source:
        Naeini et al., AAAI 2015; Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    level = np.arange(LEVELS)
    bin_of = np.minimum(level * bins // (LEVELS - 1), bins - 1)
    weight = pooled.foreground + pooled.background
    pixels = np.bincount(bin_of, weights=weight, minlength=bins)
    if pixels.sum() == 0:
        raise UserError("Got no pixels to calibrate on, expected at least one image.")
    probability = np.bincount(bin_of, weights=weight * level / (LEVELS - 1), minlength=bins)
    positive = np.bincount(bin_of, weights=pooled.foreground, minlength=bins)
    some = np.where(pixels > 0, pixels, np.nan)
    ece = float(np.abs(positive - probability).sum() / pixels.sum())
    return Calibration(probability / some, positive / some, pixels.astype(np.int64), ece)
