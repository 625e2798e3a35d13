"""Predictions as any tool writes them: values, kinds of files, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.formats.maps import ending, find_maps, stem
from gpsseg.data.formats.masks import foreground_of
from gpsseg.data.formats.readings import settle_reading, survey
from gpsseg.data.formats.stored import read_stored
from gpsseg.errors import UserError

MASK = np.array([[0, 1, 1], [0, 0, 1]], bool)


def as_map(*paths: Path) -> list[np.ndarray]:
    """The files' maps, read as one folder."""
    stored = {path: read_stored(path) for path in paths}
    rule, _ = settle_reading(
        "--predictions p", [survey(path, each) for path, each in stored.items()]
    )
    return [rule.read(each, path) for path, each in stored.items()]


def png(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def npy(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path


@pytest.mark.parametrize(
    "values",
    [
        MASK,
        MASK.astype(np.uint8),
        MASK * np.uint8(255),
        MASK * np.uint16(65535),
        MASK.astype(np.int64),
        MASK.astype(np.int64) * 255,
        MASK.astype(np.float16),
        MASK.astype(float),
    ],
)
def test_one_mask_whatever_its_numbers(tmp_path: Path, values: np.ndarray) -> None:
    files = [npy(tmp_path / "a.npy", values)]
    if values.dtype.name in ("bool", "uint8", "uint16"):
        files.append(png(tmp_path / "a.png", values))
    for path in files:
        np.testing.assert_array_equal(as_map(path)[0], MASK)


def test_8_and_16_bit_maps_are_shares_of_their_range(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8)[None]
    deep = np.array([[*range(0, 32768, 1024), 32767, 32768, 65535]], np.uint16)
    (eight,) = as_map(png(tmp_path / "a.png", levels))
    (sixteen,) = as_map(png(tmp_path / "b.png", deep))
    np.testing.assert_array_equal(eight, levels)
    np.testing.assert_allclose(sixteen, deep / 65535, atol=1e-7)
    assert (sixteen >= 0.5)[0, -3:].tolist() == [False, True, True]


def test_a_map_that_finds_nearly_nothing_keeps_the_scale_of_its_folder(tmp_path: Path) -> None:
    nearly_nothing = png(tmp_path / "a.png", np.array([[0, 1]], np.uint8))
    other = png(tmp_path / "b.png", np.arange(0, 256, 5, dtype=np.uint8)[None])
    (alone,) = as_map(nearly_nothing)
    assert alone.tolist() == [[False, True]]
    assert as_map(nearly_nothing, other)[0].tolist() == [[0, 1]]
    assert as_map(nearly_nothing, other)[0].dtype == np.uint8


def test_a_jpeg_mask_is_no_probability_map_but_one_of_shades_is(tmp_path: Path) -> None:
    mask, shades = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Image.fromarray(np.kron(MASK, np.ones((9, 9))).astype(np.uint8) * 255).save(mask)
    assert len(np.unique(read_stored(mask).values)) > 2
    assert as_map(mask)[0].dtype == bool
    ramp = np.repeat(np.linspace(0, 255, 128)[None], 64, axis=0).astype(np.uint8)
    Image.fromarray(ramp).save(shades)
    assert as_map(shades)[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.0, 3.5]]), r"a\.npy ranges from 0 to 3\.5, expected probabilities in \[0"),
        (np.array([[-0.1, 1.0]]), r"ranges from -0\.1 to 1, expected probabilities"),
        (np.array([[-1, 1]]), r"ranges from -1 to 1, expected 0 to 1, 0 to 255 or 0 to 65535"),
        (np.array([[0, 1, 70000]]), r"ranges from 0 to 70000"),
        (np.array([[0.5, np.nan]]), r"a\.npy holds NaN or infinity in 1 of 2 values"),
        (np.array([[0.5, np.inf]]), "holds NaN or infinity in 1 of 2"),
        (np.zeros((2, 3, 4)), r"has the shape \(2, 3, 4\), expected 2-D .*save volumes as NIfTI"),
        (np.zeros(3), r"has the shape \(3,\), expected 2-D"),
        (np.zeros((0, 3)), r"has the shape \(0, 3\)"),
        (np.array([["a"]]), "holds <U1, expected whole numbers or floats"),
        (np.array([[1j]]), "holds complex128"),
    ],
)
def test_values_that_are_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_map(npy(tmp_path / "a.npy", values))


