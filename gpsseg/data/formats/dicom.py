"""DICOM files: what they are, and what is needed of their headers. Read by SimpleITK (GDCM).

A patient's data is never read into anything here: ``Header`` has no field for it, and no message
quotes the file. An error therefore names the file and what is wrong, never what a library said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.data.formats.filenames import DICOM
from gpsseg.data.formats.volumes import refuse_too_large
from gpsseg.errors import UserError
from gpsseg.faults import plain_name

ENHANCED = (  # SOP classes (with their legacy twins) that keep geometry frame by frame
    *("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"),
    *("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"),
    *("1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"),
)
NO_IMAGE = (  # directory, presentation states, raw data, segmentations, reports, PDF, RT objects
    *("1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.66"),
    *("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104."),
    "1.2.840.10008.5.1.4.1.1.481.",
)
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
DEFLATED = "1.2.840.10008.1.2.1.99"
PACKED_FRAMES = 1_000_000  # not even a blank image is made smaller than by this factor
SLICES = ("CT", "MR", "PT", "NM")  # modalities whose numbers have no natural black and white


@dataclass(frozen=True)
class Header:
    """What is needed of one file, and nothing that tells whose it is.

    Attributes:
        path: of the file.
        series: SeriesInstanceUID; never shown, names are made of a hash of it.
        shape: (frames, rows, columns).
        position: (3,) LPS mm of the first pixel; None where the file says nothing of space.
        directions: (6,) unit vectors along a row and along a column.
        spacing: mm from row to row and from column to column.
        thickness: mm, of a slice; 1 where the file does not say.
        enhanced: whether one file holds a whole volume with its geometry.
        window: (low, high) shown as black and white, of 8 bits their limits; None where the file
            does not say.
        limits: the lowest and highest value that its bits can hold, rescaled.
        inverted: MONOCHROME1.
        modality: such as CT; "" where the file does not say.
        hounsfield: whether its values are Hounsfield units.
        asked: centre and width of its first window as the file has them; None where it has none.
    """

    path: Path
    series: str
    shape: tuple[int, int, int]
    position: tuple[float, ...] | None
    directions: tuple[float, ...] | None
    spacing: tuple[float, float]
    thickness: float
    enhanced: bool
    window: tuple[float, float] | None
    limits: tuple[float, float]
    inverted: bool
    modality: str = ""
    hounsfield: bool = False
    asked: tuple[float, float] | None = None

    @property
    def old_window(self) -> tuple[float, float] | None:
        """``window`` as version 0.1 had it: what is no slice has the range of its bits."""
        return self.window or (None if self.modality in SLICES else self.limits)

    @property
    def spatial(self) -> bool:
        """Whether the file says where its pixels lie in the patient."""
        return self.enhanced or (self.position is not None and self.shape[0] == 1)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its ending or by its first bytes."""
    if path.name.lower().endswith(DICOM):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def holds_image(path: Path) -> bool:
    """Whether a DICOM file is an image, and no report, plan, segmentation or the like."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return True  # reading it will say what is wrong
    kind = re.search(rb"\x02\x00\x02\x00UI..([0-9.]+)", start, re.DOTALL)
    return kind is None or not kind[1].decode().startswith(NO_IMAGE)


def series_of(path: Path) -> str:
    """The UID of a damaged file's series, as far as it can be told; else ''."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError:
        return ""
    found = re.search(rb"\x20\x00\x0e\x00.{4}([0-9.]+)", start, re.DOTALL)
    return found[1].decode() if found else ""


def _syntax(path: Path) -> str:
    """The file's transfer syntax, as far as its first bytes say it."""
    with path.open("rb") as file:
        start = file.read(2048)
    found = re.search(rb"\x02\x00\x10\x00UI..([0-9.]+)", start, re.DOTALL)
    return found[1].decode() if found else ""


def deflated_part(path: Path) -> int | None:
    """Where a file's packed part begins, if all but its first tags is packed (deflated)."""
    if _syntax(path) != DEFLATED:
        return None
    with path.open("rb") as file:
        start = file.read(144)
    return 144 + int.from_bytes(start[140:144], "little")  # the length of its first group


def read_header(path: Path) -> Header:
    """Read what ``Header`` holds.

    Raises:
        UserError: the file cannot be read as a DICOM image; the text names it.
    """
    try:
        reader = reader_of(path)
        reader.ReadImageInformation()
        return _header(reader, path)
    except UserError:
        raise
    except Exception:  # what GDCM says may quote the file
        raise unreadable(path) from None


