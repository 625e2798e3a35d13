"""Volumes with their place in space: NIfTI by nibabel, NRRD and MetaImage's header by SimpleITK.

Arrays are (D, H, W): the file's axes in reverse, so that W is the one that changes fastest on disk
(SimpleITK's z, y, x; nibabel's k, j, i). Positions are in mm, in DICOM's and ITK's frame LPS (x to
the patient's left, y to the back, z to the head); NIfTI's RAS differs by two signs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.filenames import VOLUMES
from gpsseg.data.formats.metaimage import metaimage_values
from gpsseg.data.formats.openers import open_itk, open_nifti
from gpsseg.data.formats.packed import PACKED, refuse_damaged, refuse_misnamed, times_packed
from gpsseg.data.formats.room import refuse_without_room
from gpsseg.data.formats.voxel_files import META
from gpsseg.errors import UserError
from gpsseg.faults import file_error, no_file

NIFTI = (".nii.gz", ".nii")
NIBABEL = (*NIFTI, ".mgz", ".mgh")  # of these, NIfTI is written too
PACKS = (".gz", ".mgz")
ON_A_PLANE = 1e-3  # a plane of two axes (x, y) shows this share of a slice
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
KINDS = {"unsigned": "u", "signed": "i", "float": "f"}  # numpy's, of the words of SimpleITK
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS -> RAS, and back
VECTORS = (1007, 2003)  # codes of NIfTI for what has several numbers in a voxel, and for RGB
PLACE = (  # the fields of a NIfTI header that say where the voxels lie; no others are copied
    *("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)


@dataclass(frozen=True)
class Volume:
    """Voxels, and where they lie.

    Attributes:
        values: (D, H, W) numbers as the file means them (CT: Hounsfield units), or (D, H, W, 3)
            uint8 RGB.
        affine: (4, 4) float64: index (d, h, w, 1) -> position (x, y, z, 1) in mm, LPS.
        source: the file or folder it came from.
        window: (low, high): what the file asks to be shown as black and as white; None where it
            does not say.
        inverted: whether low values are to be shown white (DICOM's MONOCHROME1).
        hounsfield: whether they are known to be Hounsfield units, which mean the same everywhere.
        place: of a NIfTI file the header's geometry, as stored, so that it can be written back bit
            for bit.
        stored: the lengths of the file's own axes (W, H, ...) where these are not three: a file of
            two axes is one slice here, and its mask has two axes again.
    """

    values: np.ndarray
    affine: np.ndarray
    source: Path
    window: tuple[float, float] | None = None
    inverted: bool = False
    place: Mapping[str, Any] | None = None
    hounsfield: bool = False
    stored: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        kind = self.values.dtype
        if kind.kind not in "buif":
            text = "complex numbers" if kind.kind == "c" else f"{kind}"
            raise UserError(
                f"{self.source} holds {text}, expected real numbers. Save the magnitude, or the "
                "part that shows the anatomy."
            )
        if 0 in self.values.shape:
            raise UserError(f"{self.source} holds no voxel: it is {_times(self.shape)} voxels.")
        edges = self.affine[:3, :3]
        if not np.isfinite(self.affine).all() or abs(np.linalg.det(edges)) < 1e-12:
            raise UserError(
                f"{self.source}: its header gives the voxels no size or no direction. Write it "
                "again with spacing and direction."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.values.shape[:3]
        return depth, height, width

    @property
    def spacing(self) -> np.ndarray:
        """(3,) float64: mm from one voxel to the next along D, H and W."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def origin(self) -> np.ndarray:
        """(3,) float64: position (x, y, z) in mm, LPS, of the voxel [0, 0, 0]'s centre."""
        return self.affine[:3, 3].copy()

    @property
    def direction(self) -> np.ndarray:
        """(3, 3) float64: its columns are unit vectors (x, y, z), LPS, along D, H and W."""
        return self.affine[:3, :3] / self.spacing


def volume_ending(path: Path) -> str:
    """The file's ending if it is a volume's, in lower case (".nii.gz" is one), or ''."""
    return next((end for end in VOLUMES if path.name.lower().endswith(end)), "")


def read_volume(path: Path) -> Volume:
    """Read a NIfTI, NRRD or MetaImage file.

    Raises:
        UserError: it cannot be read, is damaged, or holds several time points; the text names it.
    """
    if not path.is_file():
        raise UserError(f"{path} {no_file(path)}, expected a NIfTI, NRRD or MHA volume.")
    read = _read_nifti if volume_ending(path) in NIBABEL else _read_itk
    try:
        refuse_misnamed(path, volume_ending(path))
        return read(path)
    except UserError:
        raise
    except MemoryError as error:
        raise file_error(path, error) from None
    except Exception:  # damaged files make readers fail in every way there is
        empty = path.is_file() and path.stat().st_size == 0
        raise UserError(
            f"{path} {'is an empty file (0 bytes)' if empty else 'cannot be read'}; expected a "
            "NIfTI, NRRD or MHA volume. Copy it again from its source."
        ) from None


def itk_affine(image: Any) -> np.ndarray:
    """The affine of a SimpleITK image's first three axes: (4, 4), index (d, h, w) -> LPS mm."""
    affine = np.eye(4)
    axes = image.GetDimension()
    edges = np.reshape(image.GetDirection(), (axes, axes)) * np.asarray(image.GetSpacing())
    affine[:3, :3], affine[:3, 3] = edges[:3, 2::-1], image.GetOrigin()[:3]
    return affine


def refuse_too_large(path: Path, stored: int, packed: int | None) -> None:
    """Refuse a header that promises more than there can be, before room is made for it.

    Args:
        path: of the file.
        stored: how many bytes of voxels its header promises, at least.
        packed: how many times larger these may be than the file; None where that is not known.

    Raises:
        UserError: it promises more than that, or than there is memory.
    """
    held = path.stat().st_size
    if packed is not None and stored > held * packed:
        raise UserError(
            f"{path} is cut off or damaged: its header promises {stored:,} bytes of voxels, and "
            f"the file has {held:,}. Copy it again from its source."
        )
    refuse_without_room(path, stored, f"{stored:,} bytes of voxels")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def promised_values(path: Path) -> int:
    """How many values a volume's header promises; 0 where it cannot be read, which reading says.

    Raises:
        UserError: its voxels lie in a file elsewhere on this machine.
    """
    try:
        ending = volume_ending(path)
        if ending in NIBABEL:
            with open_nifti(path, ending) as image:
                return math.prod(image.shape)
        with open_itk(path, ending) as reader:
            return math.prod(reader.GetSize()) * int(reader.GetNumberOfComponents())
    except UserError:
        raise
    except Exception:  # damaged headers make readers fail in every way there is
        return 0


def _read_nifti(path: Path) -> Volume:
    with open_nifti(path, volume_ending(path)) as image:
        return _of_nifti(path, image)


def _of_nifti(path: Path, image: Any) -> Volume:
    """What nibabel has opened, with its voxels."""
    stored = math.prod(image.shape) * image.get_data_dtype().itemsize
    refuse_too_large(path, stored, PACKED if path.name.lower().endswith(PACKS) else 1)
    refuse_damaged(path, stored, image.dataobj.offset)
    values = _scaled(image.dataobj)
    shape = tuple(image.shape)
    if values.dtype.names is not None:  # RGB (and alpha) are stored as records
        values = np.stack([values[channel] for channel in ("R", "G", "B")], axis=-1)
    elif _is_itk_colour(image, values):
        shape = shape[:3]
    if len(shape) < 2 or not set(shape[3:]) <= {1}:
        _refuse_shape(path, image.shape)
    channels = (3,) if values.size != math.prod(shape) else ()
    values = values.reshape((*shape, 1)[:3] + channels)
    unit = unit_of(image)
    affine = RAS @ np.asarray(image.affine, np.float64)
    affine[:3] *= unit
    nifti = volume_ending(path) in NIFTI and unit == 1.0
    place = {name: image.header[name].copy() for name in PLACE} if nifti else None
    axes = (2, 1, 0, *range(3, values.ndim))
    own = shape if len(shape) != 3 else None
    return Volume(values.transpose(axes), affine[:, [2, 1, 0, 3]], path, place=place, stored=own)


def _is_itk_colour(image: Any, values: np.ndarray) -> bool:
    """Whether a NIfTI file's fifth axis holds the channels of a picture, as ITK writes them."""
    told = getattr(image.header, "get_intent", None)
    vector = told is not None and told("code")[0] in VECTORS
    return vector and values.shape[3:] == (1, 3) and values.dtype == np.uint8


def unit_of(image: Any) -> float:
    """How many mm one of an image's units is; formats that name none mean mm."""
    told = getattr(image.header, "get_xyzt_units", None)
    return MILLIMETRES.get(told()[0], 1.0) if told else 1.0


def _scaled(stored: Any) -> np.ndarray:
    """The values that a NIfTI file means; nibabel's own way takes float64 and twice the memory."""
    values: np.ndarray = np.asanyarray(stored.get_unscaled())
    if (stored.slope, stored.inter) != (1, 0):
        values = values.astype(np.float64 if values.dtype == np.float64 else np.float32)
        values *= stored.slope
        values += stored.inter
    return values


def _read_itk(path: Path) -> Volume:
    with open_itk(path, volume_ending(path)) as reader:
        return _of_itk(path, reader)


def _of_itk(path: Path, reader: Any) -> Volume:
    """What SimpleITK has opened, with its voxels."""
    import SimpleITK

    words = re.search(r"(\d+)-bit ([a-z]+)", SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()))
    assert words, "no number"
    kind = np.dtype(f"{KINDS[words[2]]}{int(words[1]) // 8}")
    stored = math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * kind.itemsize
    refuse_too_large(path, stored, times_packed(path))
    if path.suffix.lower() in META:
        image = _metaimage(path, reader, kind)
    else:
        refuse_damaged(path, stored)
        image = reader.Execute()
    own = image.GetSize()
    values = SimpleITK.GetArrayFromImage(image)
    channels = values.shape[len(own) :]
    pictured = channels == (3,) and values.dtype == np.uint8
    if not (set(own[3:]) <= {1} and (pictured or not channels)):
        _refuse_shape(path, values.shape[::-1])
    if len(own) == 2:
        image = SimpleITK.JoinSeries([image])
    values = values.reshape((*own, 1)[2::-1] + channels)
    return Volume(values, itk_affine(image), path, stored=None if len(own) == 3 else own)


def _metaimage(path: Path, reader: Any, kind: np.dtype) -> Any:
    """An image of what ITK says of a MetaImage, and of voxels that it did not read."""
    import SimpleITK

    channels = reader.GetNumberOfComponents()
    shape = (*reader.GetSize()[::-1], *((channels,) if channels > 1 else ()))
    values = metaimage_values(path, shape, kind)
    image = SimpleITK.GetImageFromArray(values, isVector=channels > 1)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    return image


def _refuse_shape(path: Path, shape: tuple[int, ...]) -> None:
    raise UserError(
        f"{path} holds {_times(shape)} values, expected one three-dimensional volume. Split time "
        "points or channels into files."
    )
