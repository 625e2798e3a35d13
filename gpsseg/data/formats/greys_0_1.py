"""The greys of version 0.1, for the runs that it made: they keep the rule that they learned by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gpsseg.data.formats.volumes import Volume

RANGES = (1, 255, 4095, 65535)  # of a deep image's values: float, 8, 12 and 16 bits
SAMPLE = 2_000_000  # voxels are enough to tell a volume's range of values
TAILS = (0.5, 99.5)


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """A grey picture (H, W) as uint8, by the smallest of the ranges that holds its own values."""
    values = np.nan_to_num(values)
    top = next((top for top in RANGES if values.max() <= top), values.max())
    return (values.clip(0, top) * (255.0 / top)).round().astype(np.uint8)


def grey_range(volume: Volume, window: tuple[float, float] | None) -> tuple[float, float]:
    """(low, high) of a volume: the window given, its own, that of 8 bits, or its percentiles."""
    if window is not None:
        return window[0] - window[1] / 2, window[0] + window[1] / 2
    if volume.window is not None:
        return volume.window
    if volume.values.dtype == np.uint8:
        return 0.0, 255.0
    step = max(1, round((volume.values.size / SAMPLE) ** (1 / 3)))
    sample = volume.values[::step, ::step, ::step]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        sample = volume.values[np.isfinite(volume.values)]
    with np.errstate(all="ignore"):
        low, high = np.percentile(sample, TAILS) if sample.size else (0.0, 1.0)
    return float(low), float(high)
