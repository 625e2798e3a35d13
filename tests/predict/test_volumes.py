"""`predict` on volumes, with a network that marks what is bright."""

import gc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK

import gpsseg.data.shown
from gpsseg.data.formats.volumes import read_volume
from gpsseg.errors import UserError


def oblique_itk(mask: np.ndarray) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.where(mask, 1200, -1000).astype(np.int16))
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    image.SetDirection((rotation * (1, -1, 1)).reshape(-1).tolist())
    image.SetSpacing((0.7, 0.9, 3.3))
    image.SetOrigin((-11.123456, 22.25, 33.0625))
    return image


@pytest.mark.parametrize("axis", ["auto", "axial", "coronal", "sagittal"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_volumes_come_back_in_their_place(
    go: Callable[..., list[Path]], tmp_path: Path, ending: str, axis: str, tools: SimpleNamespace
) -> None:
    mask = tools.bright_volume((16, 32, 32))
    (tmp_path / "in" / "p1").mkdir(parents=True)
    source = tmp_path / "in" / "p1" / f"scan.v2{ending}"
    SimpleITK.WriteImage(oblique_itk(mask), str(source))
    (result,) = go(tmp_path / "in", axis=axis, save_probabilities=True)
    assert result == tmp_path / "out" / "p1" / f"scan.v2{ending}"
    there, back = read_volume(source), read_volume(result)
    np.testing.assert_allclose(back.affine, there.affine, atol=1e-6, rtol=0)
    assert (back.values > 0).mean() == pytest.approx(mask.mean(), abs=0.05)
    if axis == "auto":  # 32 x 32 slices are not resized
        np.testing.assert_array_equal(back.values, mask)
        assert back.values.dtype == np.uint8
    soft = read_volume(tmp_path / "out" / "p1" / f"scan.v2_probability{ending}")
    np.testing.assert_array_equal(soft.values > 127, back.values > 0)


@pytest.mark.parametrize("shape", [(32, 32, 1), (32, 32)])
def test_a_single_slice_is_segmented_as_one_picture(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    tools: SimpleNamespace,
    shape: tuple[int, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    mask = tools.bright_volume((8, 32, 32))[2].reshape(shape)
    image = nibabel.Nifti1Image(np.where(mask, 255, 0).astype(np.uint8), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii.gz")
    (result,) = go(tmp_path / "a.nii.gz", axis="coronal")
    np.testing.assert_array_equal(np.asarray(nibabel.load(result).dataobj), mask)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "1 volume is a single slice: it is one picture, whatever the axis (coronal): a.nii.gz"
        in said
    )


def test_window_decides_what_is_bright(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    values = np.full((2, tools.size, tools.size), -1000, np.int16)
    values[:, :16], values[0, :, :16] = 60, 900
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / "ct.nrrd"))
    (soft,) = go(tmp_path / "ct.nrrd", window=(40, 400), output=tmp_path / "soft")
    np.testing.assert_array_equal(read_volume(soft).values, values >= 60)
    (bone,) = go(tmp_path / "ct.nrrd", window=(500, 1000), format="nifti")
    assert bone.name == "ct.nii.gz"
    np.testing.assert_array_equal(read_volume(bone).values, values >= 900)


@pytest.mark.parametrize("fails", [False, True])
def test_one_volume_is_held_at_a_time(
    go: Callable[..., list[Path]],
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tools: SimpleNamespace,
    fails: bool,
) -> None:
    if fails:
        model.forward = lambda image: 1 / 0
    for index in range(6):
        image = nibabel.Nifti1Image(np.zeros((tools.size, tools.size, 3), np.int16), np.eye(4))
        nibabel.save(image, tmp_path / f"{index}.nii")
    counted, most = tools.counting(gpsseg.data.shown.read_volume)
    monkeypatch.setattr(gpsseg.data.shown, "read_volume", counted)
    gc.disable()  # what a reference cycle keeps shows then
    try:
        with pytest.raises(UserError, match=r"^6 could not") if fails else nullcontext():
            assert len(go(tmp_path / "*.nii")) == 6
    finally:
        gc.enable()
    assert most[0] <= 3, "one in work, those that the batches read ahead reach into"


def test_overlays_of_a_volume_are_its_slices_with_anything(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    values = np.zeros((5, tools.size, tools.size), np.uint8)
    values[2, :8] = 255
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / "a.mha"))
    go(tmp_path / "a.mha", overlays=True)
    assert tools.files(tmp_path / "out") == {"a.mha", "a_overlay/000002.jpg"}


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_a_slice_of_two_axes_gets_a_mask_of_two_axes(
    go: Callable[..., list[Path]], tmp_path: Path, ending: str
) -> None:
    import SimpleITK

    values = np.zeros((32, 48), np.int16)
    values[8:24, 16:40] = 900
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.8, 0.7))
    image.SetOrigin((3.0, -4.0))
    (tmp_path / "in").mkdir()
    SimpleITK.WriteImage(image, str(tmp_path / "in" / f"a{ending}"))
    (path,) = go(tmp_path / "in", save_probabilities=True)
    there = SimpleITK.ReadImage(str(tmp_path / "in" / f"a{ending}"))
    for name in (path, path.with_name(f"a_probability{ending}")):
        mask = SimpleITK.ReadImage(str(name))
        assert (mask.GetSize(), mask.GetDimension()) == ((48, 32), 2)
        np.testing.assert_allclose(mask.GetSpacing(), there.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(mask.GetOrigin(), there.GetOrigin(), rtol=1e-6)
        assert mask.GetDirection() == there.GetDirection()
    marked = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert (marked == (values > 0)).mean() > 0.9
