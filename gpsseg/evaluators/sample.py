"""One checked image, with the counts the protocols share computed at most once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError
from gpsseg.evaluators.counts import (
    Array,
    Counts,
    Histogram,
    Mask,
    bounding_box,
    count_pixels,
    grown,
    histogram,
    min_max,
    normalised,
    quantise,
    stretching,
    sweep_levels,
)
from gpsseg.evaluators.lesions import Overlaps, overlaps
from gpsseg.evaluators.structure import (
    Quadrants,
    centroid_cut,
    quadrant_histogram,
    quadrants_of_histogram,
    quadrants_of_map,
)


@dataclass(frozen=True)
class Sample:
    """A prediction and its truth. Everything derived is cached and dies with the sample.

    Attributes:
        case_id: what error messages call it.
        probability: (H, W) or (D, H, W), float in [0, 1] or uint8 read as v / 255.
        truth: bool, the same shape.
        spacing: mm a pixel along each axis, in the order of the axes; None where unknown.
    """

    case_id: str
    probability: Array
    truth: Mask
    spacing: tuple[float, ...] | None = None

    @property
    def is_8_bit(self) -> bool:
        """Whether the map is uint8."""
        return self.probability.dtype == np.uint8

    @cached_property
    def range(self) -> tuple[int, int]:
        """Smallest and largest level of an 8-bit map."""
        return int(self.probability.min()), int(self.probability.max())

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Holds the truth, and all of an 8-bit 2-D map that `stretched` does not make 0."""
        low, high = self.range
        return bounding_box((self.probability > (low if high > low else 0)) | self.truth)

    @cached_property
    def cut(self) -> tuple[int, int]:
        """Where the quadrants of `structure` meet."""
        return centroid_cut(self.truth[self.box], (self.box[0].start, self.box[1].start))

    @cached_property
    def by_quadrant(self) -> npt.NDArray[np.int64]:
        """(4, 2, 256), pixels of an 8-bit 2-D map by quadrant, truth and level."""
        return quadrant_histogram(self.probability, self.truth, self.box, self.cut)

    @cached_property
    def sums(self) -> Quadrants:
        """Sums of the normalised 2-D map over the quadrants."""
        if self.is_8_bit:
            return quadrants_of_histogram(self.by_quadrant, stretching(*self.range), self.cut)
        return quadrants_of_map(self.stretched, self.truth)

    @cached_property
    def levels(self) -> Histogram:
        """Histogram of the map at 8 bits, not normalised; exact where the map is 8-bit."""
        if self.is_8_bit and self.truth.ndim == 2:
            background, foreground = self.by_quadrant.sum(axis=0)
            return Histogram(foreground, background)
        return histogram(quantise(self.probability), self.truth)

    @cached_property
    def mask(self) -> Mask:
        """The predicted mask, probability >= 0.5 (8-bit: 128 and above)."""
        return self.probability >= (128 if self.is_8_bit else 0.5)

    @cached_property
    def counts(self) -> Counts:
        """Counts of `mask`."""
        if self.is_8_bit:
            return self.levels.at_least(128)
        return count_pixels(self.mask, self.truth)

    @cached_property
    def lesions(self) -> Overlaps:
        """The lesions of `mask` and of the truth."""
        return overlaps(self.mask, self.truth)

    @cached_property
    def counts_above_128(self) -> Counts:
        """Counts of the mask 255 p > 128, as a file with 8 bits is read."""
        if self.is_8_bit:
            return self.levels.at_least(129)
        return count_pixels(self.probability > 128 / 255, self.truth)

    @cached_property
    def stretched(self) -> npt.NDArray[np.float64]:
        """The map min-max normalised to [0, 1]."""
        return min_max(self.probability)

    @cached_property
    def cropped(self) -> tuple[Array, Mask]:
        """The normalised 2-D map and the truth; of an 8-bit map, `box` and 3 pixels around."""
        if not self.is_8_bit:
            return self.stretched, self.truth
        box = grown(self.box, 3, self.truth.shape)
        levels = np.ascontiguousarray(self.probability[box])
        table = stretching(*self.range).astype(np.float32)
        return cv2.LUT(levels, table), self.truth[box]

    @cached_property
    def sweep(self) -> Histogram:
        """Histogram of the min-max normalised map, for the sweep over 256 thresholds."""
        if self.is_8_bit:
            return normalised(self.levels)
        return histogram(sweep_levels(self.stretched), self.truth)


def checked_sample(
    case_id: str,
    probability: Array,
    truth: Mask,
    spacing: tuple[float, ...] | None = None,
) -> Sample:
    """Check a prediction and its truth.

    Args:
        case_id: the image's name, for errors.
        probability: (H, W) or (D, H, W): float in [0, 1], uint8 0..255 or bool.
        truth: bool, the same shape.
        spacing: mm a pixel along each axis, in the order of the axes.

    Raises:
        UserError: shapes differ, a dtype or a value is out of range, or the spacing does not fit.
    """
    probability, truth = np.asarray(probability, order="C"), np.asarray(truth, order="C")
    if probability.shape != truth.shape or probability.size == 0:
        raise UserError(
            f"{case_id}: prediction is {_size(probability)} but truth is {_size(truth)}. "
            "Predictions must have their truth's size; resize the probability map (not the mask) "
            "before scoring."
        )
    if truth.dtype != bool:
        raise UserError(
            f"{case_id}: truth has dtype {truth.dtype}, expected bool. "
            "Pass truth > 128, or truth > 0."
        )
    if spacing is not None and (len(spacing) != truth.ndim or min(spacing) <= 0):
        raise UserError(
            f"{case_id}: spacing is {spacing}, expected {truth.ndim} positive numbers in mm."
        )
    return Sample(case_id, _checked_values(case_id, probability), truth, spacing)


def _checked_values(case_id: str, probability: Array) -> Array:
    """Masks become 0 and 255; floats must lie in [0, 1]; other dtypes are refused."""
    if probability.dtype == bool:
        return np.where(probability, np.uint8(255), np.uint8(0))  # True may be any byte but 0
    if probability.dtype == np.uint8:
        return probability
    if not np.issubdtype(probability.dtype, np.floating):
        raise UserError(
            f"{case_id}: prediction has dtype {probability.dtype}, expected float in [0, 1], "
            "uint8 in 0..255 or bool."
        )
    low, high = probability.min(), probability.max()
    if not (low >= 0 and high <= 1):
        raise UserError(
            f"{case_id}: prediction ranges from {low} to {high}, expected probabilities in [0, 1]. "
            "Apply the sigmoid to logits, or divide by the largest value."
        )
    return probability


def _size(array: Array) -> str:
    """A shape in words: 528x622."""
    return "x".join(str(length) for length in array.shape) or "a single number"
