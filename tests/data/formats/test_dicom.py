"""DICOM: what belongs together, where it lies, and its greys and colours."""

import dataclasses
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.formats.dicom import Header, holds_image, is_dicom, read_header
from gpsseg.data.formats.dicom_series import group_headers, read_dicom
from gpsseg.data.formats.slicing import grey_range, to_rgb
from gpsseg.errors import UserError

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (6, 8)).astype(np.uint8)
COLOURS = np.kron(RNG.integers(0, 256, (3, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def shown(path: Path) -> np.ndarray:
    """A file's frames as RGB, as a network is shown them."""
    header = read_header(path)
    volume = read_dicom([header], path)
    low, high = grey_range(volume)
    return np.stack([to_rgb(frame, low, high, volume.inverted) for frame in volume.values])


def series(folder: Path) -> list[list[Header]]:
    return group_headers(read_header(path) for path in sorted(folder.iterdir()))


def test_eight_bits_grey_and_its_inverse(maker: ModuleType, tmp_path: Path) -> None:
    maker.write_dicom(tmp_path / "a.dcm", GREYS)
    inverse = {"PhotometricInterpretation": "MONOCHROME1"}
    maker.write_dicom(tmp_path / "b.dcm", GREYS, **inverse)
    np.testing.assert_array_equal(shown(tmp_path / "a.dcm")[0, ..., 1], GREYS)
    np.testing.assert_array_equal(shown(tmp_path / "b.dcm")[0, ..., 1], 255 - GREYS)
    deep, rescale = GREYS.astype(np.int16) - 100, {"RescaleSlope": 2, "RescaleIntercept": 7}
    window = {"WindowCenter": 0.5, "WindowWidth": 256, "Modality": "MR"}
    path = maker.write_dicom(tmp_path / "c.dcm", deep, **inverse, **rescale, **window)
    volume = read_dicom([read_header(path)], path)
    np.testing.assert_array_equal(volume.values[0], deep * 2.0 + 7)
    low, high = grey_range(volume)
    expected = 255 - np.rint(np.clip((deep * 2.0 + 7 - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(shown(path)[0, ..., 0], expected)


def test_sixteen_bits_with_rescale_and_window(maker: ModuleType, tmp_path: Path) -> None:
    stored = np.array([[0, 864, 1064, 1264, 4000]], np.uint16)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": "CT"}
    path = maker.write_dicom(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11, **tags)
    volume = read_dicom([read_header(path)], path)
    np.testing.assert_array_equal(volume.values[0, 0], stored[0] - 1024.0)
    assert volume.window is None, "CT has no natural black and white"
    window = {"WindowCenter": [40, 300], "WindowWidth": [401, 1500]}
    path = maker.write_dicom(
        tmp_path / "b.dcm", stored, BitsStored=12, HighBit=11, **tags, **window
    )
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255
    expected = np.clip((stored - 1024.0 - 39.5) / 400 + 0.5, 0, 1) * 255
    np.testing.assert_array_equal(shown(path)[0, ..., 0], np.rint(expected))
    exact = {"VOILUTFunction": "LINEAR_EXACT"}
    path = maker.write_dicom(
        tmp_path / "c.dcm", stored, BitsStored=12, HighBit=11, **tags, **window, **exact
    )
    assert read_header(path).window == (-160.5, 240.5)


def test_sixteen_bits_without_a_window_have_the_range_of_what_is_there(
    maker: ModuleType, tmp_path: Path
) -> None:
    stored = np.array([[0, 1000, 4095]], np.uint16)
    path = maker.write_dicom(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(shown(path)[0, 0, :, 0], [0, 62, 255])
    signed = np.array([[-32768, 0, 32767]], np.int16)
    path = maker.write_dicom(tmp_path / "b.dcm", signed)
    np.testing.assert_array_equal(shown(path)[0, 0, :, 0], [0, 128, 255])


def test_colours_are_rgb_whatever_they_were(maker: ModuleType, tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS)
    plain = maker.write_dicom(tmp_path / "rgb.dcm", COLOURS)
    np.testing.assert_array_equal(shown(plain)[0], COLOURS)
    planes = maker.write_dicom(
        tmp_path / "planes.dcm", np.ascontiguousarray(COLOURS), PlanarConfiguration=0
    )
    np.testing.assert_array_equal(shown(planes)[0], COLOURS)
    ybr = np.asarray(image.convert("YCbCr"))
    full = maker.write_dicom(tmp_path / "ybr.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(shown(full)[0].astype(int) - COLOURS).max() <= 3
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling="4:2:2")
    jpeg = maker.write_dicom(
        tmp_path / "jpeg.dcm",
        COLOURS,
        encoded=[buffer.getvalue()],
        syntax="1.2.840.10008.1.2.4.50",
        PhotometricInterpretation="YBR_FULL_422",
    )
    reference = np.asarray(Image.open(io.BytesIO(buffer.getvalue()))).astype(int)
    assert np.abs(shown(jpeg)[0].astype(int) - reference).mean() < 2


def test_frames_of_one_file(maker: ModuleType, tmp_path: Path) -> None:
    frames = np.stack([COLOURS, 255 - COLOURS, COLOURS // 2])
    path = maker.write_dicom(tmp_path / "a.dcm", frames, maker.FRAMES_OF_COLOUR)
    header = read_header(path)
    assert header.shape == (3, *COLOURS.shape[:2])
    assert not header.spatial
    np.testing.assert_array_equal(shown(path), frames)
    assert [len(group) for group in group_headers([header])] == [1]


DIRECTIONS = {
    "axial": np.eye(3)[:, ::-1],
    "feet first": np.eye(3)[:, ::-1] * (-1, 1, 1),
    "sagittal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0],
}


@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_series_is_put_in_order_and_in_place(
    maker: ModuleType, tmp_path: Path, directions: np.ndarray
) -> None:
    right_handed = np.linalg.det(directions[:, [2, 1, 0]]) > 0
    values = RNG.integers(-1000, 1000, (5, 4, 3)).astype(np.int16)
    affine = maker.write_series(tmp_path / "ct", values, directions)
    (group,) = series(tmp_path / "ct")
    volume = read_dicom(group, tmp_path / "ct")
    if not right_handed:  # slices run against the normal of rows and columns: the other way round
        values, affine = values[::-1], affine @ _turn(5)
    np.testing.assert_array_equal(volume.values, values)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


def _turn(depth: int) -> np.ndarray:
    turn = np.diag([-1.0, 1, 1, 1])
    turn[0, 3] = depth - 1
    return turn


def test_a_tilted_gantry_shears_the_volume(maker: ModuleType, tmp_path: Path) -> None:
    directions = np.array([[0, 0, 1], [0.3, 1, 0], [0.954, 0, 0]])
    affine = maker.write_series(tmp_path / "ct", np.zeros((4, 3, 3), np.int16), directions)
    (group,) = series(tmp_path / "ct")
    np.testing.assert_allclose(read_dicom(group, tmp_path).affine, affine, atol=1e-6)


@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
def test_an_enhanced_file_lies_where_its_slices_do(
    maker: ModuleType, tmp_path: Path, directions: np.ndarray
) -> None:
    highdicom = pytest.importorskip("highdicom")
    from pydicom import dcmread

    values = RNG.integers(-1000, 1000, (5, 4, 3)).astype(np.int16)
    rest = ("KVP", "PositionReferenceIndicator", "SoftwareVersions", "ManufacturerModelName")
    tags = {"RescaleSlope": 1, "RescaleIntercept": -10, "RescaleType": "HU"}
    tags |= {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "DeviceSerialNumber": "1"}
    maker.write_series(tmp_path / "ct", values, directions, **dict.fromkeys(rest, None), **tags)
    slices = [dcmread(path) for path in sorted((tmp_path / "ct").iterdir())]
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices, "1.2.3", 2, "1.2.3.4", 1)
    enhanced.save_as(tmp_path / "enhanced.dcm")
    (group,) = series(tmp_path / "ct")
    one = read_header(tmp_path / "enhanced.dcm")
    assert one.spatial
    expected, got = (read_dicom(files, tmp_path) for files in (group, [one]))
    same_way = float(expected.affine[:3, 0] @ got.affine[:3, 0]) > 0
    values, affine = got.values, got.affine
    if not same_way:
        values, affine = values[::-1], affine @ _turn(5)
    np.testing.assert_array_equal(values, expected.values)
    np.testing.assert_allclose(affine, expected.affine, atol=1e-6)


def test_frames_of_an_enhanced_file_are_put_in_order_and_in_place(
    maker: ModuleType, tmp_path: Path
) -> None:
    values = RNG.integers(-1000, 1000, (5, 4, 6)).astype(np.int16)
    places = [3, 1, 0, 4, 2]
    path = maker.write_enhanced(tmp_path / "a.dcm", values, places, window=(40, 401))
    volume = read_dicom([read_header(path)], path)
    np.testing.assert_array_equal(volume.values[places], values - 10)
    expected = np.eye(4)
    expected[:3] = [[0, 0, 0.5, -100.5], [0, 0.75, 0, 20.25], [2.5, 0, 0, 0]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-6)
    assert volume.window == (-160.5, 239.5)


def test_frames_of_an_enhanced_file_are_rescaled_each_by_its_own_numbers(
    maker: ModuleType, tmp_path: Path
) -> None:
    values = RNG.integers(0, 1000, (3, 4, 6)).astype(np.int16)
    slopes = [2.0, 0.5, 4.0]
    path = maker.write_enhanced(tmp_path / "a.dcm", values, [0, 1, 2], slopes)
    got = read_dicom([read_header(path)], path).values
    np.testing.assert_allclose(got, values * np.reshape(slopes, (3, 1, 1)) - 10)


def test_an_enhanced_file_that_is_no_volume_is_an_error(maker: ModuleType, tmp_path: Path) -> None:
    values = np.zeros((4, 4, 6), np.int16)
    for places, message in (
        ([0, 1, 2, 2], "several slices at one position"),
        ([0, 1, 3, 4], "from slice 2 to 3 it is 5 mm"),
    ):
        path = maker.write_enhanced(tmp_path / "a.dcm", values, places)
        with pytest.raises(UserError, match=message):
            read_dicom([read_header(path)], path)
    lost = maker.write_dicom(tmp_path / "lost.dcm", values, maker.ENHANCED_CT)
    with pytest.raises(UserError, match=r"lost\.dcm does not say where its frames lie"):
        read_dicom([read_header(lost)], lost)


@pytest.mark.parametrize(
    ("lost", "said"), [(2, "from slice 2 to 3 it is 5 mm"), (1, "from slice 1 to 2 it is 5 mm")]
)
def test_the_gap_of_a_short_series_is_named_where_it_is(
    maker: ModuleType, tmp_path: Path, lost: int, said: str
) -> None:
    """Slices 2.5 mm apart, four of which one is gone: two distances, of which the larger is it."""
    maker.write_series(tmp_path, np.zeros((4, 8, 8), np.int16))
    at = {read_header(path).position[2]: path for path in tmp_path.iterdir()}
    at[sorted(at)[lost]].unlink()
    (group,) = series(tmp_path)
    with pytest.raises(UserError, match=rf"{said}, from others 2\.5 mm: a slice is missing"):
        read_dicom(group, tmp_path)


def test_scouts_and_other_series_are_kept_apart(maker: ModuleType, tmp_path: Path) -> None:
    maker.write_series(tmp_path / "a", np.zeros((4, 3, 3), np.int16))
    maker.write_series(tmp_path / "b", np.zeros((2, 3, 3), np.int16), DIRECTIONS["sagittal"])
    other = {"SeriesInstanceUID": "1.2.3"}
    maker.write_series(tmp_path / "c", np.zeros((3, 3, 3), np.int16), **other)
    headers = [read_header(path) for path in sorted(tmp_path.glob("*/*"))]
    assert sorted(len(group) for group in group_headers(headers)) == [2, 3, 4]


def test_a_missing_or_doubled_slice_is_an_error(maker: ModuleType, tmp_path: Path) -> None:
    maker.write_series(tmp_path, np.zeros((6, 3, 3), np.int16))
    (group,) = series(tmp_path)
    with pytest.raises(
        UserError, match=r"from slice 2 to 3 it is 5 mm, from others 2\.5 mm: a slice"
    ):
        read_dicom([*group[:2], *group[3:]], tmp_path)
    with pytest.raises(UserError, match="several slices at one position: time points or echoes"):
        read_dicom([*group[:2], group[1], *group[2:]], tmp_path)


def test_damaged_files_are_named_and_not_quoted(maker: ModuleType, tmp_path: Path) -> None:
    whole = maker.write_dicom(tmp_path / "whole.dcm", np.zeros((64, 64), np.uint16)).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:3000])
    (tmp_path / "header.dcm").write_bytes(whole[:400])
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text.dcm").write_text("Geheim^Grete")
    for name in ("cut", "header", "empty", "text", "gone"):
        path = tmp_path / f"{name}.dcm"
        with pytest.raises(
            UserError, match=rf"{name}\.dcm (cannot be read|is an empty|is cut off)"
        ) as caught:
            read_dicom([read_header(path)], path)
        assert not any(secret in str(caught.value) for secret in maker.SECRETS)


def test_what_is_dicom_and_what_is_an_image(maker: ModuleType, tmp_path: Path) -> None:
    image = maker.write_dicom(tmp_path / "IM1", GREYS)
    report = maker.write_dicom(tmp_path / "SR1", GREYS, "1.2.840.10008.5.1.4.1.1.88.11")
    (tmp_path / "notes").write_text("no DICOM")
    assert [is_dicom(path) for path in (image, report, tmp_path / "notes")] == [True, True, False]
    assert [holds_image(path) for path in (image, report)] == [True, False]


def test_a_header_cannot_hold_a_patient(maker: ModuleType, tmp_path: Path) -> None:
    header = read_header(maker.write_dicom(tmp_path / "a.dcm", GREYS))
    known = {"path", "series", "shape", "position", "directions", "spacing", "enhanced"}
    known |= {"window", "limits", "inverted", "thickness", "modality", "hounsfield", "asked"}
    assert {field.name for field in dataclasses.fields(Header)} == known
    said = repr(dataclasses.replace(header, series=""))
    assert not any(secret in said for secret in maker.SECRETS)
