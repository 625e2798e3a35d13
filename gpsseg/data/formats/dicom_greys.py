"""How a DICOM file asks for its values to be shown: look-up tables, sigmoid windows, padding.

Windows that are straight lines are a pair of numbers, see
``gpsseg.data.formats.dicom.show_range``. What is none is applied here, by pydicom's own functions.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.dicom import show_range
from gpsseg.data.formats.dicom_frames import Frames

TAGS = (  # no one else's: what is read here never says whose image it is
    *("PhotometricInterpretation", "SamplesPerPixel", "PixelRepresentation"),
    *("BitsAllocated", "BitsStored", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
)
SHOWN = (0.0, 255.0)  # the range of what a curve gives
Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wishes:
    """What a file says of its values.

    Attributes:
        tags: a pydicom data set of ``TAGS``; empty where pydicom cannot read them.
    """

    tags: Any

    @property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept, by which ITK has changed the stored values."""
        slope = float(_first(self.tags.get("RescaleSlope"), 1.0))
        return slope or 1.0, float(_first(self.tags.get("RescaleIntercept"), 0.0))

    @property
    def padding(self) -> tuple[float, float] | None:
        """(least, largest) stored value that pads the image; None where nothing does."""
        value = _first(self.tags.get("PixelPaddingValue"), None)
        if value is None:
            return None
        ends = [float(value), float(_first(self.tags.get("PixelPaddingRangeLimit"), value))]
        ends = [self._signed(end) for end in ends]
        return min(ends), max(ends)

    def _signed(self, value: float) -> float:
        """A value as the pixels are; some write 63536 where they mean -2000."""
        span = 2.0 ** int(self.tags.get("BitsAllocated") or 16)
        if self.tags.get("PixelRepresentation") == 1:
            return value - span if value >= span / 2 else value
        return value + span if value < 0 else value


def read_wishes(path: Path) -> Wishes:
    """Read what a file says of its values."""
    from pydicom import Dataset, dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings quote the file
        try:
            data = dcmread(path, stop_before_pixels=True, specific_tags=[*TAGS], force=True)
            kept = Dataset()
            for name in TAGS:
                if name in data:
                    kept[name] = data[name]
            kept.set_original_encoding(*data.original_encoding)  # of the tables' bytes
            for name in ("ModalityLUTSequence", "VOILUTSequence"):
                for item in kept.get(name) or ():
                    _widen(item)
            return Wishes(kept)
        except Exception:  # ITK has read the file, or will say what is wrong with it
            return Wishes(Dataset())


def _widen(item: Any) -> None:
    """Let pydicom keep a table's entries in 16 bits: with 8 its indices overflow, 12 it refuses."""
    descriptor = item.get("LUTDescriptor")
    if descriptor and len(descriptor) == 3:
        item.LUTDescriptor = [descriptor[0], descriptor[1], 16]


def in_units(
    values: np.ndarray, wishes: Wishes, rescale: tuple[float, float] | None = None
) -> np.ndarray:
    """Values through the Modality LUT where there is one, and NaN where they are padding.

    Args:
        values: (F, H, W), rescaled by ITK, which knows of no tables.
        wishes: of their file.
        rescale: slope and intercept that ITK took; None for the file's.
    """
    slope, intercept = rescale or wishes.rescale
    padded = None
    if wishes.padding is not None:
        low, high = (end * slope + intercept for end in wishes.padding)
        near = abs(slope) / 4
        padded = (values >= min(low, high) - near) & (values <= max(low, high) + near)
    table = _table(wishes, "ModalityLUTSequence")
    if table is not None:
        from pydicom.pixels import apply_modality_lut

        stored = np.rint((values.astype(np.float64) - intercept) / slope).astype(np.int64)
        stored = _within(stored, wishes, "ModalityLUTSequence")
        values = _quietly(apply_modality_lut, stored, wishes.tags)
    if padded is None or not padded.any() or padded.all():
        return values
    return np.where(padded, np.float32(np.nan), values.astype(np.float32))


