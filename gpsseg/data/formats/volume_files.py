"""Volumes to files, in the place and the format of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.volumes import NIFTI, ON_A_PLANE, RAS, Volume, volume_ending
from gpsseg.faults import plain_name
from gpsseg.writing import replacing, try_out

ITK_AXES = 5  # of an image, at most


def write_volume(path: Path, values: np.ndarray, like: Volume) -> None:
    """Write voxels where another volume's lie, in the format of the path's ending, atomically.

    Nothing but geometry is taken over: no description, comment or other text of the source.

    Args:
        path: ends in .nii, .nii.gz, .nrrd or .mha.
        values: (D, H, W), on the grid of ``like``.
        like: gives the geometry.
    """
    assert values.shape == like.shape, "not on the volume's grid"
    with replacing(path) as partial:
        if volume_ending(path) in NIFTI:
            _write_nifti(partial, values, like)
        else:
            _write_itk(partial, values, like)
            try_out(partial)  # of a full disk ITK says nothing, or nothing clear


def _write_nifti(path: Path, values: np.ndarray, like: Volume) -> None:
    import nibabel

    affine = RAS @ like.affine[:, [2, 1, 0, 3]]
    # NIfTI-2 keeps geometry in float64, NIfTI-1 in float32.
    double = like.place is not None and like.place["srow_x"].dtype == np.float64
    kind = nibabel.Nifti2Image if double else nibabel.Nifti1Image
    voxels = values.transpose(2, 1, 0).reshape(like.stored or values.shape[::-1])
    image: Any = kind(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    if like.place is None:
        nibabel.save(image, path)
        return
    for name, value in like.place.items():
        image.header[name] = value
    # An image made of a finished header keeps it: nothing is computed from an affine again.
    nibabel.save(kind(image.dataobj, None, image.header), path)


def _write_itk(path: Path, values: np.ndarray, like: Volume) -> None:
    import SimpleITK

    own = (like.stored or values.shape[::-1])[:ITK_AXES]
    axes, space = len(own), min(len(own), 3)
    image = SimpleITK.GetImageFromArray(values.reshape(own[::-1]), isVector=False)
    image.SetSpacing((*like.spacing[::-1].tolist(), 1.0, 1.0)[:axes])  # what is 1 is time
    image.SetOrigin((*like.origin.tolist(), 0.0, 0.0)[:axes])
    direction = np.eye(axes)
    direction[:space, :space] = like.direction[:, ::-1][:space, :space]
    if abs(np.linalg.det(direction)) > ON_A_PLANE:  # else the slice stands upright in space
        image.SetDirection(direction.reshape(-1).tolist())
    SimpleITK.WriteImage(image, plain_name(path), useCompression=True)
