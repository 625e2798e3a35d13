"""Read a DICOM segmentation (DICOM-SEG) of any tool as a volume of labels or probabilities.

As everywhere, nothing of the patient is read, and no message quotes the file.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gpsseg.data.formats.room import refuse_without_room
from gpsseg.data.formats.volumes import RAS
from gpsseg.errors import UserError

SEGMENTATION = rb"\x02\x00\x02\x00UI..1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47][^0-9.]"
ON_GRID = 0.1  # of a voxel: this near, two grids are one


@dataclass(frozen=True)
class Segmented:
    """What a DICOM segmentation marks, on the smallest grid that holds its frames.

    Attributes:
        values: (X, Y, Z): bool of one segment, float32 in [0, 1] of one with fractions, or uint16
            numbers of segments, 0 is background.
        affine: (4, 4), index -> RAS mm.
        spacing: mm a voxel along each axis.
        names: what the segments 1, 2, ... are called; empty where there is one, or they have other
            numbers.
    """

    values: np.ndarray
    affine: np.ndarray
    spacing: tuple[float, ...]
    names: tuple[str, ...] = ()


def is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM segmentation, by its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return False
    return start[128:132] == b"DICM" and bool(re.search(SEGMENTATION, start, re.DOTALL))


def read_segmentation(path: Path) -> Segmented:
    """Read one.

    Raises:
        UserError: it cannot be read, or its frames do not lie side by side; the text names it.
    """
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings quote the file
        try:
            return _segmented(dcmread(path), path)
        except UserError:
            raise
        except Exception as error:  # the text may quote the file
            raise UserError(
                f"{path} cannot be read as a DICOM segmentation ({type(error).__name__}). Export "
                "it again, or save it as NRRD."
            ) from None


def placed(found: Segmented, shape: Sequence[int], affine: np.ndarray, path: Path) -> np.ndarray:
    """The segmentation on another grid, (X, Y, Z), of which it covers a part.

    Args:
        found: from ``read_segmentation``.
        shape: (X, Y, Z) of the grid.
        affine: (4, 4) of the grid, index -> RAS mm.
        path: of the segmentation, for the error.

    Raises:
        UserError: its voxels are none of the grid's.
    """
    turn, offset, fits = _steps(np.linalg.inv(affine) @ found.affine, found.values.shape)
    indices = np.argwhere(found.values)
    there = (indices @ turn.T + offset).astype(int)
    if not fits or not ((there >= 0) & (there < np.array(shape))).all():
        _refuse_place(path)
    values = np.zeros(tuple(shape), found.values.dtype)
    values[tuple(there.T)] = found.values[tuple(indices.T)]
    return values


def union(parts: Sequence[Segmented], paths: Sequence[Path]) -> tuple[tuple[int, ...], np.ndarray]:
    """The grid that segmentations of one image cover together.

    Args:
        parts: from ``read_segmentation``.
        paths: of each, for the error.

    Returns:
        (X, Y, Z), and (4, 4), index -> RAS mm.

    Raises:
        UserError: one does not lie on the voxels of the first.
    """
    first = parts[0]
    corners = []
    for part, path in zip(parts, paths, strict=True):
        leads = np.linalg.inv(first.affine) @ part.affine
        turn, offset, fits = _steps(leads, part.values.shape)
        if not fits:
            _refuse_place(path)
        ends = np.array([[0, 0, 0], np.array(part.values.shape) - 1])
        corners.append(ends @ turn.T + offset)
    both = np.concatenate(corners)
    low, high = both.min(axis=0), both.max(axis=0)
    affine = first.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return tuple(int(n) for n in high - low + 1), affine


def _steps(leads: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray, bool]:
    """What leads from one grid to another, in whole voxels, and whether it does.

    Args:
        leads: (4, 4), index -> the other grid's index.
        shape: of the first grid.
    """
    turn, offset = np.rint(leads[:3, :3]), np.rint(leads[:3, 3])
    corners = np.array(shape) - 1
    far = np.abs((leads[:3, :3] - turn) @ corners) + np.abs(leads[:3, 3] - offset)
    one_to_one = bool((np.abs(turn).sum(0) == 1).all() and (np.abs(turn).sum(1) == 1).all())
    return turn, offset, one_to_one and not bool((far > ON_GRID).any())


def _refuse_place(path: Path) -> NoReturn:
    raise UserError(
        f"{path} does not lie on the voxels of its truth. Make the segmentation on the images "
        "that the truth was made on, or resample it."
    )


def _segmented(data: Any, path: Path) -> Segmented:
    rows, columns = int(data.Rows), int(data.Columns)
    voxels = float(rows) * columns * int(data.get("NumberOfFrames", 1))
    refuse_without_room(path, voxels, f"{voxels:,.0f} voxels")
    frames = data.pixel_array.reshape(-1, rows, columns)
    groups = [data.get(f"{who}FunctionalGroupsSequence") or [] for who in ("Shared", "PerFrame")]
    shared = groups[0][0] if groups[0] else None
    positions = np.array(
        [_of(f, shared, "PlanePosition", "ImagePositionPatient") for f in groups[1]], float
    )
    turned = np.array(
        [_of(f, shared, "PlaneOrientation", "ImageOrientationPatient") for f in groups[1]], float
    )
    if len(positions) != len(frames) or not np.allclose(turned, turned[0], atol=1e-3):
        raise UserError(f"{path} does not say where its frames lie, expected one volume.")
    row, column = (float(v) for v in _of(groups[1][0], shared, "PixelMeasures", "PixelSpacing"))
    right, down = turned[0][:3], turned[0][3:]
    along = positions @ np.cross(right, down)
    places, step = _places(along, _thickness(groups[1][0], shared), path)
    voxels = float(rows) * columns * (int(places.max()) + 1)  # frames may lie far apart
    refuse_without_room(path, 2 * voxels, f"{voxels:,.0f} voxels")
    first = positions[int(along.argmin())]
    affine = np.eye(4)
    normal = np.cross(right, down)
    affine[:3] = np.stack([right * column, down * row, normal * step, first], axis=1)
    values = _joined(data, frames, places, groups[1])
    spacing = (column, row, step)
    return Segmented(values.transpose(2, 1, 0), RAS @ affine, spacing, _names(data))


def _names(data: Any) -> tuple[str, ...]:
    """What several segments are called, by their numbers."""
    found = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in data.SegmentSequence}
    several = len(found) > 1 and sorted(found) == list(range(1, 1 + len(found)))
    return tuple(found[number] for number in sorted(found)) if several else ()


def _places(along: np.ndarray, thickness: float, path: Path) -> tuple[np.ndarray, float]:
    """The slice of each frame, from 0, and the distance of slices; empty ones may be left out."""
    levels = np.unique(np.round(along, 3))
    step = float(np.diff(levels).min()) if len(levels) > 1 else thickness
    if 0 < thickness < step and abs(step / thickness - round(step / thickness)) < ON_GRID / 2:
        step /= round(step / thickness)
    places = (along - along.min()) / step
    if np.abs(places - np.rint(places)).max() > ON_GRID:
        raise UserError(f"{path} has frames at uneven distances. Save it as NRRD or NIfTI.")
    return np.rint(places).astype(int), step


def _joined(data: Any, frames: np.ndarray, places: np.ndarray, groups: Sequence[Any]) -> np.ndarray:
    """(D, H, W) values out of frames of several segments and slices."""
    shape = (int(places.max()) + 1, *frames.shape[1:])
    kind = str(data.get("SegmentationType", "BINARY"))
    if kind == "LABELMAP":
        values = np.zeros(shape, np.uint16)
        values[places] = frames
        return values > 0 if len(data.SegmentSequence) == 1 else values
    numbers = [
        int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        if "SegmentIdentificationSequence" in group
        else 1
        for group in groups
    ]
    if len(data.SegmentSequence) == 1:
        if kind == "FRACTIONAL":
            soft = np.zeros(shape, np.float32)
            soft[places] = frames / np.float32(data.get("MaximumFractionalValue", 255))
            return soft
        mask = np.zeros(shape, bool)
        mask[places] = frames > 0
        return mask
    # Half is foreground, as everywhere; of one bit everything above 0.
    half = float(data.get("MaximumFractionalValue", 255)) / 2 if kind == "FRACTIONAL" else 1
    labels = np.zeros(shape, np.uint16)
    for frame, place, number in zip(frames, places, numbers, strict=True):
        labels[place][(frame >= half) & (labels[place] == 0)] = number
    return labels


def _of(frame: Any, shared: Any, group: str, name: str) -> Any:
    """A frame's own value, or else the one that all frames share."""
    for place in (frame, shared):
        sequence = getattr(place, f"{group}Sequence", None)
        if sequence and name in sequence[0]:
            return getattr(sequence[0], name)
    raise ValueError(name)


def _thickness(frame: Any, shared: Any) -> float:
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        try:
            if found := float(_of(frame, shared, "PixelMeasures", name) or 0):
                return found
        except ValueError:
            continue
    return 1.0