def curve_of(wishes: Wishes) -> Curve | None:
    """The file's VOI LUT, or else its sigmoid window; None where it has neither.

    Returns:
        Values in units -> float32 of ``SHOWN``; NaN stays NaN.
    """
    table = _table(wishes, "VOILUTSequence")
    if table is not None:
        return lambda values: _through_table(values, wishes, table)
    centre, width = (_numbers(wishes.tags.get(f"Window{n}")) for n in ("Center", "Width"))
    sigmoid = str(wishes.tags.get("VOILUTFunction") or "").strip().upper() == "SIGMOID"
    if sigmoid and show_range(centre, width, "SIGMOID"):
        return lambda values: _through_sigmoid(values, wishes)
    return None


def curve_of_frames(wishes: Wishes, frames: Frames) -> Curve | None:
    """The sigmoid window of an enhanced file's middle frame; None where it has none."""
    centre, width, function = frames.voi
    if function != "SIGMOID" or frames.window is None:
        return None
    tags = copy.deepcopy(wishes.tags)
    tags.WindowCenter, tags.WindowWidth, tags.VOILUTFunction = [*centre], [*width], function
    return lambda values: _through_sigmoid(values, Wishes(tags))


def _through_table(values: np.ndarray, wishes: Wishes, table: np.ndarray) -> np.ndarray:
    from pydicom.pixels import apply_voi

    known = np.rint(np.nan_to_num(values.astype(np.float64))).astype(np.int64)
    shown = _quietly(apply_voi, _within(known, wishes, "VOILUTSequence"), wishes.tags)
    # Not each table reaches the ends of the bits that it claims.
    return _spread(shown, values, float(table.min()), float(table.max()))


def _through_sigmoid(values: np.ndarray, wishes: Wishes) -> np.ndarray:
    from pydicom.pixels import apply_windowing

    ends = _quietly(apply_windowing, np.array([-1e15, 1e15]), wishes.tags)
    shown = _quietly(apply_windowing, np.nan_to_num(values.astype(np.float64)), wishes.tags)
    return _spread(shown, values, float(ends[0]), float(ends[1]))


def _spread(shown: np.ndarray, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """From ``low`` .. ``high`` to ``SHOWN``, with NaN where the values have it."""
    part = (shown.astype(np.float32) - low) / max(high - low, 1e-12)
    part *= SHOWN[1]
    if values.dtype.kind == "f":
        part[np.isnan(values)] = np.nan
    return part


def _quietly(function: Any, values: np.ndarray, tags: Any) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return np.asarray(function(values, tags))


def _table(wishes: Wishes, name: str) -> np.ndarray | None:
    """The entries of a look-up table, or None if there is none that can be used."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    items = wishes.tags.get(name)
    try:
        item = items[0]
        count, first = int(item.LUTDescriptor[0]) or 65536, int(item.LUTDescriptor[1])
        apply = apply_modality_lut if name.startswith("Modality") else apply_voi
        entries = _quietly(apply, np.arange(first, first + count), wishes.tags)
    except Exception:  # no sequence, an empty one, one without data, or data that do not fit
        return None
    return entries if np.ptp(entries) else None


def _within(values: np.ndarray, wishes: Wishes, name: str) -> np.ndarray:
    """Values cut off at the ends of a table, as the standard has it; pydicom's indices overflow."""
    count, first, _ = wishes.tags[name].value[0].LUTDescriptor
    return values.clip(int(first), int(first) + (int(count) or 65536) - 1)


def _first(value: Any, default: Any) -> Any:
    """A tag's first value as a number; the default where it is empty or none."""
    numbers = _numbers(value)
    return numbers[0] if numbers else default


def _numbers(value: Any) -> tuple[float, ...]:
    if value is None or value == "":
        return ()
    try:
        return tuple(float(each) for each in (value if hasattr(value, "__iter__") else [value]))
    except (TypeError, ValueError):
        return ()
