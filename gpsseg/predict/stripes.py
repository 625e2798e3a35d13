"""Probabilities of a picture from top to bottom, a stripe at a time: a whole map is never copied.

A stripe is float32 (h, W), or (C, h, W) with several classes; together they are the map.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from torch import Tensor

OVERLAP = 0.25  # of a tile's side with the next one's
ROWS = 256  # of a map at a time
Maps = Callable[[Sequence[np.ndarray]], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Stripe:
    """A part of a picture's map, over its whole width.

    Attributes:
        probability: float32 (h, W) in [0, 1]; of several classes (C, h, W), the background first.
        members: float32 (M, h, W), the foreground's probability by each member of an ensemble; None
            where it was not asked for.
    """

    probability: np.ndarray
    members: np.ndarray | None = None


def stacked(probability: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The map and the members' as the channels of one: (H, W) or (C, H, W) and (M, H, W)."""
    first = probability if probability.ndim == 3 else probability[None]
    return np.concatenate([first, members])


def taken_apart(stripe: np.ndarray, members: int) -> Stripe:
    """Undo ``stacked`` of a stripe (maps, h, W); without members it is the map's."""
    if not members:
        return Stripe(stripe)
    first = stripe[:-members]
    return Stripe(first[0] if len(first) == 1 else first, stripe[-members:])


def cut(whole: np.ndarray) -> Iterator[np.ndarray]:
    """The stripes of a map that is there: (H, W) or (C, H, W)."""
    for top in range(0, whole.shape[-2], ROWS):
        yield whole[..., top : top + ROWS, :]


def from_tiles(pixels: np.ndarray, tile: int, batch_size: int, maps: Maps) -> Iterator[np.ndarray]:
    """Segment a large picture tile by tile; where tiles overlap, their middles count more.

    The sums are those of MONAI's sliding_window_inference, in its order, bit for bit. What is held
    is one row of tiles: 4 (C + 1) bytes for each of its pixels.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        tile: side in pixels of the squares; at most the picture's own side along each axis.
        batch_size: tiles shown to the network together.
        maps: gives the map of each of some pictures.
    """
    size = pixels.shape[:2]
    sides = [min(tile, side) for side in size]
    steps = [
        side if side == whole else max(1, int(side * (1 - OVERLAP)))
        for side, whole in zip(sides, size, strict=True)
    ]
    weight = compute_importance_map((sides[0], sides[1]), mode="gaussian")
    places = dense_patch_slices(size, sides, steps)
    found = _each(pixels, [(place[0], place[1]) for place in places], batch_size, maps)
    yield from (stripe.clamp(0, 1).numpy() for stripe in _joined(found, weight, size[1]))


def _each(
    pixels: np.ndarray, places: Sequence[tuple[slice, slice]], batch_size: int, maps: Maps
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and map (C, h, w) of each tile, row by row."""
    left = iter(places)
    while batch := list(itertools.islice(left, batch_size)):
        found = maps([pixels[place] for place in batch])
        for (rows, columns), each in zip(batch, found, strict=True):
            map_ = torch.from_numpy(np.ascontiguousarray(each))
            yield rows, columns, map_ if map_.dim() == 3 else map_[None]


def _joined(
    found: Iterable[tuple[slice, slice, Tensor]], weight: Tensor, width: int
) -> Iterator[Tensor]:
    """The weighted means of overlapping maps, as soon as no more tile can add to them."""
    top, sums = 0, torch.empty(0)
    counts = torch.zeros(len(weight), width)
    for rows, columns, map_ in found:
        if not sums.numel():
            sums = torch.zeros(len(map_), len(weight), width)
        if done := int(rows.start) - top:
            yield (sums[:, :done] / counts[:done]).squeeze(0)
            sums, counts, top = _moved(sums, done), _moved(counts, done), int(rows.start)
        sums[:, :, columns] += map_ * weight
        counts[:, columns] += weight
    yield (sums / counts).squeeze(0)


def _moved(values: Tensor, rows: int) -> Tensor:
    """(..., h, W) without its first rows, and as many empty ones below."""
    moved = torch.zeros_like(values)
    moved[..., : values.shape[-2] - rows, :] = values[..., rows:, :]
    return moved
