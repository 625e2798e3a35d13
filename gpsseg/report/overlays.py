"""A picture with its mask laid over it."""

from __future__ import annotations

import numpy as np

COLOUR = (255, 196, 0)  # RGB; tissue has neither this yellow nor grey values of it
TINT = 0.25


def draw_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    colour: tuple[int, int, int] = COLOUR,
    tint: float = TINT,
) -> np.ndarray:
    """Tint the mask's inside and draw its outline.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        colour: RGB.
        tint: from 0, which leaves the inside as it is, to 1, which hides it.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    import cv2

    drawn = image.copy()
    for rows in (slice(top, top + 256) for top in range(0, len(mask), 256)):
        inside = drawn[rows][mask[rows]]  # a part at a time, as it is in float64
        tinted = (1 - tint) * inside + tint * np.array(colour)
        drawn[rows][mask[rows]] = np.rint(tinted).astype(np.uint8)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, colour, max(1, round(max(mask.shape) / 400)))
    return drawn
