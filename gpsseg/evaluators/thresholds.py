"""What protocols leave to whoever scores, see ``gpsseg.evaluators.protocols``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """From where on something is near, is found, or is a lesion at all.

    Attributes:
        tolerance: of NSD, in pixels (`boundary`) or mm (`volume`).
        lesion_iou: intersection over union at which a lesion is found (`lesions`).
        lesion_pixels: parts of fewer pixels are no lesions (`lesions`, `clinical`).
    """

    tolerance: float = 2.0
    lesion_iou: float = 0.5
    lesion_pixels: int = 3


USUAL = Thresholds()
