"""Calibration of probabilities: the reliability curve and ECE, from a streamed histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError
from gpsseg.evaluators.counts import LEVELS, Histogram

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A reliability curve over all pixels.

    Attributes:
        confidence: (bins,) float64 mean probability of the bin's pixels; nan where there are none.
        accuracy: (bins,) float64 share of them that is foreground; nan where there are none.
        pixels: (bins,) int64, how many.
        ece: expected calibration error, sum of pixels x |accuracy - confidence| / all pixels, 0..1.
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
    pixels, probability, positive = binned(pooled, bins)
    if pixels.sum() == 0:
        raise UserError("Got no pixels to calibrate on, expected at least one image.")
    some = np.where(pixels > 0, pixels, np.nan)
    ece = float(expected_error(np.stack([pixels, probability, positive])[None])[0])
    return Calibration(probability / some, positive / some, pixels.astype(np.int64), ece)


def binned(histogram: Histogram, bins: int = 15) -> Floats:
    """What a reliability curve needs of an image; it adds up over images.

    Returns:
        (3, bins) float64: pixels, sum of their probabilities, and how many are foreground.
    """
    level = np.arange(LEVELS)
    bin_of = np.minimum(level * bins // (LEVELS - 1), bins - 1)
    weight = histogram.foreground + histogram.background
    columns = (weight, weight * level / (LEVELS - 1), histogram.foreground)
    return np.stack([np.bincount(bin_of, weights=c, minlength=bins) for c in columns])


def joined_bins(parts: Sequence[Sequence[Mapping[str, Any]]], bins: int = 15) -> dict[str, Any]:
    """ECE and reliability curve over the pixels of several evaluations, from their curves.

    Args:
        parts: "bins" of each, as `Scorer.calibration` gives them.
        bins: of each curve.

    Returns:
        {"ece", "bins"} as there. An interval would need the numbers of each image.
    """
    sums = np.zeros((3, bins))
    for one in (one for part in parts for one in part):
        # The levels of a bin lie 17 apart from those of the next; their mean is rounded.
        index = min(int((one["confidence"] * (LEVELS - 1) + 0.5) * bins // (LEVELS - 1)), bins - 1)
        pixels = one["pixels"]
        sums[:, index] += pixels, pixels * one["confidence"], pixels * one["accuracy"]
    listed = [
        {"confidence": probability / pixels, "accuracy": positive / pixels, "pixels": int(pixels)}
        for pixels, probability, positive in sums.T
        if pixels
    ]
    return {"ece": float(expected_error(sums[None])[0]), "bins": listed}


def expected_error(sums: Floats) -> Floats:
    """ECE of summed `binned` numbers: (n, 3, bins) -> (n,)."""
    pixels, probability, positive = np.moveaxis(sums, 1, 0)
    return np.abs(positive - probability).sum(axis=1) / pixels.sum(axis=1)