def _header(reader: Any, path: Path) -> Header:
    """What ``Header`` holds, from a reader that has read a file's tags.

    Raises:
        UserError: the values cannot be told from its numbers.
    """
    size = (*reader.GetSize(), 1)[:3]
    samples = (_numbers(reader, "0028|0002") or (1.0,))[0]
    stored = math.prod(size) * (_numbers(reader, "0028|0100") or (8.0,))[0] / 8 * samples
    refuse_too_large(path, int(stored), 1 if _syntax(path) in UNCOMPRESSED else PACKED_FRAMES)
    position, directions = _numbers(reader, "0020|0032"), _numbers(reader, "0020|0037")
    placed = len(position) == 3 and len(directions) == 6
    apart = _numbers(reader, "0028|0030") or tuple(reader.GetSpacing()[1::-1])
    limits = _limits(reader)
    if not (math.isfinite(limits[0]) and math.isfinite(limits[1]) and limits[0] != limits[1]):
        raise UserError(
            f"{path} does not say what its values mean: BitsStored, RescaleSlope or "
            "RescaleIntercept is not usable, expected numbers such as 16, 1 and -1024. Export it "
            "again."
        )
    return Header(
        path=path,
        series=_tag(reader, "0020|000e"),
        shape=(size[2], size[1], size[0]),
        position=position if placed else None,
        directions=directions if placed else None,
        spacing=(apart[0], apart[-1]),
        thickness=(_numbers(reader, "0018|0050") or (1.0,))[0] or 1.0,
        enhanced=_tag(reader, "0008|0016") in ENHANCED,
        window=_window(reader),
        limits=limits,
        inverted=_tag(reader, "0028|0004") == "MONOCHROME1",
        modality=_tag(reader, "0008|0060"),
        hounsfield=_is_hounsfield(reader),
        asked=_asked(reader),
    )


def reader_of(path: Path) -> Any:
    """A SimpleITK reader of one file, by GDCM and silent."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # warnings quote the file
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    reader.SetFileName(plain_name(path))
    return reader


def unreadable(path: Path) -> UserError:
    """What to say of a file that cannot be read, without a word of what is in it."""
    empty = path.is_file() and path.stat().st_size == 0
    return UserError(
        f"{path} {'is an empty file (0 bytes)' if empty else 'cannot be read'}; expected a DICOM "
        "image. Export it again, uncompressed if it is a video."
    )


def _tag(reader: Any, key: str) -> str:
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else ""


def _numbers(reader: Any, key: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _tag(reader, key).split("\\") if part.strip())
    except ValueError:
        return ()


def _asked(reader: Any) -> tuple[float, float] | None:
    """Centre and width of the file's first window, where it has one."""
    centre, width = _numbers(reader, "0028|1050"), _numbers(reader, "0028|1051")
    return (centre[0], width[0]) if show_range(centre, width) else None


def _window(reader: Any) -> tuple[float, float] | None:
    """(low, high) of the file's first window; of 8 bits without one, of these. Else None."""
    centre, width = _numbers(reader, "0028|1050"), _numbers(reader, "0028|1051")
    if window := show_range(centre, width, _tag(reader, "0028|1056") or "LINEAR"):
        return window
    alike = _tag(reader, "0008|0060") in SLICES  # in which 8 bits are what was left of more
    return _limits(reader) if _bits(reader) <= 8 and not alike else None


def _is_hounsfield(reader: Any) -> bool:
    """Whether a file is CT and more than a picture of one; not every CT image is rescaled."""
    enhanced = _tag(reader, "0008|0016") in ENHANCED  # says so frame by frame
    scaled = enhanced or _tag(reader, "0028|1052") or _tag(reader, "0028|0103") == "1"
    unit = _tag(reader, "0028|1054") or "HU"
    return _tag(reader, "0008|0060") == "CT" and unit == "HU" and _bits(reader) > 8 and bool(scaled)


def _bits(reader: Any) -> float:
    return (_numbers(reader, "0028|0101") or (8.0,))[0]


def show_range(
    centre: Sequence[float], width: Sequence[float], function: str = "LINEAR"
) -> tuple[float, float] | None:
    """(low, high) of the first of a file's windows (DICOM PS3.3 C.11.2.1.2); None without any.

    >>> show_range([40.0, 300.0], [401.0, 1500.0])
    (-160.5, 239.5)
    """
    if not centre or not width or not (math.isfinite(centre[0]) and 0 < width[0] < math.inf):
        return None
    if function == "LINEAR" and width[0] > 1:
        middle, half = centre[0] - 0.5, (width[0] - 1) / 2
    else:
        middle, half = centre[0], width[0] / 2
    return middle - half, middle + half


def _limits(reader: Any) -> tuple[float, float]:
    """What the stored bits can hold at least and at most, rescaled; NaN if that cannot be told."""
    bits = _bits(reader)
    if not 1 <= bits <= 64:
        return math.nan, math.nan
    lowest = -(2.0 ** (bits - 1)) if _tag(reader, "0028|0103") == "1" else 0.0
    slope, intercept = (
        (_numbers(reader, key) or ((math.nan,) if _tag(reader, key) else (default,)))[0]
        for key, default in (("0028|1053", 1.0), ("0028|1052", 0.0))
    )
    return lowest * slope + intercept, (lowest + 2.0**bits - 1) * slope + intercept
