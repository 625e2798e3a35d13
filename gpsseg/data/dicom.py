"""DICOM: which files belong together, and their pixels as numbers or RGB. Read by SimpleITK (GDCM).

A patient's data is never read into anything here: ``Header`` has no field for it, and no message
quotes the file. An error therefore names the file and what is wrong, never what a library said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.volumes import Volume, itk_affine
from gpsseg.errors import UserError

ENDINGS = (".dcm", ".dicom", ".ima")
ENHANCED = (  # SOP classes (with their legacy twins) that keep geometry frame by frame
    *("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"),
    *("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"),
    *("1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"),
)
NO_IMAGE = (  # directory, presentation states, raw data, segmentations, reports, PDF, RT objects
    *("1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.66"),
    *(
        "1.2.840.10008.5.1.4.1.1.88.",
        "1.2.840.10008.5.1.4.1.1.104.",
        "1.2.840.10008.5.1.4.1.1.481.",
    ),
)
SLICES = ("CT", "MR", "PT", "NM")  # modalities whose numbers have no natural black and white
UNEVEN = 0.02  # of the distance between slices; scanners round their positions


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
        enhanced: whether one file holds a whole volume with its geometry.
        window: (low, high) shown as black and white; None where the file does not say.
        limits: the lowest and highest value that its bits can hold, rescaled.
        inverted: MONOCHROME1.
    """

    path: Path
    series: str
    shape: tuple[int, int, int]
    position: tuple[float, ...] | None
    directions: tuple[float, ...] | None
    spacing: tuple[float, float]
    enhanced: bool
    window: tuple[float, float] | None
    limits: tuple[float, float]
    inverted: bool

    @property
    def spatial(self) -> bool:
        """Whether the file says where its pixels lie in the patient."""
        return self.enhanced or (self.position is not None and self.shape[0] == 1)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its ending or by its first bytes."""
    if path.name.lower().endswith(ENDINGS):
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


def read_header(path: Path) -> Header:
    """Read what ``Header`` holds.

    Raises:
        UserError: the file cannot be read as a DICOM image; the text names it.
    """
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
        size = (*reader.GetSize(), 1)[:3]
    except Exception:  # what GDCM says may quote the file
        raise _unreadable(path) from None
    position, directions = _numbers(reader, "0020|0032"), _numbers(reader, "0020|0037")
    placed = len(position) == 3 and len(directions) == 6
    apart = _numbers(reader, "0028|0030") or tuple(reader.GetSpacing()[1::-1])
    return Header(
        path=path,
        series=_tag(reader, "0020|000e"),
        shape=(size[2], size[1], size[0]),
        position=position if placed else None,
        directions=directions if placed else None,
        spacing=(apart[0], apart[-1]),
        enhanced=_tag(reader, "0008|0016") in ENHANCED,
        window=_window(reader),
        limits=_limits(reader),
        inverted=_tag(reader, "0028|0004") == "MONOCHROME1",
    )


def group_headers(headers: Iterable[Header]) -> list[list[Header]]:
    """Put the slices of a volume together, in order along it; every other file is by itself.

    Slices belong together if series, orientation, size and spacing are alike.
    """
    groups: dict[Any, list[Header]] = defaultdict(list)
    for header in headers:
        if header.position is None or header.enhanced or header.shape[0] > 1:
            groups[header.path].append(header)
            continue
        assert header.directions is not None
        turned = tuple(round(value, 3) + 0.0 for value in header.directions)
        groups[header.series, turned, header.shape, header.spacing].append(header)
    return [sorted(group, key=_along) for group in groups.values()]


def read_dicom(headers: Sequence[Header], place: Path) -> Volume:
    """Read a volume, or the frames of one file.

    Args:
        headers: a group of ``group_headers``.
        place: what messages call it: the file, or the folder of the series.

    Returns:
        Rescaled values (CT: Hounsfield units), or RGB whatever the file's colours. Where it says
        nothing of space, the affine is that of pixels of its spacing, or of 1 mm.

    Raises:
        UserError: a file cannot be read, or slices are missing or doubled.
    """
    first = headers[0]
    affine = _affine(headers, place) if first.spatial and not first.enhanced else None
    values: np.ndarray | None = None
    for index, header in enumerate(headers):
        image = _read(header.path)
        pixels = _pixels(image, header.path)
        if header.inverted:  # ITK mirrors such values within their bits; a window is for the others
            pixels = sum(header.limits) - pixels.astype(np.float32)
        if values is None:  # slices of one series are rescaled each by its own numbers
            kind = pixels.dtype if len(headers) == 1 or pixels.ndim == 4 else np.float32
            values = np.empty((len(headers) * len(pixels), *pixels.shape[1:]), kind)
        if pixels.shape[1:] != values.shape[1:]:
            raise UserError(f"{header.path} differs in size from its series. Remove it.")
        values[index * len(pixels) : (index + 1) * len(pixels)] = pixels
    assert values is not None
    if affine is None:
        affine = itk_affine(image)
    middle = headers[len(headers) // 2]
    return Volume(values, affine, place, middle.window, middle.inverted)


def _reader(path: Path) -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # warnings quote the file
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    reader.SetFileName(str(path))
    return reader


def _read(path: Path) -> Any:
    import SimpleITK

    try:
        image = _reader(path).Execute()
        return SimpleITK.JoinSeries([image]) if image.GetDimension() == 2 else image
    except Exception:  # what GDCM says may quote the file
        raise _unreadable(path) from None


def _unreadable(path: Path) -> UserError:
    empty = path.is_file() and path.stat().st_size == 0
    return UserError(
        f"{path} {'is an empty file (0 bytes)' if empty else 'cannot be read'}; expected a DICOM "
        "image. Export it again, uncompressed if it is a video."
    )


def _pixels(image: Any, path: Path) -> np.ndarray:
    """(F, H, W) numbers or (F, H, W, 3) uint8 RGB."""
    import SimpleITK

    values = SimpleITK.GetArrayFromImage(image)
    if values.ndim == 4 and values.shape[-1] == 3:
        if values.dtype != np.uint8:
            top = 255.0 / np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 255.0
            values = np.rint(values * top).clip(0, 255).astype(np.uint8)
        return values
    if values.ndim != 3:
        raise UserError(f"{path} holds {values.shape[-1]} channels, expected grey or colour.")
    return values


def _tag(reader: Any, key: str) -> str:
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else ""


def _numbers(reader: Any, key: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _tag(reader, key).split("\\") if part.strip())
    except ValueError:
        return ()


def _window(reader: Any) -> tuple[float, float] | None:
    """(low, high) of the file's first window (DICOM PS3.3 C.11.2.1.2), or of its bits.

    Values of CT and MR without a window have no natural black and white: None.
    """
    centre, width = _numbers(reader, "0028|1050"), _numbers(reader, "0028|1051")
    if centre and width and width[0] > 0:
        if _tag(reader, "0028|1056") in ("", "LINEAR") and width[0] > 1:
            middle, half = centre[0] - 0.5, (width[0] - 1) / 2
        else:
            middle, half = centre[0], width[0] / 2
        return middle - half, middle + half
    return None if _tag(reader, "0008|0060") in SLICES else _limits(reader)


def _limits(reader: Any) -> tuple[float, float]:
    """What the stored bits can hold at least and at most, rescaled."""
    bits = (_numbers(reader, "0028|0101") or (8.0,))[0]
    lowest = -(2.0 ** (bits - 1)) if _tag(reader, "0028|0103") == "1" else 0.0
    slope = (_numbers(reader, "0028|1053") or (1.0,))[0]
    intercept = (_numbers(reader, "0028|1052") or (0.0,))[0]
    return lowest * slope + intercept, (lowest + 2.0**bits - 1) * slope + intercept


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
        affine[:3, 0] = _normal(first) * _thickness(first.path)
        return affine
    _refuse_gaps([_along(header) for header in headers], place)
    affine[:3, 0] = np.subtract(last.position, first.position) / (len(headers) - 1)
    return affine


def _thickness(path: Path) -> float:
    reader = _reader(path)
    reader.ReadImageInformation()
    return (_numbers(reader, "0018|0050") or (1.0,))[0] or 1.0


def _refuse_gaps(along: Sequence[float], place: Path) -> None:
    steps = np.diff(along)
    usual = float(np.median(steps))
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
