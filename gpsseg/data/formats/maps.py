"""Read what any tool wrote for one image: a mask or a probability map; PNG, NumPy or a volume."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.dicom_masks import Segmented, is_segmentation, placed, read_segmentation
from gpsseg.data.formats.filenames import DICOM, USUAL, files_below, one_form
from gpsseg.data.formats.images import EXTENSIONS, read_values
from gpsseg.data.formats.levels import (
    FEW,
    NEAR,
    Marked,
    few_values,
    mark,
    refuse_not_finite,
    solid_values,
)
from gpsseg.data.formats.volumes import ENDINGS as VOLUMES
from gpsseg.data.formats.volumes import (
    ITK,
    NIBABEL,
    PACKED,
    PACKS,
    RAS,
    read_volume,
    refuse_too_large,
    unit_of,
)
from gpsseg.errors import UserError
from gpsseg.veil import plain

ENDINGS = (*VOLUMES, ".npy", *sorted(EXTENSIONS))
FULL = (1, 255, 65535)  # what whole numbers may mean by "certainly foreground"


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

    def like(self, truth: Stored, path: Path) -> Stored:
        """A DICOM segmentation on the grid of its truth; anything else as it is.

        Raises:
            UserError: its voxels are none of that grid's; the text names ``path``.
        """
        if self.part is None or truth.affine is None or truth.part is not None:
            return self
        flat = truth.values.ndim == 2
        shape = (*truth.values.shape[::-1], 1) if flat else truth.values.shape
        values = placed(self.part, shape, truth.affine, path)
        values = values[..., 0].T if flat else values
        return Stored(values, truth.spacing, truth.affine)


@dataclass(frozen=True)
class Survey:
    """What one look at a prediction tells.

    Attributes:
        kind: name of the dtype.
        top: largest value.
        soft: whether there are values between "background" and "foreground"; JPEG's do not count.
        several: whether it looks like labels of several classes.
        values: the distinct values; None where there are more than 16.
        solid: those that occur away from edges between others.
    """

    kind: str
    top: float
    soft: bool
    several: bool
    values: tuple[float, ...] | None = None
    solid: tuple[float, ...] = ()


def ending(path: Path) -> str:
    """The file's known ending in lower case (".nii.gz" is one), or an empty string."""
    return next((end for end in ENDINGS if path.name.lower().endswith(end)), "")


def stem(path: Path) -> str:
    """The name without its known ending; bytes that are no UTF-8 become U+FFFD."""
    known = next((end for end in (*ENDINGS, *DICOM) if path.name.lower().endswith(end)), "")
    return utf8(path.name[: len(path.name) - len(known)])


def relative_name(path: Path, folder: Path) -> str:
    """The path below a folder, with slashes; bytes that are no UTF-8 become U+FFFD."""
    return utf8(path.relative_to(folder).as_posix())


def utf8(name: str) -> str:
    """A name that can be written anywhere, in one of Unicode's forms.

    Bytes that are no UTF-8, and controls, become U+FFFD.
    """
    return one_form(plain(os.fsencode(name).decode("utf-8", "replace")))


