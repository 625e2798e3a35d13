"""Images and masks in every way people save them, and files that are none."""

import contextlib
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.formats import stored
from gpsseg.data.formats.deep import read_by_opencv
from gpsseg.data.formats.images import (
    read_image,
    read_pages,
    read_picture,
    read_small,
)
from gpsseg.data.formats.masks import read_mask
from gpsseg.errors import UserError

RED = np.zeros((4, 6, 3), np.uint8)
RED[..., 0] = 200
RED[1, 2] = (10, 20, 30)
TRUTH = np.zeros((4, 6), bool)
TRUTH[1:3, 2:5] = True
READERS = [read_image, read_mask]
Reader = Callable[[Path], np.ndarray]


def saved(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


def rotated(path: Path, orientation: int, array: np.ndarray) -> Path:
    """A camera's file: pixels as the sensor lies, and a tag that says how to turn them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(path, array, exif=exif)


def counted_from_white(path: Path, values: np.ndarray) -> Path:
    """Write a TIFF of 16-bit greys whose 0 is white, as some scanners do (TIFF 6.0, tag 262)."""
    Image.fromarray(65535 - values).save(path)
    data, tag = path.read_bytes(), b"\x06\x01\x03\x00\x01\x00\x00\x00"
    assert data.count(tag + b"\x01\x00") == 1
    path.write_bytes(data.replace(tag + b"\x01\x00", tag + b"\x00\x00"))
    return path


def test_16_bits_that_count_from_white_are_turned_around(tmp_path: Path) -> None:
    values = np.array([[0, 65535], [30000, 65535]], np.uint16)
    path = counted_from_white(tmp_path / "scan.tif", values)
    assert np.array_equal(read_picture(path), values)
    assert np.array_equal(read_image(path)[..., 0], [[0, 255], [117, 255]])
    assert next(iter(read_pages(path)))[0, 0, 0] == 0
    mask = counted_from_white(tmp_path / "mask.tif", np.array([[0, 65535]], np.uint16))
    assert np.array_equal(read_mask(mask), [[False, True]])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_rgb_is_read_as_stored(tmp_path: Path, suffix: str) -> None:
    image = read_image(saved(tmp_path / f"a{suffix}", RED))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RED)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "LAB"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    red = Image.new("RGB", (6, 4), (255, 0, 0))
    image = Image.new("LAB", (6, 4)) if mode == "LAB" else red.convert(mode)
    read = read_image(saved(tmp_path / f"a{'.tif' if mode in ('CMYK', 'LAB') else '.png'}", image))
    assert (read.shape, read.dtype) == ((4, 6, 3), np.uint8)
    if mode != "LAB":
        np.testing.assert_array_equal(read[0, 0], [255, 0, 0])


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    transparent = np.dstack([RED, np.zeros(RED.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", transparent)), RED)


def test_grey_is_repeated(tmp_path: Path) -> None:
    grey = RED[..., 0]
    np.testing.assert_array_equal(
        read_image(saved(tmp_path / "a.png", grey)), np.dstack([grey, grey, grey])
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255]], np.uint16), [0, 255]),  # 8-bit content in a 16-bit file
        (np.array([[0, 4095]], np.uint16), [0, 255]),  # 12 bit
        (np.array([[0, 2048, 4095]], np.uint16), [0, 128, 255]),
        (np.array([[0, 4096, 65535]], np.uint16), [0, 16, 255]),  # 16 bit
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[-7, np.nan, 255]], np.float32), [0, 0, 255]),
        (np.array([[0, 0]], np.uint16), [0, 0]),
    ],
)
def test_deep_grey_is_scaled_by_its_range(
    tmp_path: Path, values: np.ndarray, expected: list[int]
) -> None:
    image = read_image(saved(tmp_path / "a.tif", values))
    np.testing.assert_array_equal(image[0], np.array(expected)[:, None].repeat(3, 1))


def test_16_bit_png_is_scaled_too(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.png", np.array([[0, 65535]], np.uint16)))
    np.testing.assert_array_equal(image[0, :, 0], [0, 255])


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1))],
)
def test_exif_rotation_turns_image_and_mask_alike(
    tmp_path: Path, orientation: int, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 255
    image = read_image(rotated(tmp_path / "a.jpg", orientation, stored))
    mask = read_mask(rotated(tmp_path / "m.png", orientation, stored))
    deep = read_mask(rotated(tmp_path / "d.tif", orientation, stored.astype(np.uint16) * 257))
    for array in (image[..., 0] > 127, mask, deep):
        np.testing.assert_array_equal(array, turn(stored) > 127)


@pytest.mark.parametrize(
    "values",
    [
        TRUTH.astype(np.uint8),
        TRUTH.astype(np.uint8) * 255,
        TRUTH.astype(np.uint8) * 100,
        TRUTH.astype(np.uint8) + 1,
        TRUTH,  # one bit a pixel
        TRUTH.astype(np.uint16) * 65535,
        TRUTH.astype(np.uint16),
        TRUTH.astype(np.float32),
        np.dstack([TRUTH.astype(np.uint8) * 255, TRUTH * 0, TRUTH * 0]).astype(np.uint8),  # red
        np.dstack([*[TRUTH.astype(np.uint8) * 255] * 3, np.full(TRUTH.shape, 255, np.uint8)]),
    ],
    ids=["0/1", "0/255", "0/100", "1/2", "1 bit", "16 bit", "16 bit 0/1", "float", "red", "RGBA"],
)
def test_masks_of_two_levels(tmp_path: Path, values: np.ndarray) -> None:
    mask = read_mask(saved(tmp_path / "m.tif", values))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, TRUTH)


@pytest.mark.parametrize("colour", [(255, 255, 255), (128, 0, 0), (0, 100, 0), (1, 1, 1)])
def test_palette_mask(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    image = Image.fromarray(TRUTH.astype(np.uint8))
    image = image.convert("P")
    image.putpalette([0, 0, 0, *colour])
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "m.png", image)), TRUTH)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif"])
def test_one_bit_masks_hold_numpys_true(tmp_path: Path, suffix: str) -> None:
    """Pillow's True is the byte 255: arithmetic on such bytes goes wrong."""
    path = saved(tmp_path / f"m{suffix}", Image.fromarray(TRUTH))
    values = stored.read_stored(path).values
    np.testing.assert_array_equal(values > 0, TRUTH)
    if values.dtype == bool:
        assert values.view(np.uint8).max() == 1
    np.testing.assert_array_equal(read_mask(path), TRUTH)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_jpeg_artefacts_leave_no_speck(tmp_path: Path, quality: int) -> None:
    truth = np.zeros((64, 64), bool)
    truth[16:48, 24:56] = True  # on JPEG's 8x8 blocks: every ringing is artefact
    truth[20:30, 30:33] = False
    mask = read_mask(saved(tmp_path / "m.jpg", truth.astype(np.uint8) * 255, quality=quality))
    np.testing.assert_array_equal(mask, truth)


@pytest.mark.parametrize(("value", "expected"), [(0, False), (255, True), (1, True)])
def test_mask_of_one_level(tmp_path: Path, value: int, expected: bool) -> None:
    mask = read_mask(saved(tmp_path / "m.png", np.full((4, 6), value, np.uint8)))
    assert (mask == expected).all()


def test_soft_edges_are_cut_in_the_middle(tmp_path: Path) -> None:
    soft = np.array([[0, 60, 127, 128, 200, 255]], np.uint8)
    np.testing.assert_array_equal(
        read_mask(saved(tmp_path / "m.png", soft))[0], [False] * 3 + [True] * 3
    )


def test_a_map_of_several_classes_is_not_silently_emptied(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", np.array([[0, 1, 2]], np.uint8))
    with pytest.raises(UserError, match=r"3 different values from 0 to 2.*one mask per class"):
        read_mask(path)


@pytest.mark.parametrize("reader", READERS)
def test_zero_bytes(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "cju0.jpg"
    path.touch()
    with pytest.raises(UserError, match=r"cju0\.jpg is an empty file \(0 bytes\); expected"):
        reader(path)


@pytest.mark.parametrize("reader", READERS)
def test_truncated_jpeg(tmp_path: Path, reader: Reader) -> None:
    path = saved(
        tmp_path / "cju0.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), "u1")
    )
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError, match=r"cju0\.jpg cannot be read \(.*truncated.*Copy it again"):
        reader(path)


@pytest.mark.parametrize("reader", READERS)
def test_not_an_image_missing_and_a_folder(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(UserError, match=r"notes\.png is not a readable image"):
        reader(tmp_path / "notes.png")
    with pytest.raises(UserError, match=r"gone\.png does not exist"):
        reader(tmp_path / "gone.png")
    with pytest.raises(UserError, match="cannot be read"):
        reader(tmp_path)


def test_an_image_too_large_to_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "slide.png", RED)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow refuses twice as many
    with pytest.raises(UserError, match=r"slide\.png has more than .* million pixels, the m"):
        read_image(path)


@pytest.mark.parametrize(
    "name", ["with space.png", "Läsion №1 – 病变.png", "a.b.c.png", "{id}.png"]
)
def test_names(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read_image(saved(tmp_path / name, RED)), RED)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_damaged_bytes_give_an_image_or_a_clear_error(tmp_path: Path, suffix: str) -> None:
    dice = random.Random(0)
    path = rotated(tmp_path / f"a{suffix}", 6, RED) if suffix != ".bmp" else tmp_path / "a.bmp"
    whole = saved(path, RED).read_bytes()
    for trial in range(60):
        data = bytearray(whole[: dice.randrange(len(whole))] if trial % 2 else whole)
        for _ in range(dice.randrange(4) if data else 0):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        for reader in READERS:
            with contextlib.suppress(UserError):  # and nothing else is raised
                assert reader(path).size


def write_tiff(path: Path, values: np.ndarray, form: int, pixel: int = 1) -> None:
    """A plain TIFF of grey values, (H, W) or (H, W, pixel); Pillow writes no such kinds."""
    height, width = values.shape[:2]
    bits = 8 * values.dtype.itemsize
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 0), (277, pixel)]
    tags += [(278, height), (279, values.nbytes), (339, form)]
    tags += [(338, 2)] if pixel == 2 else []
    start = 8 + 2 + 12 * len(tags) + 4
    content = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, value in sorted(tags):
        pair = tag in (258, 339) and pixel == 2
        number = (value << 16 | value) if pair else start if tag == 273 else value
        kind = 3 if tag in (258, 259, 262, 277, 338, 339) else 4
        content += struct.pack("<HHII", tag, kind, 2 if pair else 1, number)
    path.write_bytes(content + bytes(4) + values.tobytes())


@pytest.mark.parametrize(
    ("kind", "form", "pixel", "said"),
    [
        (np.uint16, 1, 2, r"holds two values a pixel, of 16 bits \(grey and alpha\?\), expected"),
        (np.complex64, 6, 1, "holds complex numbers, expected grey or RGB"),
    ],
)
def test_a_tiff_of_numbers_that_nothing_reads_says_which(
    tmp_path: Path, kind: type, form: int, pixel: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shape = (4, 5, pixel) if pixel > 1 else (4, 5)
    write_tiff(tmp_path / "a.tif", np.ones(shape, kind), form, pixel)
    for read in (read_image, lambda path: read_small(path, 8)):
        with pytest.raises(UserError, match=said) as error:
            read(tmp_path / "a.tif")
        assert str(error.value).endswith("Save it as one of these.")
    assert "[ERROR" not in capfd.readouterr().err


def test_real_numbers_of_32_bits_are_read(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.array([[0, 0.5, 1]], np.float32), 3)
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_opencv_says_nothing_of_a_damaged_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiff(tmp_path / "a.tif", np.ones((4, 5), np.uint64), 1)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-50])
    assert read_by_opencv(tmp_path / "a.tif", None) == []
    assert capfd.readouterr().err == ""
