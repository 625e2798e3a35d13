"""Volumes keep their place in space, in every format, however they lie."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gpsseg.data.formats.volume_files import write_volume
from gpsseg.data.formats.volumes import RAS, Volume, read_volume
from gpsseg.errors import UserError

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")


def turned(degrees_x: float, degrees_z: float) -> np.ndarray:
    """A rotation about x, then z."""
    x, z = np.radians([degrees_x, degrees_z])
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_x)


DIRECTIONS = {
    "straight": np.eye(3),
    "oblique": turned(13, 31),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "oblique and flipped": turned(-40, 8) @ np.diag([1.0, -1.0, 1.0]),
    "permuted": np.array([[0.0, 0, 1], [-1, 0, 0], [0, 1, 0]]),
}


def itk_image(direction: np.ndarray) -> SimpleITK.Image:
    """5 x 4 x 3 (x, y, z) voxels that are all different."""
    image = SimpleITK.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 7)
    image.SetSpacing((0.7, 0.8125, 2.5))
    image.SetOrigin((-123.456789, 87.25, 1034.0625))
    image.SetDirection(direction.reshape(-1).tolist())
    return image


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_itk_formats_round_trip(tmp_path: Path, ending: str, direction: np.ndarray) -> None:
    image = itk_image(direction)
    SimpleITK.WriteImage(image, str(tmp_path / f"a{ending}"))
    volume = read_volume(tmp_path / f"a{ending}")
    assert volume.shape == (3, 4, 5)
    np.testing.assert_allclose(volume.spacing, (2.5, 0.8125, 0.7), atol=1e-9)
    np.testing.assert_allclose(volume.direction[:, ::-1], direction, atol=1e-9)
    for index in ((0, 0, 0), (2, 3, 4), (1, 0, 3)):
        place = volume.affine @ (*index, 1)
        expected = image.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(place[:3], expected, atol=1e-6)
    write_volume(tmp_path / f"b{ending}", np.ones(volume.shape, np.uint8), volume)
    back = SimpleITK.ReadImage(str(tmp_path / f"b{ending}"))
    for got, expected in zip(
        (back.GetSpacing(), back.GetOrigin(), back.GetDirection()),
        (image.GetSpacing(), image.GetOrigin(), image.GetDirection()),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (1, 0), (0, 0)], ids=str)
def test_nifti_keeps_its_header_geometry_bit_for_bit(
    tmp_path: Path, direction: np.ndarray, codes: tuple[int, int]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = direction * (0.7, 0.8125, 2.5)
    affine[:3, 3] = (-123.456789, 87.25, 1034.0625)
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), affine)
    image.set_qform(affine if codes[0] else None, code=codes[0])
    image.set_sform(affine if codes[1] else None, code=codes[1])
    image.header["descrip"] = b"Geheim^Grete"
    nibabel.save(image, tmp_path / "a.nii.gz")
    there = nibabel.load(tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    write_volume(tmp_path / "b.nii.gz", volume.values.astype(np.uint8), volume)
    back = nibabel.load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(back.affine, there.affine)
    for name in ("qform_code", "sform_code", "srow_x", "pixdim", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(back.header[name], there.header[name])
    np.testing.assert_array_equal(back.dataobj, there.dataobj)
    assert back.get_data_dtype() == np.uint8
    assert bytes(back.header["descrip"].item()) == b"", "no text is taken over"


def test_nifti_2_keeps_its_double_precision(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS["oblique"] / 3
    nibabel.save(nibabel.Nifti2Image(np.zeros((5, 4, 3), np.int16), affine), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", volume.values.astype(np.uint8), volume)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii").affine, affine)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_nifti_and_itk_agree_where_a_voxel_lies(tmp_path: Path, direction: np.ndarray) -> None:
    SimpleITK.WriteImage(itk_image(direction), str(tmp_path / "a.nii.gz"))
    volume = read_volume(tmp_path / "a.nii.gz")
    by_itk = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(volume.values, SimpleITK.GetArrayFromImage(by_itk))
    for index in ((0, 0, 0), (2, 3, 4)):
        place = volume.affine @ (*index, 1)
        expected = by_itk.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(place[:3], expected, atol=1e-3)


@pytest.mark.parametrize("ending", ENDINGS)
def test_from_one_format_into_another(tmp_path: Path, ending: str) -> None:
    SimpleITK.WriteImage(itk_image(DIRECTIONS["oblique and flipped"]), str(tmp_path / "a.nrrd"))
    volume = read_volume(tmp_path / "a.nrrd")
    write_volume(tmp_path / f"b{ending}", volume.values.astype(np.uint8), volume)
    back = read_volume(tmp_path / f"b{ending}")
    exact = 1e-6 if ending in (".nrrd", ".mha") else 1e-4  # NIfTI's header holds float32
    np.testing.assert_allclose(back.affine, volume.affine, atol=exact)
    np.testing.assert_array_equal(back.values, volume.values.astype(np.uint8))
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_ras_is_what_nibabel_means() -> None:
    assert nibabel.aff2axcodes(RAS) == ("L", "P", "S")


def test_units_of_metres_become_mm(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.diag([0.001, 0.001, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.spacing, (3, 1, 1), rtol=1e-6)
    write_volume(tmp_path / "b.nii", volume.values, volume)
    np.testing.assert_allclose(read_volume(tmp_path / "b.nii").affine, volume.affine, rtol=1e-6)


def test_two_dimensions_colour_and_a_trailing_axis(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4), np.uint8), np.eye(4)), tmp_path / "flat.nii")
    assert read_volume(tmp_path / "flat.nii").shape == (1, 4, 5)
    long = nibabel.Nifti1Image(np.zeros((5, 4, 3, 1), np.uint8), np.eye(4))
    nibabel.save(long, tmp_path / "long.nii")
    assert read_volume(tmp_path / "long.nii").shape == (3, 4, 5)
    colour = np.zeros((5, 4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["G"][1, 2, 0] = 9
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "colour.nii")
    assert read_volume(tmp_path / "colour.nii").values[0, 2, 1].tolist() == [0, 9, 0]
    flat = SimpleITK.GetImageFromArray(np.zeros((4, 5, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(flat, str(tmp_path / "flat.mha"))
    assert read_volume(tmp_path / "flat.mha").values.shape == (1, 4, 5, 3)


def test_what_is_no_volume_is_named(tmp_path: Path) -> None:
    series = nibabel.Nifti1Image(np.zeros((5, 4, 3, 2), np.uint8), np.eye(4))
    nibabel.save(series, tmp_path / "series.nii")
    with pytest.raises(UserError, match=r"series\.nii holds 5x4x3x2 values, expected one three-"):
        read_volume(tmp_path / "series.nii")
    (tmp_path / "empty.nrrd").touch()
    with pytest.raises(UserError, match=r"empty\.nrrd is an empty file"):
        read_volume(tmp_path / "empty.nrrd")
    whole = tmp_path / "whole.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(9, 9, 9)), None), whole)
    (tmp_path / "cut.nii.gz").write_bytes(whole.read_bytes()[:900])
    with pytest.raises(UserError, match=r"cut\.nii\.gz is damaged: its voxels do not fit"):
        read_volume(tmp_path / "cut.nii.gz")
    with pytest.raises(UserError, match=r"gone\.mha does not exist"):
        read_volume(tmp_path / "gone.mha")
    with pytest.raises(UserError, match="its header gives the voxels no size"):
        Volume(np.zeros((1, 1, 1)), np.diag([1.0, 0, 1, 1]), Path("flat.nii"))


def test_scaled_nifti_is_what_nibabel_says_in_half_the_memory(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(-1000, 1000, (5, 4, 3)).astype(np.int16)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(1.5, -1024)
    nibabel.save(image, tmp_path / "a.nii.gz")
    values = read_volume(tmp_path / "a.nii.gz").values
    expected = np.asanyarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values.transpose(2, 1, 0), expected, rtol=1e-6)


@pytest.mark.parametrize("ending", [".hdr", ".gipl", ".mgz"])
def test_formats_that_are_read_only(tmp_path: Path, ending: str) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([-0.5, -0.75, 2.0, 1])
    if ending == ".mgz":
        nibabel.save(nibabel.MGHImage(values.transpose(2, 1, 0), affine), tmp_path / "a.mgz")
    else:
        image = SimpleITK.GetImageFromArray(values)
        image.SetSpacing((0.5, 0.75, 2.0))
        SimpleITK.WriteImage(image, str(tmp_path / f"a{ending}"))
    volume = read_volume(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(volume.values, values)
    np.testing.assert_allclose(volume.spacing, (2, 0.75, 0.5))
    write_volume(tmp_path / "b.nii.gz", values.astype(np.uint8), volume)
    np.testing.assert_allclose(read_volume(tmp_path / "b.nii.gz").affine, volume.affine, atol=1e-5)


def test_a_time_axis_of_one_point_stays(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((5, 4, 3, 1), np.uint8), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", volume.values, volume)
    assert nibabel.load(tmp_path / "b.nii").shape == (5, 4, 3, 1)
    longer = nibabel.Nifti1Image(np.zeros((5, 4, 3, 1, 1, 1), np.uint8), np.eye(4))
    nibabel.save(longer, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    write_volume(tmp_path / "b.mha", volume.values, volume)
    assert read_volume(tmp_path / "b.mha").stored == (5, 4, 3, 1, 1), "as many as ITK has"


@pytest.mark.parametrize(
    "text",
    [
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: {}\n",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = {}\n",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LIST\n{}\n",
    ],
)
def test_a_header_reads_no_other_file_of_this_machine(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / ("a.nhdr" if "NRRD" in text else "a.mhd")
    for name in (tmp_path / "secret.raw", "../secret.raw", "x/../../secret.raw"):
        path.write_text(text.format(name))
        with pytest.raises(UserError, match=r"secret\.raw for its voxels, which lies outside"):
            read_volume(path)
    (folder / "own.raw").write_bytes(bytes(8))
    if "LIST" not in text:
        path.write_text(text.format("own.raw"))
        assert read_volume(path).values.shape == (2, 2, 2)


@pytest.mark.parametrize("times", [(1,), (1, 1)])
@pytest.mark.parametrize("ending", [*ENDINGS, ".mhd", ".nhdr"])
def test_one_time_point_is_a_volume_in_every_format(
    tmp_path: Path, ending: str, times: tuple[int, ...]
) -> None:
    values = np.arange(60, dtype=np.int16).reshape(*times, 3, 4, 5)
    image = SimpleITK.GetImageFromArray(values, isVector=False)
    image.SetSpacing((0.5, 0.75, 2.0, *times))
    image.SetOrigin((10, -20, 30, *times))
    SimpleITK.WriteImage(image, str(tmp_path / f"a{ending}"))
    volume = read_volume(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(volume.values, values.reshape(3, 4, 5))
    np.testing.assert_allclose(volume.spacing, (2, 0.75, 0.5))
    np.testing.assert_allclose(volume.origin, (10, -20, 30))
    mask = (volume.values > 30).astype(np.uint8)
    for other in ENDINGS:
        write_volume(tmp_path / f"b{other}", mask, volume)
        back = read_volume(tmp_path / f"b{other}")
        np.testing.assert_array_equal(back.values, mask)
        np.testing.assert_allclose(back.affine, volume.affine, atol=1e-4)
        assert back.stored == (5, 4, 3, *times), "its mask has as many axes"
    two = SimpleITK.GetImageFromArray(np.concatenate([values, values]), isVector=False)
    SimpleITK.WriteImage(two, str(tmp_path / f"two{ending}"))
    with pytest.raises(UserError, match="expected one three-dimensional volume"):
        read_volume(tmp_path / f"two{ending}")


@pytest.mark.parametrize("ending", ENDINGS)
def test_colour_of_itk_is_the_same_in_every_format(tmp_path: Path, ending: str) -> None:
    """In NIfTI it writes its channels as a fifth axis."""
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(values, isVector=True)
    image.SetSpacing((0.5, 0.75, 2.0))
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(image, str(path))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.values, values)
    np.testing.assert_allclose(volume.spacing, (2, 0.75, 0.5))
    write_volume(tmp_path / f"b{ending}", values[..., 0], volume)
    np.testing.assert_array_equal(read_volume(tmp_path / f"b{ending}").values, values[..., 0])
    long = SimpleITK.JoinSeries([image])
    SimpleITK.WriteImage(long, str(path))
    np.testing.assert_array_equal(read_volume(path).values, values)
    for other in (values.astype(np.float32), values[..., :2], values[..., [0, 1, 2, 0]]):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(other, isVector=True), str(path))
        with pytest.raises(UserError, match="expected one three-dimensional volume"):
            read_volume(path)


def test_records_of_colour_with_one_time_point_and_an_axis_that_is_no_colour(
    tmp_path: Path,
) -> None:
    records = np.zeros((5, 4, 3, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    records["B"][1, 2, 0] = 7
    nibabel.save(nibabel.Nifti1Image(records, np.eye(4)), tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").values[0, 2, 1].tolist() == [0, 0, 7]
    measured = nibabel.Nifti1Image(np.zeros((5, 4, 3, 1, 3), np.uint8), np.eye(4))
    nibabel.save(measured, tmp_path / "b.nii")
    with pytest.raises(UserError, match="holds 5x4x3x1x3 values"):
        read_volume(tmp_path / "b.nii")