def test_files_that_are_refused(tmp_path: Path) -> None:
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([[{}]]), allow_pickle=True)
    cut = npy(tmp_path / "cut.npy", MASK.astype(float))
    cut.write_bytes(cut.read_bytes()[:-9])
    for name in ("empty.npy", "empty.png", "empty.nii"):
        (tmp_path / name).touch()
    (tmp_path / "text.nii.gz").write_text("no")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match=path.name):
            read_stored(path)


def test_axes_of_length_1_are_dropped(tmp_path: Path) -> None:
    assert read_stored(npy(tmp_path / "a.npy", MASK[None])).values.shape == (2, 3)
    assert read_stored(npy(tmp_path / "b.npy", MASK[:1])).values.shape == (1, 3)


def nifti(path: Path, values: np.ndarray, zooms: tuple[float, ...], unit: str = "mm") -> Path:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values, np.diag([*zooms, *[1.0] * (4 - len(zooms))]))
    image.header.set_zooms(zooms[: values.ndim])
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def test_a_nifti_volume_brings_its_spacing(tmp_path: Path) -> None:
    volume = np.zeros((3, 4, 5), np.uint8)
    volume[1, 2, 3] = 1
    path = nifti(tmp_path / "a.nii.gz", volume, (0.5, 0.75, 3.0))
    stored = read_stored(path)
    mask = foreground_of(stored, path).mask
    assert mask.sum() == 1
    assert mask[1, 2, 3]
    assert stored.spacing == (0.5, 0.75, 3.0)
    micron = read_stored(nifti(tmp_path / "b.nii", volume, (500.0, 750.0, 3000.0), "micron"))
    assert micron.spacing == pytest.approx((0.5, 0.75, 3.0))


def test_a_nifti_image_is_turned_to_rows_and_columns(tmp_path: Path) -> None:
    image = np.zeros((5, 3, 1), np.float32)  # x, y
    image[4, 0] = 0.25
    stored = read_stored(nifti(tmp_path / "a.nii", image, (2.0, 3.0, 1.0)))
    assert stored.values.shape == (3, 5)
    assert stored.values[0, 4] == 0.25
    assert stored.spacing == (3.0, 2.0)


def test_without_nibabel_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(UserError, match=r"a\.nii\.gz is a NIfTI file.*pip install nibabel"):
        read_stored(tmp_path / "a.nii.gz")


def test_names_and_endings() -> None:
    assert (ending(Path("a.b.NII.GZ")), stem(Path("a.b.NII.GZ"))) == (".nii.gz", "a.b")
    assert (ending(Path("a.txt")), stem(Path("b.Png"))) == ("", "b")


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--predictions .*gone does not exist"):
        find_maps(tmp_path / "gone", "--predictions")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._a.png").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").touch()
    with pytest.raises(UserError, match=r"holds no mask or map; expected files ending in \.nii"):
        find_maps(tmp_path, "--truth")
    with pytest.raises(UserError, match=r"notes\.txt is a file\. Pass a folder"):
        find_maps(tmp_path / "notes.txt", "--truth")


@pytest.mark.parametrize("kind", [".nrrd", ".mha"])
def test_itk_formats_are_read_as_nifti_is(tmp_path: Path, kind: str) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    image.SetSpacing((0.5, 0.75, 3))
    image.SetOrigin((1, 2, 3))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    for name in ("a.nii.gz", f"a{kind}"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    nifti, other = (read_stored(tmp_path / name) for name in ("a.nii.gz", f"a{kind}"))
    np.testing.assert_array_equal(other.values, nifti.values)
    assert other.spacing == pytest.approx(nifti.spacing)
    assert nifti.affine is not None
    assert other.affine is not None
    np.testing.assert_allclose(other.affine, nifti.affine, atol=1e-6)
