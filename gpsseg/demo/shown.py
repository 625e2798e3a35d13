"""What is found in a picture, and how it is drawn for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from gpsseg.evaluators import foreground, label_map
from gpsseg.predict.network import TunedNetwork
from gpsseg.report.overlays import COLOUR, draw_overlay

SIDES = 512, 1024  # pixels; smaller pictures are shown enlarged, larger ones reduced
PROMPT = (0, 230, 255)  # RGB of boxes and points
COLOURS = (  # of the labels 1, 2, ...
    COLOUR,
    *((64, 200, 255), (255, 90, 160), (120, 230, 90), (190, 140, 255), (255, 140, 60)),
)


@dataclass(frozen=True)
class BeforeAndAfter:
    """What the base and the tuned network find in a picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, what the networks were shown.
        before: the base's probabilities, float32 (H, W), or (C, H, W) of several classes.
        after: the tuned network's. Both are None while a prompt is awaited.
        prompt: that they were told, in pixels; empty without any.
    """

    pixels: np.ndarray
    before: np.ndarray | None
    after: np.ndarray | None
    prompt: tuple[float, ...] = ()


def find(
    network: TunedNetwork, pixels: np.ndarray, prompt: tuple[float, ...], wanted: str
) -> BeforeAndAfter:
    """Ask the base and the tuned network.

    Args:
        network: of a run.
        pixels: (H, W, 3) uint8 RGB.
        prompt: x0, y0, x1, y1 or x, y in pixels; empty where there is none yet.
        wanted: "box" or "point" where the network needs one.

    Raises:
        UserError: the prompt lies outside of the picture, or is empty.
    """
    if wanted and not prompt:
        return BeforeAndAfter(pixels, None, None)
    told = prompt or None
    before, after = (
        each.predict(pixels, probability=True, prompt=told) for each in (network.base, network)
    )
    return BeforeAndAfter(pixels, before, after, prompt)


def mask_of(probability: np.ndarray, threshold: float) -> np.ndarray:
    """The mask as ``predict`` writes it: (H, W) bool, or uint8 labels of several classes."""
    if probability.ndim == 3:
        return label_map(probability, threshold)
    return foreground(probability) >= threshold


def overlay(pixels: np.ndarray, mask: np.ndarray, opacity: float) -> np.ndarray:
    """A picture with its mask laid over it, at the picture's own size; each label has a colour.

    Args:
        pixels: (H, W, 3) uint8.
        mask: (H, W) bool, or labels.
        opacity: of the mask, 0..1.

    Returns:
        (H, W, 3) uint8.
    """
    if mask.dtype == bool:
        return draw_overlay(pixels, mask, tint=opacity)
    for label in np.unique(mask[mask > 0]).tolist():
        colour = COLOURS[(label - 1) % len(COLOURS)]
        pixels = draw_overlay(pixels, mask == label, colour, opacity)
    return pixels


def sized(picture: np.ndarray) -> np.ndarray:
    """A picture, uint8 (H, W, 3), as large as the page needs it, in its own proportions."""
    side = max(picture.shape[:2])
    wanted = min(max(side, SIDES[0]), SIDES[1])
    if side == wanted:
        return picture
    width, height = (max(1, round(each * wanted / side)) for each in picture.shape[1::-1])
    way = cv2.INTER_AREA if wanted < side else cv2.INTER_NEAREST
    return cv2.resize(picture, (width, height), interpolation=way)


def in_picture(
    click: Sequence[float], shown: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float]:
    """The middle of the pixel that was clicked, (x, y) in pixels of the picture.

    Args:
        click: x, y in pixels of what is shown.
        shown: (height, width) of that.
        size: (height, width) of the picture.

    >>> in_picture((511, 0), (512, 1024), (1024, 2048))
    (1023.0, 1.0)
    """
    found = []
    for place, seen, whole in zip(click, shown[::-1], size[::-1], strict=True):
        inside = min(max(float(place) + 0.5, 0.0), float(seen))
        found.append(inside * whole / seen)
    return found[0], found[1]


def box_of(corners: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """The box between two corners (x, y), whichever they are: x0, y0, x1, y1, in their unit.

    >>> box_of([(9.5, 2.5), (1.5, 8.5)])
    (1.5, 2.5, 9.5, 8.5)
    """
    (ax, ay), (bx, by) = corners
    return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)


def draw_clicks(
    picture: np.ndarray, clicks: Sequence[tuple[float, float]], size: tuple[int, int], box: bool
) -> np.ndarray:
    """Draw a box, or points, on what is shown of a picture; the result is a copy.

    Args:
        picture: (h, w, 3) uint8 RGB, as shown.
        clicks: (x, y) each, in pixels of the picture at its own size.
        size: (height, width) of that, in pixels.
        box: whether two clicks are the corners of a box.
    """
    if not clicks:
        return picture
    drawn, scale = np.ascontiguousarray(picture.copy()), picture.shape[0] / size[0]
    thick = max(1, round(max(picture.shape[:2]) / 300))
    places = [(round(x * scale), round(y * scale)) for x, y in clicks]
    if box and len(places) == 2:
        cv2.rectangle(drawn, places[0], places[1], PROMPT, thick)
        return drawn
    for place in places:
        cv2.circle(drawn, place, 3 * thick, (0, 0, 0), -1)
        cv2.circle(drawn, place, 2 * thick, PROMPT, -1)
    return drawn


def caption(mask: np.ndarray | None, classes: Sequence[str]) -> str:
    """How much a mask marks.

    >>> caption(np.eye(2) > 0, ()), caption(np.zeros((2, 2)) > 0, ())
    ('2 pixels, 50.0 % of the picture', 'nothing is marked')
    """
    if mask is None:
        return ""
    if not mask.any():
        return "nothing is marked"
    if mask.dtype == bool:
        return f"{_pixels(int(mask.sum()))}, {100 * mask.mean():.1f} % of the picture"
    counts = [int((mask == label).sum()) for label in range(1, len(classes) + 1)]
    parts = [f"{name} {_pixels(n)}" for name, n in zip(classes, counts, strict=True) if n]
    return ", ".join(parts)


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count:,} pixels"
