"""How alike two pictures are: a sketch to find candidates, then patches that find their place.

Whole-image hashes fail on medical images: every dermoscopy image is a dark blob on skin, and every
colonoscopy image shares its black frame. So a pair is believed only where small patches of one
picture are found in the other, all moved by the same way. The frame is cut off first, as one data
set may hold one picture with two frames.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import fft, ndimage

from gpsseg.data.formats.images import read_small

Floats = npt.NDArray[np.float32]

SIDE, SKETCH = 64, 16  # pixels
PATCH, REACH, STEP = 20, 8, 12  # pixels of SIDE
ORIENTATIONS = 8  # as it is, three quarter turns, and the four mirror images


def read_grey(path: Path) -> Floats:
    """Read a picture without its black frame as (64, 64) float32, 0..255.

    Raises:
        UserError: see `gpsseg.data.formats.images.read_image`.
    """
    return read_frameless(path, SIDE)[0]


def read_frameless(path: Path, *sides: int) -> tuple[Floats, ...]:
    """Read a picture without its black frame, as (side, side) float32, 0..255, of each side.

    Args:
        path: of the picture.
        sides: what it is shrunk to, at most 128.

    Raises:
        UserError: see `gpsseg.data.formats.images.read_image`.
    """
    image = read_small(path, 2 * SIDE)
    lit = np.asarray(image) > 24
    rows, columns = (np.flatnonzero(lit.mean(axis) > 0.25) for axis in (1, 0))
    box = (0, 0, *image.size)
    if len(rows) and len(columns):
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    shrunk = (image.resize((side, side), Image.Resampling.BOX, box=box) for side in sides)
    return tuple(np.asarray(picture, dtype=np.float32) for picture in shrunk)


def sketch(grey: Floats) -> Floats:
    """Reduce (64, 64) to (16, 16) of unit length: local contrast, strongest in the middle."""
    share = SIDE // SKETCH
    detail = _local_contrast(grey.reshape(SKETCH, share, SKETCH, share).mean((1, 3)))
    window = np.sqrt(np.hanning(SKETCH + 2)[1:-1])
    detail *= np.outer(window, window)
    detail -= detail.mean()
    return (detail / (np.linalg.norm(detail) + 1e-6)).astype(np.float32)


def oriented(grey: Floats, orientation: int) -> Floats:
    """One of the 8 orientations of (..., N, N); 0 changes nothing, from 4 on it is mirrored."""
    mirrored = grey[..., ::-1] if orientation >= 4 else grey
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4, (-2, -1)))


def candidates(sketches: Floats, others: Floats, count: int) -> list[list[tuple[int, int]]]:
    """The sketches most like each other sketch, in any orientation and moved a little.

    Args:
        sketches: (N, 16, 16), see `sketch`.
        others: (M, 16, 16); memory is N x M, so pass them in blocks.
        count: candidates for each.

    Returns:
        For each of ``others`` up to ``count`` (index into ``sketches``, orientation of the other),
        most alike first.
    """
    flat = sketches.reshape(len(sketches), -1)
    best = np.full((len(flat), len(others)), -1, np.float32)
    which = np.zeros(best.shape, np.int8)
    for orientation in range(ORIENTATIONS):
        turned = oriented(others, orientation)
        reach = 1 if orientation else 2
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                alike = flat @ _moved(turned, dy, dx).reshape(len(others), -1).T
                which[alike > best] = orientation
                np.maximum(best, alike, out=best)
    order = np.argsort(-best, axis=0, kind="stable")[:count]
    return [[(int(i), int(which[i, j])) for i in order[:, j]] for j in range(len(others))]


def likeness(grey: Floats, other: Floats) -> float:
    """Mean correlation of 16 patches with their best place in the other picture, 0..1.

    A patch may move by 8 of 64 pixels (the next frame of a video); one that moves by more than 2
    pixels otherwise than the median patch counts as 0. On real images this finds nearly all copies
    that were cut by a twentieth of a side or turned by 5 degrees, and none beyond twice that.

    Args:
        grey: (64, 64), see `read_grey`.
        other: the same.
    """
    corner, place, far = _places()
    match = np.where(far, -1, _correlation(_local_contrast(grey), _local_contrast(other), corner))
    found = match.argmax(axis=1)
    moved = place[found] - corner
    together = np.abs(moved - np.median(moved, axis=0)).max(axis=1) <= 2
    return float(max(0.0, (match[np.arange(len(corner)), found] * together).mean()))


def _correlation(detail: Floats, other: Floats, corners: npt.NDArray[np.int64]) -> Floats:
    """Pearson correlation of the patches at P corners with every window of the other, (P, 2025)."""
    windows = sliding_window_view(detail, (PATCH, PATCH))
    patches = windows[corners[:, 0], corners[:, 1]]
    patches = patches - patches.mean(axis=(1, 2), keepdims=True)
    spectrum = fft.rfft2(other) * np.conj(fft.rfft2(patches, s=other.shape))
    inside = slice(SIDE - PATCH + 1)
    products = fft.irfft2(spectrum, s=other.shape)[:, inside, inside]
    centred = slice(PATCH // 2, PATCH // 2 + SIDE - PATCH + 1)
    mean, square = (ndimage.uniform_filter(x, PATCH)[centred, centred] for x in (other, other**2))
    length = PATCH * np.sqrt(np.maximum(square - mean**2, 0)) + 1e-3
    of_patches = np.linalg.norm(patches, axis=(1, 2))[:, None, None] + 1e-3
    return (products / length / of_patches).reshape(len(corners), -1)


@cache
def _places() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Top left corners of the patches, of all windows, and which pairs are out of reach."""
    last = SIDE - PATCH
    starts = np.arange(REACH // 2, last - REACH // 2 + 1, STEP)
    corner = np.stack(np.meshgrid(starts, starts, indexing="ij"), -1).reshape(-1, 2)
    place = np.stack(np.meshgrid(*2 * [np.arange(last + 1)], indexing="ij"), -1).reshape(-1, 2)
    return corner, place, np.abs(corner[:, None] - place).max(axis=2) > REACH


def _local_contrast(grey: Floats) -> Floats:
    """Detail over its strength nearby: neither light nor contrast of the picture matter."""
    detail = grey - ndimage.gaussian_filter(grey, 1.5)
    return detail / (np.sqrt(ndimage.gaussian_filter(detail**2, 3)) + 4)


def _moved(images: Floats, dy: int, dx: int) -> Floats:
    """Each of (M, N, N) moved down by dy and right by dx pixels; zeros come in."""
    moved = np.zeros_like(images)
    side = images.shape[-1]
    to_y, to_x = (slice(max(d, 0), side + min(d, 0)) for d in (dy, dx))
    from_y, from_x = (slice(max(-d, 0), side + min(-d, 0)) for d in (dy, dx))
    moved[:, to_y, to_x] = images[:, from_y, from_x]
    return moved
