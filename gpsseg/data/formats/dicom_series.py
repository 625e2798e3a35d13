"""DICOM series and frames: which files belong together, where they lie, and their pixels."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.dicom import Header, reader_of, unreadable
from gpsseg.data.formats.dicom_frames import read_frames
from gpsseg.data.formats.dicom_greys import (
    SHOWN,
    Curve,
    curve_of,
    curve_of_frames,
    in_units,
    read_wishes,
)
from gpsseg.data.formats.greys import show
from gpsseg.data.formats.room import refuse_without_room
from gpsseg.data.formats.volumes import Volume, itk_affine
from gpsseg.errors import UserError
from gpsseg.faults import file_error

UNEVEN = 0.02  # of the distance between slices; scanners round their positions
TURNED = 1e-3  # unit vectors of one series may differ by this


def group_headers(headers: Iterable[Header]) -> list[list[Header]]:
    """Put the slices of a volume together, in order along it; every other file is by itself.

    Slices belong together if series, orientation, size and spacing are alike.
    """
    groups: list[list[Header]] = []
    for header in headers:
        fitting = (group for group in groups if _belongs(header, group[0]))
        group = next(fitting, None)
        if group is None:
            groups.append([header])
        else:
            group.append(header)
    return [sorted(group, key=_along) for group in groups]


def _belongs(one: Header, other: Header) -> bool:
    if one.directions is None or other.directions is None or one.enhanced or other.enhanced:
        return False
    same = (one.series, one.shape, one.spacing) == (other.series, other.shape, other.spacing)
    return same and one.shape[0] == 1 and np.allclose(one.directions, other.directions, atol=TURNED)


def read_dicom(
    headers: Sequence[Header], place: Path, curves: bool = True, old: bool = False
) -> Volume:
    """Read a volume, or the frames of one file.

    Args:
        headers: a group of ``group_headers``.
        place: what messages call it: the file, or the folder of the series.
        curves: whether to put values through the VOI LUT or the sigmoid window that the file has;
            pass False where they are to be shown by another window.
        old: read greys as version 0.1 did, which knew of no table and no padding.

    Returns:
        Rescaled values (CT: Hounsfield units), or RGB whatever the file's colours. Padding is NaN.
        Where a curve of the file (of a series, the middle one's) was applied, 0 to 255. Where it
        says nothing of space, the affine is that of pixels of its spacing, or of 1 mm.

    Raises:
        UserError: a file cannot be read, or slices are missing or doubled.
    """
    try:
        return _read_group(headers, place, curves, old)
    except UserError:
        raise
    except MemoryError as error:
        raise file_error(place, error) from None
    except Exception:  # the text may quote the file
        raise unreadable(place) from None


def _read_group(headers: Sequence[Header], place: Path, curves: bool, old: bool) -> Volume:
    first, middle = headers[0], headers[len(headers) // 2]
    if first.enhanced:
        return _read_enhanced(first, place, curves, old)
    voxels = sum(math.prod(header.shape) for header in headers)
    refuse_without_room(place, 4 * voxels, f"{voxels:,} voxels")
    affine = _affine(headers, place) if first.spatial else None
    curve = curve_of(read_wishes(middle.path)) if curves and not old else None
    values: np.ndarray | None = None
    for index, header in enumerate(headers):
        image = _read(header.path)
        pixels = _pixels(image, header.path, old)
        if header.inverted:  # ITK mirrors such values within their bits; a window is for the others
            pixels = sum(header.limits) - pixels.astype(np.float32)
        if not old:
            pixels = _as_shown(pixels, header.path, curve)
        if values is None:  # slices of one series are rescaled each by its own numbers
            kind = pixels.dtype if len(headers) == 1 or pixels.ndim == 4 else np.float32
            values = np.empty((len(headers) * len(pixels), *pixels.shape[1:]), kind)
        if pixels.shape[1:] != values.shape[1:]:
            raise UserError(f"{header.path} differs in size from its series. Remove it.")
        values[index * len(pixels) : (index + 1) * len(pixels)] = pixels
    assert values is not None
    if affine is None:
        affine = itk_affine(image)
    window = middle.old_window if old else middle.window
    window, known = (SHOWN, False) if curve else (window, middle.hounsfield)
    return Volume(values, affine, place, window, middle.inverted, hounsfield=known)


def _as_shown(pixels: np.ndarray, path: Path, curve: Curve | None) -> np.ndarray:
    """Grey pixels of a file through its Modality LUT, without padding, and through a curve."""
    if pixels.ndim == 4:
        return pixels
    pixels = in_units(pixels, read_wishes(path))
    return pixels if curve is None else curve(pixels)


def _read_enhanced(header: Header, place: Path, curves: bool, old: bool) -> Volume:
    """Read the frames of an enhanced file in the order in which they lie in the patient."""
    frames = read_frames(header.path)
    order = frames.order
    values = _pixels(_read(header.path), header.path, old)
    if len(values) != len(order):
        raise UserError(
            f"{header.path} holds {len(values)} frames and says where {len(order)} lie. Export it "
            "again."
        )
    curve, grey = None, values.ndim == 3 and not old
    if grey:
        wishes = read_wishes(header.path)
        curve = curve_of_frames(wishes, frames) if curves else None
        values = in_units(values, wishes, (frames.rescale[0][0], frames.rescale[0][1]))
    if (frames.rescale != frames.rescale[0]).any():  # ITK rescales all by the first frame's numbers
        slope, intercept = frames.rescale[0]
        own = frames.rescale.astype(np.float32)[:, :, None, None]
        values = (values.astype(np.float32) - intercept) / slope * own[:, 0] + own[:, 1]
    places = [
        dataclasses.replace(
            header,
            position=tuple(frames.positions[index]),
            directions=frames.directions,
            spacing=frames.spacing,
            thickness=frames.thickness,
        )
        for index in order
    ]
    window = frames.old_window if old else frames.window or header.window
    values, known = values[order], header.hounsfield
    if curve is not None:
        values, window, known = curve(values), SHOWN, False
    return Volume(values, _affine(places, place), place, window, hounsfield=known)


def _read(path: Path) -> Any:
    import SimpleITK

    try:
        image = reader_of(path).Execute()
        return SimpleITK.JoinSeries([image]) if image.GetDimension() == 2 else image
    except Exception:  # what GDCM says may quote the file
        raise unreadable(path) from None


def _pixels(image: Any, path: Path, old: bool = False) -> np.ndarray:
    """(F, H, W) numbers or (F, H, W, 3) uint8 RGB."""
    import SimpleITK

    values = SimpleITK.GetArrayFromImage(image)
    if values.ndim == 4 and values.shape[-1] == 3:
        if values.dtype != np.uint8 and not old:
            return show(values)
        if values.dtype != np.uint8:
            top = 255.0 / np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 255.0
            values = np.rint(values * top).clip(0, 255).astype(np.uint8)
        return values
    if values.ndim != 3:
        raise UserError(f"{path} holds {values.shape[-1]} channels, expected grey or colour.")
    return values


def _normal(header: Header) -> np.ndarray:
    assert header.directions is not None
    return np.cross(header.directions[:3], header.directions[3:])


def _along(header: Header) -> float:
    """Where a slice lies along the normal of its plane, in mm."""
    return 0.0 if header.position is None else float(_normal(header) @ header.position)


def _affine(headers: Sequence[Header], place: Path) -> np.ndarray:
    """Index (d, h, w) -> LPS mm, from the slices' own positions (a tilted gantry shears it)."""
    first, last = headers[0], headers[-1]
    assert first.directions is not None
    assert first.position is not None
    assert last.position is not None
    affine = np.eye(4)
    affine[:3, 1] = np.multiply(first.directions[3:], first.spacing[0])
    affine[:3, 2] = np.multiply(first.directions[:3], first.spacing[1])
    affine[:3, 3] = first.position
    if len(headers) == 1:
        affine[:3, 0] = _normal(first) * first.thickness
        return affine
    _refuse_gaps([_along(header) for header in headers], place)
    affine[:3, 0] = np.subtract(last.position, first.position) / (len(headers) - 1)
    return affine


def _refuse_gaps(along: Sequence[float], place: Path) -> None:
    steps = np.diff(along)
    usual = statistics.median_low(steps.tolist())  # of two different ones the smaller: no gap
    if steps.min() < 1e-3:
        raise UserError(
            f"{place} has several slices at one position: time points or echoes in one series? "
            "Expected one volume. Put each into a folder of its own."
        )
    worst = int(np.argmax(np.abs(steps - usual)))
    if abs(steps[worst] - usual) > UNEVEN * usual + 0.01:
        raise UserError(
            f"{place}: from slice {worst + 1} to {worst + 2} it is {steps[worst]:.3g} mm, from "
            f"others {usual:.3g} mm: a slice is missing or damaged. Export the series again."
        )
