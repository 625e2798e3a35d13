"""A volume is read whatever letters of its ending are capitals."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gpsseg.data.formats.filenames import left_out
from gpsseg.data.formats.volumes import promised_values, read_volume

VALUES = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
FREESURFER = (".mgh", ".mgz")
ENDINGS = (
    *(".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".gipl", ".gipl.gz"),
    *FREESURFER,
)


def written(path: Path) -> Path:
    if path.suffix in FREESURFER:
        nibabel.save(nibabel.MGHImage(VALUES.transpose(2, 1, 0), np.eye(4)), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VALUES), str(path))
    return path


@pytest.mark.parametrize("as_called", [str.upper, str.title, str.swapcase, str.lower])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_letters_of_an_ending_say_the_same_in_capitals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, as_called: Callable[[str], str]
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    plain = written(tmp_path / f"a{ending}")
    path = plain.rename(tmp_path / f"a{as_called(ending)}")
    assert promised_values(path) == VALUES.size
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.source == path
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("voxels", [".img", ".IMG", ".Img", ".img.gz", ".IMG.GZ", ".Img.Gz"])
@pytest.mark.parametrize("header", [".hdr", ".HDR", ".Hdr"])
def test_a_header_finds_its_voxels_whatever_letters_are_capitals(
    tmp_path: Path, header: str, voxels: str
) -> None:
    nibabel.save(nibabel.Nifti1Pair(VALUES.transpose(2, 1, 0), np.eye(4)), tmp_path / "x.img.gz")
    with_gz = voxels.lower().endswith(".gz")
    if not with_gz:
        nibabel.save(nibabel.Nifti1Pair(VALUES.transpose(2, 1, 0), np.eye(4)), tmp_path / "x.img")
    nibabel.save(nibabel.Nifti1Pair(VALUES.transpose(2, 1, 0), np.eye(4)), tmp_path / "y.img")
    path = (tmp_path / "y.hdr").rename(tmp_path / f"a{header}")
    shutil.copy(tmp_path / ("x.img.gz" if with_gz else "x.img"), tmp_path / f"a{voxels}")
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
    assert left_out([tmp_path / f"a{voxels}"], tmp_path) == "", "its header says all"
