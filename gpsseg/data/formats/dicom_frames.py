"""Where the frames of an enhanced CT, MR or PET file lie: it says so frame by frame, in sequences.

ITK reads such a file in the order of its frames and takes for granted that they are the slices of a
volume from one end to the other. The standard does not promise that.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.dicom import show_range, unreadable
from gpsseg.errors import UserError

NEEDED = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True)
class Frames:
    """What an enhanced file says of its frames, and nothing that tells whose they are.

    Attributes:
        positions: (N, 3) LPS mm of each frame's first pixel, in the order of the file.
        directions: (6,) unit vectors along a row and along a column.
        spacing: mm from row to row and from column to column.
        thickness: mm, of a slice.
        rescale: (N, 2) slope and intercept of each frame.
        voi: centre, width and function of the middle frame's window; () where it does not say.
    """

    positions: np.ndarray
    directions: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float
    rescale: np.ndarray
    voi: tuple[tuple[float, ...], tuple[float, ...], str]

    @property
    def window(self) -> tuple[float, float] | None:
        """(low, high) shown as black and white; None where the file does not say."""
        return show_range(*self.voi)

    @property
    def old_window(self) -> tuple[float, float] | None:
        """``window`` as version 0.1 had it, which took each for a linear one."""
        return show_range(*self.voi[:2])

    @property
    def along(self) -> np.ndarray:
        """(N,) where the frames lie along the normal of their plane, in mm."""
        return self.positions @ np.cross(self.directions[:3], self.directions[3:])

    @property
    def order(self) -> np.ndarray:
        """(N,) integer numbers of the frames, from one end of the volume to the other."""
        return np.argsort(self.along, kind="stable")


def read_frames(path: Path) -> Frames:
    """Read the functional groups of an enhanced file.

    Raises:
        UserError: it cannot be read, does not say where its frames lie, or holds stacks of several
            directions.
    """
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings quote the file
        try:
            data = dcmread(path, stop_before_pixels=True, specific_tags=[*NEEDED])
            return _frames_of([data.get(name) or [] for name in NEEDED], path)
        except UserError:
            raise
        except Exception:  # the text may quote the file
            raise unreadable(path) from None


def _frames_of(groups: Sequence[Any], path: Path) -> Frames:
    """What the shared and the per-frame groups say."""
    shared, frames = (groups[0] or [None])[0], groups[1]
    positions = [_numbers(f, shared, "PlanePosition", "ImagePositionPatient") for f in frames]
    turned = [_numbers(f, shared, "PlaneOrientation", "ImageOrientationPatient") for f in frames]
    if not frames or {len(p) for p in positions} != {3} or {len(t) for t in turned} != {6}:
        raise UserError(
            f"{path} does not say where its frames lie. Export it as single slices or as NIfTI."
        )
    if not np.allclose(turned, turned[0], atol=1e-3):
        raise UserError(
            f"{path} holds stacks of several directions, expected one volume. Export each stack "
            "as a series of its own."
        )
    first = frames[0]
    spacing = _numbers(first, shared, "PixelMeasures", "PixelSpacing") or (1.0, 1.0)
    thickness = _numbers(first, shared, "PixelMeasures", "SliceThickness") or (1.0,)
    middle = frames[len(frames) // 2]
    centre = _numbers(middle, shared, "FrameVOILUT", "WindowCenter")
    width = _numbers(middle, shared, "FrameVOILUT", "WindowWidth")
    rescale = [
        [
            (_numbers(f, shared, "PixelValueTransformation", f"Rescale{n}") or (default,))[0]
            for n, default in (("Slope", 1.0), ("Intercept", 0.0))
        ]
        for f in frames
    ]
    if not np.isfinite(rescale).all() or 0 in [slope for slope, _ in rescale]:
        raise UserError(
            f"{path} does not say what its values mean: RescaleSlope or RescaleIntercept of a "
            "frame is not usable. Export it again."
        )
    return Frames(
        np.array(positions),
        turned[0],
        (spacing[0], spacing[-1]),
        thickness[0] or 1.0,
        np.array(rescale),
        (centre, width, _function(middle, shared)),
    )


def _function(frame: Any, shared: Any) -> str:
    """How a frame's window rises: LINEAR where the file does not say."""
    for place in (frame, shared):
        sequence = getattr(place, "FrameVOILUTSequence", None)
        if sequence and (text := getattr(sequence[0], "VOILUTFunction", None)):
            return str(text).strip().upper()
    return "LINEAR"


def _numbers(frame: Any, shared: Any, group: str, name: str) -> tuple[float, ...]:
    """A frame's own value, or else the one that all frames share, or ()."""
    for place in (frame, shared):
        sequence = getattr(place, f"{group}Sequence", None)
        value = getattr(sequence[0], name, None) if sequence else None
        if value is not None and value != "":
            values = [value] if isinstance(value, (int, float)) else value
            return tuple(float(each) for each in values)
    return ()
