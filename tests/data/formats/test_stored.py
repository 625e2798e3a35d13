"""Masks and maps in every kind of file are read as they are meant, whatever the file is called."""

import struct
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image

from gpsseg.data.formats.masks import Labels, foreground_of, read_labels, read_mask
from gpsseg.data.formats.stored import read_stored
from gpsseg.data.formats.volumes import read_volume
from gpsseg.errors import UserError

LESION = np.zeros((32, 48), bool)
LESION[8:24, 12:36] = True
CLASSES = LESION.astype(np.uint8)
CLASSES[12:18, 16:24] = 2
BY_VALUE = Labels(((1,), (2,)), (0, 1))


def tiff(path: Path, values: np.ndarray, order: str = "<") -> Path:
    """Greys of any type in one strip, as TIFF 6.0 says."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = [
        (256, 3, width), (257, 3, height), (258, 3, 8 * values.itemsize), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 3, height), (279, 4, len(data)), (339, 3, kind),
    ]  # fmt: skip
    entries = [
        struct.pack(order + "HHI", tag, size, 1)
        + struct.pack(order + ("HH" if size == 3 else "I"), *((value, 0)[: 5 - size]))
        for tag, size, value in tags
    ]
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data))
    directory = struct.pack(order + "H", len(tags)) + b"".join(entries) + bytes(4)
    path.write_bytes(head + data + directory)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["float64", "float16", "int64", "uint64"])
def test_tiffs_of_numbers_that_pillow_does_not_know(tmp_path: Path, kind: str, order: str) -> None:
    path = tiff(tmp_path / "m.tif", LESION.astype(kind), order)
    np.testing.assert_array_equal(read_stored(path).values, LESION)
    np.testing.assert_array_equal(read_mask(path), LESION)


def test_a_damaged_tiff_of_64_bits_is_no_picture(tmp_path: Path) -> None:
    path = tiff(tmp_path / "m.tif", LESION.astype("int64"))
    data = path.read_bytes()
    for size in (6, 9, len(data) - 40):
        path.write_bytes(data[:size])
        with pytest.raises(
            UserError, match=r"m\.tif (is not a readable image|holds whole numbers)"
        ):
            read_mask(path)


@pytest.mark.parametrize("top", [1, 255, 4095, 65535])
@pytest.mark.parametrize("channels", [(0, 1, 2), (2,)], ids=["grey", "red"])
def test_colours_of_16_bits_keep_small_values(
    tmp_path: Path, top: int, channels: tuple[int, ...]
) -> None:
    pixels = np.zeros((*LESION.shape, 3), np.uint16)
    for channel in channels:  # OpenCV writes blue first
        pixels[..., channel] = LESION * top
    for name in ("m.png", "m.tif"):
        cv2.imwrite(str(tmp_path / name), pixels)
        assert read_stored(tmp_path / name).values.max() == top
        np.testing.assert_array_equal(read_mask(tmp_path / name), LESION)


def test_colours_of_16_bits_that_say_nothing_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((*LESION.shape, 3), np.uint16)
    pixels[..., 0], pixels[..., 2] = LESION * 300, ~LESION * 300
    cv2.imwrite(str(tmp_path / "m.png"), pixels)
    with pytest.raises(UserError, match="do not say what is foreground"):
        read_mask(tmp_path / "m.png")


def test_alpha_of_16_bits_that_varies_is_the_mask(tmp_path: Path) -> None:
    pixels = np.full((*LESION.shape, 4), 65535, np.uint16)
    pixels[..., 3] = LESION * np.uint16(65535)
    cv2.imwrite(str(tmp_path / "m.png"), pixels)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), LESION)


@pytest.mark.parametrize(
    ("name", "options", "lossy"),
    [
        ("m.jfif", {"format": "JPEG"}, True),
        ("m.jpe", {"format": "JPEG"}, True),
        ("m.png", {"format": "JPEG"}, True),
        ("m", {"format": "JPEG"}, True),
        ("m.webp", {"quality": 60}, True),
        ("m.webp", {"lossless": True}, False),
        ("m.jp2", {"irreversible": True, "quality_layers": [30]}, True),
        ("m.jp2", {"irreversible": False}, False),
        ("m.jpg", {"format": "PNG"}, False),
        ("m", {"format": "PNG"}, False),
    ],
)
def test_what_loses_is_told_by_the_content(
    tmp_path: Path, name: str, options: dict[str, object], lossy: bool
) -> None:
    truth = np.kron(LESION, np.ones((4, 4), bool))
    Image.fromarray(truth.astype(np.uint8) * 255).save(tmp_path / name, **options)
    assert read_stored(tmp_path / name).lossy == lossy
    np.testing.assert_array_equal(read_mask(tmp_path / name), truth)


def test_webp_with_alpha_and_cmyk_jpeg_lose_too(tmp_path: Path) -> None:
    truth = np.kron(LESION, np.ones((4, 4), bool))
    grey = Image.fromarray(truth.astype(np.uint8) * 255)
    full = Image.merge("RGBA", [grey] * 4)
    full.save(tmp_path / "m.webp", quality=50)
    assert read_stored(tmp_path / "m.webp").lossy
    grey.convert("RGB").convert("CMYK").save(tmp_path / "m.jpg", quality=70)
    assert read_stored(tmp_path / "m.jpg").lossy
    assert (read_mask(tmp_path / "m.jpg") != truth).mean() < 0.01


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_an_alpha_that_is_the_same_everywhere_changes_nothing(tmp_path: Path, mode: str) -> None:
    Image.fromarray(CLASSES).convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "m.png", BY_VALUE), CLASSES)
    np.testing.assert_array_equal(read_stored(tmp_path / "m.png").values, CLASSES)
    votes = np.where(CLASSES == 2, 170, CLASSES * 85).astype(np.uint8)
    Image.fromarray(votes).convert(mode).save(tmp_path / "v.png")
    np.testing.assert_array_equal(read_stored(tmp_path / "v.png").values, votes)


@pytest.mark.parametrize("kind", [np.float16, np.longdouble])
def test_numbers_that_scipy_does_not_know(tmp_path: Path, kind: type) -> None:
    soft = np.where(LESION, 1, 0).astype(kind)
    soft[7, 12:36], soft[24, 12:36] = kind(0.25), kind(0.75)
    np.save(tmp_path / "m.npy", soft)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.npy"), soft > 0.5)


def nifti(path: Path, values: np.ndarray, edge: float, unit: str) -> Path:
    affine = np.diag([edge, edge, 2 * edge, 1])
    affine[:3, 3] = 10 * edge
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def test_a_nifti_file_in_metres_lies_where_the_one_in_millimetres_does(tmp_path: Path) -> None:
    values = np.stack([LESION.astype(np.uint8)] * 3, axis=2)
    paths = [
        nifti(tmp_path / f"{unit}.nii", values, edge, unit)
        for unit, edge in (("mm", 0.5), ("meter", 0.0005), ("micron", 500.0))
    ]
    expected = np.diag([0.5, 0.5, 1, 1])
    expected[:3, 3] = 5
    for path in paths:
        stored = read_stored(path)
        np.testing.assert_array_equal(stored.values, values)
        np.testing.assert_allclose(stored.affine, expected, rtol=1e-5)
        assert stored.spacing == pytest.approx((0.5, 0.5, 1))
        np.testing.assert_allclose(read_volume(path).spacing, (1, 0.5, 0.5), rtol=1e-5)


def test_a_coloured_volume_is_a_mask_as_a_coloured_picture_is(tmp_path: Path) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    volume = np.zeros((*LESION.shape, 3), kind)
    volume["R"] = LESION[..., None] * np.uint8(200)
    path = tmp_path / "m.nii"
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    expected = np.stack([LESION] * 3, axis=2)
    np.testing.assert_array_equal(foreground_of(read_stored(path), path).mask, expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("extent", [1, 6])  # of the third class, which may be a few pixels
def test_a_map_of_classes_that_is_transparent_where_none_is(
    tmp_path: Path, mode: str, extent: int
) -> None:
    classes = CLASSES.copy()
    classes[20 : 20 + extent, 14:16] = 3
    classes[~LESION] = 0
    picture = Image.fromarray(classes).convert(mode)
    picture.putalpha(Image.fromarray(LESION.astype(np.uint8) * 255))
    picture.save(tmp_path / "m.png")
    three = Labels(((1,), (2,), (3,)), (0, 1, 2))
    np.testing.assert_array_equal(read_labels(tmp_path / "m.png", three), classes)
    with pytest.raises(UserError, match="class"):  # as of the same map without transparency
        read_mask(tmp_path / "m.png")
    picture.putalpha(Image.fromarray(np.roll(LESION, 9).astype(np.uint8) * 255))
    picture.save(tmp_path / "other.png")
    with pytest.raises(UserError, match="do not mark the same"):
        read_labels(tmp_path / "other.png", three)
