"""Small pictures of each case for the report: the image, and two 1-bit masks to lay over it."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpsseg.console import working
from gpsseg.data.case import Case, case_image
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.images import read_small

LARGEST, SMALLEST, OF_LEAK = 320, 64, 128
QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """One case, reduced.

    Attributes:
        id: the case's name, as in per_image.csv.
        image: JPEG, RGB.
        truth: 1-bit PNG of the image's size; background is transparent, foreground white.
        prediction: the same for the prediction.
    """

    id: str
    image: bytes
    truth: bytes
    prediction: bytes

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        with Image.open(io.BytesIO(self.image)) as image:
            return image.size


def thumbnail_side(images: int) -> int:
    """Longest side in pixels that keeps a report of ``images`` cases well under 10 MB.

    On real colonoscopy images, a case takes 17 kB of the file at 320 pixels and 6.5 kB at 160.

    >>> [thumbnail_side(images) for images in (1, 300, 500, 1000, 100_000)]
    [320, 320, 240, 160, 64]
    """
    side = LARGEST * (300 / max(images, 1)) ** 0.576
    return round(min(max(side, SMALLEST), LARGEST) / 4) * 4


def make_thumbnail(
    case_id: str, image: np.ndarray, probability: np.ndarray, truth: np.ndarray, side: int
) -> Thumbnail:
    """Reduce a case so that its longest side is ``side`` pixels; smaller cases keep their size.

    Args:
        case_id: the case's name, as in per_image.csv.
        image: (H, W, 3) uint8 RGB.
        probability: (H, W) float in [0, 1]; >= 0.5 is foreground.
        truth: (H, W) bool.
        side: longest side in pixels.
    """
    assert image.shape[:2] == probability.shape == truth.shape, "image and masks differ in size"
    height, width = truth.shape
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Thumbnail(
        id=case_id,
        image=_jpeg(image, size),
        truth=_png(truth, size),
        prediction=_png(probability >= 0.5, size),
    )


Picture = Callable[[Case, np.ndarray, np.ndarray], None]


def collect(images: int, with_image: bool = True) -> tuple[list[Thumbnail], Picture]:
    """A list, and what fills it when it is called with a case, its map and its mask.

    Args:
        images: how many will come.
        with_image: whether the images are at hand; else the masks are shown on grey.
    """
    thumbnails: list[Thumbnail] = []
    side = thumbnail_side(images)

    def picture(case: Case, probability: np.ndarray, truth: np.ndarray) -> None:
        image = case_image(case) if with_image else grey_picture(*truth.shape)
        thumbnails.append(make_thumbnail(case.id, image, probability, truth, side))

    return thumbnails, picture


@functools.cache
def grey_picture(height: int, width: int) -> np.ndarray:
    """Stands for an image that is not at hand: (H, W, 3) uint8."""
    return np.full((height, width, 3), 96, np.uint8)


@dataclass(frozen=True)
class LeakPicture:
    """A leaking pair, each reduced to a JPEG."""

    train: bytes
    test: bytes


def leak_picture(train: Path, test: Path, greys: Greys | None = None) -> LeakPicture:
    """Read and reduce both images of a pair; those of more than 8 bits are shown by ``greys``.

    Raises:
        UserError: one cannot be read.
    """
    return LeakPicture(*(_reduced(path, greys) for path in (train, test)))


def _reduced(path: Path, greys: Greys | None) -> bytes:
    image = read_small(path, OF_LEAK, "RGB", greys)
    scale = OF_LEAK / max(image.size)
    width, height = (max(1, round(side * min(scale, 1))) for side in image.size)
    return _jpeg(np.asarray(image), (width, height))


def _jpeg(image: np.ndarray, size: tuple[int, int]) -> bytes:
    """Encode an RGB image reduced to ``size`` (width, height)."""
    buffer = io.BytesIO()
    reduced = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    reduced.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def _png(mask: np.ndarray, size: tuple[int, int]) -> bytes:
    """Encode a mask reduced to ``size``: a pixel is set where half of it is covered.

    A mask so small that this would erase it is set wherever it touches a pixel.
    """
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    covered = np.asarray(grey.resize(size, Image.Resampling.BOX))
    reduced = covered >= 128
    if mask.any() and not reduced.any():
        reduced = covered > 0 if covered.any() else covered == covered.max()
    buffer = io.BytesIO()
    Image.fromarray(reduced).save(buffer, "PNG", transparency=0, optimize=True)
    return buffer.getvalue()


PICTURES = 60


def leak_pictures(
    leaks: dict[str, Any], train: Sequence[Case], test: Sequence[Case]
) -> list[LeakPicture]:
    """Small pictures of the first found pairs, for the report."""
    paths = {"train": {c.id: c.image for c in train}, "test": {c.id: c.image for c in test}}
    with working("drawing the leaks"):
        return [
            leak_picture(paths["train"][pair["train_id"]], paths["test"][pair["test_id"]])
            for pair in leaks.get("pairs", [])[:PICTURES]
        ]
