"""Read what any tool wrote for one image: a mask or a probability map; PNG, NumPy or a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpsseg.data.formats import colours
from gpsseg.data.formats.deep import holds_deep_colour
from gpsseg.data.formats.dicom_masks import (
    Segmented,
    is_segmentation,
    placed,
    read_segmentation,
    union,
)
from gpsseg.data.formats.filenames import VOLUMES
from gpsseg.data.formats.images import decode
from gpsseg.data.formats.images import read_picture as read_deep
from gpsseg.data.formats.levels import refuse_not_finite, usual_float
from gpsseg.data.formats.maps import ending
from gpsseg.data.formats.npy import read_npy
from gpsseg.data.formats.odd_tiff import read_odd_tiff
from gpsseg.data.formats.pages import refuse_several
from gpsseg.data.formats.volumes import RAS, Volume, read_volume
from gpsseg.errors import UserError


@dataclass(frozen=True)
class Stored:
    """Values as they lie in a file.

    Attributes:
        values: (H, W) or (X, Y, Z), bool, integer or float; rows and columns of a 2-D volume file
            are y and x.
        spacing: mm a pixel along each axis; None where the format has none.
        affine: (4, 4) of a volume, index -> RAS mm; else None.
        lossy: whether they were compressed as JPEG is.
        part: of a DICOM segmentation what it is, as it may cover a part of a grid only.
    """

    values: np.ndarray
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    lossy: bool = False
    part: Segmented | None = None


def read_stored(path: Path, numbers: bool = False) -> Stored:
    """Read one file.

    Args:
        path: of the file.
        numbers: whether a palette is read by its numbers, as maps of classes are, and not by its
            colours.

    Raises:
        UserError: it cannot be read, is neither 2-D nor (volumes) 3-D, or holds no numbers, NaN or
            infinity; the text names it.
    """
    end = ending(path)
    deep = end in VOLUMES
    if end in VOLUMES:
        stored = _of_volume(read_volume(path), path)
    elif end == ".npy":
        stored = Stored(_read_npy(path))
    elif not end and is_segmentation(path):
        stored, deep = _of_segmentation(read_segmentation(path)), True
    else:
        stored = _read_picture(path, numbers)
    values = usual_float(stored.values)
    if values.dtype.kind not in "buif":
        raise UserError(f"{path} holds {values.dtype}, expected whole numbers or floats.")
    refuse_not_finite(values, path, "a mask, or probabilities in [0, 1]")
    if values.size == 0 or values.ndim not in ((2, 3) if deep else (2,)):
        wanted = "2-D or 3-D" if deep else "2-D (height, width); save volumes as NIfTI"
        raise UserError(f"{path} has the shape {values.shape}, expected {wanted}.")
    return replace(stored, values=values)


def on_one_grid(files: Sequence[tuple[Path, Stored]]) -> list[Stored]:
    """Place DICOM segmentations where the other files of a case lie, or on what they all cover.

    Args:
        files: the truth and its predictions, with their paths.

    Raises:
        UserError: the voxels of a segmentation are none of that grid's; the text names it.
    """
    parts = [stored.part for _, stored in files if stored.part is not None]
    if not parts:
        return [stored for _, stored in files]
    grid = next((s for _, s in files if s.part is None and s.affine is not None), None)
    if grid is None or grid.affine is None:
        if len(parts) < len(files):  # a picture, which does not say where it lies
            return [stored for _, stored in files]
        shape, affine = union(parts, [path for path, _ in files])
        flat = shape[2] == 1
    else:
        flat, affine = grid.values.ndim == 2, grid.affine
        shape = (*grid.values.shape[::-1], 1) if flat else grid.values.shape
    return [_placed(path, stored, shape, affine, flat) for path, stored in files]


def _placed(
    path: Path, stored: Stored, shape: Sequence[int], affine: np.ndarray, flat: bool
) -> Stored:
    """A DICOM segmentation on a grid; anything else as it is."""
    if stored.part is None:
        return stored
    values = placed(stored.part, shape, affine, path)
    spacing = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    if flat:
        return replace(
            stored, values=values[..., 0].T, spacing=(spacing[1], spacing[0]), affine=affine
        )
    return replace(stored, values=values, spacing=tuple(spacing), affine=affine)


def elsewhere(one: Stored, other: Stored) -> bool:
    """Whether the headers of two volumes place them differently; other formats do not say."""
    if one.affine is None or other.affine is None:
        return False
    return not same_place(one.affine, other.affine)


def same_place(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two affines (4, 4) in mm place voxels alike, but for rounding."""
    return bool(np.allclose(one, other, rtol=1e-3, atol=1e-2))


def size_text(shape: Sequence[int]) -> str:
    """A size for people: 24x20."""
    return "x".join(map(str, shape))


def _read_npy(path: Path) -> np.ndarray:
    """A .npy file; axes of length 1 beyond two are dropped."""
    values = read_npy(path)
    return values.squeeze() if values.ndim > 2 else values


def _read_picture(path: Path, numbers: bool) -> Stored:
    """A picture of any format, by its content."""
    try:
        image = decode(path, colours.MODES)
    except UserError:
        odd = read_odd_tiff(path)
        if not odd:
            raise
        refuse_several(len(odd), path)
        values = odd[0]
        if values.ndim == 3:
            values = colours.deep_channel(values, path)
        return Stored(values)
    if numbers and image.mode == "P":
        return Stored(np.asarray(image))
    grey = image.mode in colours.PLAIN
    deep = None if grey or not holds_deep_colour(path) else lambda: read_deep(path)
    return Stored(colours.one_channel(image, path, deep), lossy=colours.is_lossy(image))


def _of_segmentation(part: Segmented) -> Stored:
    """A DICOM segmentation, its axes in NIfTI's order; one of a single frame is 2-D."""
    if part.values.shape[2] == 1:
        spacing = (part.spacing[1], part.spacing[0])
        return Stored(part.values[..., 0].T, spacing, part.affine, part=part)
    return Stored(part.values, part.spacing, part.affine, part=part)


def _of_volume(volume: Volume, path: Path) -> Stored:
    """A volume, its axes in NIfTI's order; one of a single slice is 2-D."""
    values, affine = grey_volume(volume, path), RAS @ volume.affine[:, [2, 1, 0, 3]]
    if len(values) == 1:
        return Stored(values[0], tuple(volume.spacing[1:].tolist()), affine)
    return Stored(values.transpose(2, 1, 0), tuple(volume.spacing[::-1].tolist()), affine)


def grey_volume(volume: Volume, path: Path) -> np.ndarray:
    """A volume's values (D, H, W): as stored, or what its colours mean.

    Raises:
        UserError: these do not say what is foreground; the text names ``path``.
    """
    return colours.grey_of(volume.values, path) if volume.values.ndim == 4 else volume.values