def find_maps(folder: Path, option: str, segments: bool = False) -> list[Path]:
    """Every mask or map in a folder and below, sorted; hidden files do not count.

    Args:
        folder: where to look.
        option: what error messages call it.
        segments: whether DICOM segmentations count, too.

    Raises:
        UserError: there is no such folder, or nothing in it; the text names ``option``.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{option} {folder} {what}. Pass a folder of masks or probability maps.")
    found = [path for path in files_below(folder) if _is_map(path, segments)]
    if not found:
        raise UserError(
            f"{option} {folder} holds no mask or map; expected files ending in "
            f"{', '.join((*VOLUMES, '.npy'))}, or pictures such as {USUAL}."
        )
    return found


def unread_files(folder: Path) -> list[Path]:
    """The files in a folder and below that are neither masks nor maps."""
    return [path for path in files_below(folder) if not _is_map(path, segments=True)]


def _is_map(path: Path, segments: bool) -> bool:
    return bool(ending(path)) or (segments and is_segmentation(path))


def read_stored(path: Path) -> Stored:
    """Read one file.

    Raises:
        UserError: it cannot be read, is neither 2-D nor (volumes) 3-D, or holds no numbers, NaN or
            infinity; the text names it.
    """
    end = ending(path)
    if end in NIBABEL:
        stored = _read_nifti(path)
    elif end in ITK:
        stored = _read_itk(path)
    elif not end:
        stored = _read_segmentation(path)
    else:
        values, lossy = (_read_npy(path), False) if end == ".npy" else read_values(path)
        stored = Stored(values, lossy=lossy)
    values = stored.values
    if values.dtype.kind not in "buif":
        raise UserError(f"{path} holds {values.dtype}, expected whole numbers or floats.")
    refuse_not_finite(values, path, "probabilities in [0, 1]")
    if values.size == 0 or values.ndim not in ((2, 3) if end in ("", *VOLUMES) else (2,)):
        wanted = (
            "2-D or 3-D" if end in ("", *VOLUMES) else "2-D (height, width); save volumes as NIfTI"
        )
        raise UserError(f"{path} has the shape {values.shape}, expected {wanted}.")
    return stored


def read_truth(path: Path) -> tuple[np.ndarray, Stored]:
    """Read a ground truth as bool, by the rule of ``gpsseg.data.formats.images.read_mask``.

    Raises:
        UserError: as ``read_stored``, or there are several classes or negative values.
    """
    marked, stored = look_at_truth(path)
    return marked.mask, stored


def look_at_truth(path: Path) -> tuple[Marked, Stored]:
    """Read a ground truth as ``read_truth``, with what is worth knowing of it."""
    stored = read_stored(path)
    return mark(stored.values, path, stored.lossy), stored


def survey(path: Path, values: np.ndarray) -> Survey:
    """Look at one prediction.

    Raises:
        UserError: floats lie outside [0, 1], or whole numbers outside 0..65535.
    """
    low, top = values.min(), values.max()
    is_float = values.dtype.kind == "f"
    slack = NEAR if is_float else 0  # what rounding leaves of 0 and 1
    if low < -slack or top > (1 + slack if is_float else FULL[-1]):
        expected = "probabilities in [0, 1]" if is_float else "0 to 1, 0 to 255 or 0 to 65535"
        raise UserError(
            f"{path} ranges from {low:g} to {top:g}, expected {expected}. Apply the sigmoid to "
            "logits, or divide by the largest possible value."
        )
    full = 1 if is_float else full_value(top)
    between = bool(((values > 0) & (values < full)).any())
    there = few_values(values)
    several = not is_float and 1 < top <= 127 and there is not None
    soft = between and ending(path) not in (".jpg", ".jpeg")
    solid = solid_values(values) if there and len(there) > 2 and not is_float else there or ()
    return Survey(values.dtype.name, float(top), soft, several, there, solid)


def full_value(top: float) -> int:
    """The smallest of 1, 255 and 65535 that is at least ``top``."""
    return next(full for full in FULL if top <= full)


def full_values(surveys: Iterable[Survey]) -> dict[str, int]:
    """What "certainly foreground" is for each dtype in a folder.

    One file cannot tell: an 8-bit map that finds almost nothing holds 0 and 1 only, and so does a
    mask. So the largest value of *all* files decides.
    """
    tops: dict[str, float] = {}
    for each in surveys:
        tops[each.kind] = max(tops.get(each.kind, 0), each.top)
    return {kind: full_value(top) for kind, top in tops.items()}


def marks_of(surveys: Iterable[Survey]) -> dict[str, float]:
    """Of each integer dtype whose values in all files are two levels of a mask, the higher.

    Two values of which one is 0 mean the same as a map, up to 255; floats are probabilities.
    """
    return {
        kind: max(values)
        for kind, values in _all_values(surveys).items()
        if len(values) == 2
        and (min(values) > 0 or 255 < max(values) < FULL[-1])
        and not kind.startswith("float")
    }


def few_levels(surveys: Iterable[Survey]) -> dict[str, tuple[list[float], bool]]:
    """Of each integer dtype with a file of three levels or more: these, and whether they are votes.

    The votes of three networks are 0, 85, 170 and 255; other levels are classes.
    """
    surveys, levels = list(surveys), {}
    for kind in _all_values(surveys):
        same = [each.solid for each in surveys if each.kind == kind]
        if not kind.startswith("float") and max(map(len, same)) >= 3:
            found = sorted({value for solid in same for value in solid})
            even = np.ptp(np.diff(found)) <= 2 and found[0] == 0 and found[-1] in FULL
            levels[kind] = found, bool(even)
    return levels


def _all_values(surveys: Iterable[Survey]) -> dict[str, set[float]]:
    """The distinct values in all files of each dtype, but of those that have more than 16."""
    found: dict[str, set[float]] = {}
    many = set()
    for each in surveys:
        found.setdefault(each.kind, set()).update(each.values or ())
        if each.values is None or len(found[each.kind]) > FEW:
            many.add(each.kind)
    return {kind: values for kind, values in found.items() if kind not in many}


def to_map(values: np.ndarray, full: dict[str, int]) -> np.ndarray:
    """A prediction as float in [0, 1], uint8 0..255 or bool.

    Args:
        values: (...) as stored.
        full: from ``full_values``.
    """
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind == "f":
        return values.clip(0, 1)
    top = full[values.dtype.name]
    if top == 1:
        return values > 0
    return values.astype(np.uint8) if top == 255 else values.astype(np.float32) / np.float32(top)


def _read_npy(path: Path) -> np.ndarray:
    """A .npy file; axes of length 1 beyond two are dropped. Pickled objects are refused."""
    try:
        values = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header fails in many ways
        raise UserError(
            f"{path} cannot be read ({error}). Write it again with numpy.save."
        ) from None
    return values.squeeze() if values.ndim > 2 else values


def _read_nifti(path: Path) -> Stored:
    """A NIfTI file, its scaling applied; trailing axes of length 1 beyond two are dropped."""
    try:
        import nibabel
    except ImportError:
        raise UserError(
            f"{path} is a NIfTI file, and reading it needs nibabel: pip install nibabel."
        ) from None
    try:
        image: Any = nibabel.load(path)
        stored = math.prod(image.shape) * image.get_data_dtype().itemsize
        refuse_too_large(path, stored, PACKED if path.name.lower().endswith(PACKS) else 1)
        values = np.asanyarray(image.dataobj)
        zooms = [float(z) * unit_of(image) for z in image.header.get_zooms()]
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} cannot be read ({error}). Copy it again from its source."
        ) from None
    if not (np.isfinite(image.affine).all() and np.isfinite(zooms).all()):
        raise UserError(
            f"{path}: its header gives the voxels no size or no direction. Write it again with "
            "spacing and direction."
        )
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    spacing = tuple(zooms[: values.ndim])
    if values.ndim == 2:
        values, spacing = values.T, spacing[::-1]
    return Stored(values, spacing, np.asarray(image.affine))


def _read_segmentation(path: Path) -> Stored:
    """A DICOM segmentation, its axes in NIfTI's order; one of a single frame is 2-D."""
    part = read_segmentation(path)
    if part.values.shape[2] == 1:
        spacing = (part.spacing[1], part.spacing[0])
        return Stored(part.values[..., 0].T, spacing, part.affine, part=part)
    return Stored(part.values, part.spacing, part.affine, part=part)


def _read_itk(path: Path) -> Stored:
    """An NRRD or MetaImage file, its axes in NIfTI's order."""
    volume = read_volume(path)
    values, affine = volume.values, RAS @ volume.affine[:, [2, 1, 0, 3]]
    if values.ndim == 3 and len(values) == 1:
        return Stored(values[0], tuple(volume.spacing[1:].tolist()), affine)
    axes = (2, 1, 0, *range(3, values.ndim))
    return Stored(values.transpose(axes), tuple(volume.spacing[::-1].tolist()), affine)
