"""Files of several pictures are taken page by page, or refused; copies and layers are no pages."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.images import read_image, read_pages
from gpsseg.data.formats.masks import read_mask
from gpsseg.data.formats.pages import SUBFILE, count_pages
from gpsseg.errors import UserError

PAGES = [np.full((6, 8), 20 * i, np.uint8) for i in range(1, 5)]


def save(path: Path, pages: list[np.ndarray]) -> Path:
    first, *rest = [Image.fromarray(page) for page in pages]
    more = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, **more)
    return path


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.png", "a.apng", "a.webp"])
def test_pages_are_read_one_by_one(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, PAGES)
    assert count_pages(path) == 4
    for page, expected in zip(read_pages(path), PAGES, strict=True):
        assert page.shape == (6, 8, 3)
        np.testing.assert_allclose(page[..., 0], expected, atol=2)
    for read in (read_image, read_mask):
        with pytest.raises(UserError, match=rf"{name} holds 4 pages \(or frames\), expected one"):
            read(path)


RGB = np.arange(6 * 8 * 3).reshape(6, 8, 3) * 25  # of 12 bits, each channel another


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.int16])
def test_pages_of_deep_colours_are_read_as_pictures_are(tmp_path: Path, kind: type) -> None:
    colours = [RGB.astype(kind), RGB[::-1, ::-1].astype(kind)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), [np.ascontiguousarray(c[..., ::-1]) for c in colours])
    assert count_pages(tmp_path / "a.tif") == 2
    greys = Greys(whole=(0, 4095), real=(0, 4095))
    for page, expected in zip(read_pages(tmp_path / "a.tif", greys), colours, strict=True):
        np.testing.assert_allclose(page, expected / 4095 * 255, atol=1)
    with pytest.raises(UserError, match=r"a\.tif holds 2 pages \(or frames\), expected one"):
        read_image(tmp_path / "a.tif", greys)
    cv2.imwrite(str(tmp_path / "b.tif"), colours[1][..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif", greys), page)


def test_each_page_has_its_own_depth(tmp_path: Path) -> None:
    deep, shallow = RGB.astype(np.uint16), (RGB // 16).astype(np.uint8)
    for name, pages in (("a.tif", [shallow, deep]), ("b.tif", [deep, shallow])):
        cv2.imwritemulti(
            str(tmp_path / name), [np.ascontiguousarray(page[..., ::-1]) for page in pages]
        )
        found = list(read_pages(tmp_path / name, Greys(whole=(0, 4095))))
        for page in found:
            np.testing.assert_allclose(page, RGB / 4095 * 255, atol=1.1)


def test_pages_of_deep_greys_have_the_rule_of_their_run(tmp_path: Path) -> None:
    deep = [np.full((6, 8), value, np.uint16) for value in (819, 4095)]
    path = save(tmp_path / "a.tif", deep)
    found = [page[0, 0].tolist() for page in read_pages(path, Greys(whole=(0, 4095)))]
    assert found == [[51] * 3, [255] * 3]
    old = [page[0, 0, 0] for page in read_pages(path, Greys(old=True))]
    assert old == [51, 255], "each by the smallest range that holds it"


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.png", "a.webp"])
def test_one_page_is_a_picture(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, PAGES[:1])
    assert count_pages(path) == 1
    np.testing.assert_array_equal(read_image(path), next(read_pages(path)))


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    small = Image.fromarray(PAGES[0][:3, :4])
    info = small.getexif()
    info[SUBFILE] = 1
    small.encoderinfo = {"tiffinfo": info}
    Image.fromarray(PAGES[0]).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 2
    assert count_pages(tmp_path / "a.tif") == 1
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], PAGES[0])


def test_a_page_is_turned_upright(tmp_path: Path) -> None:
    image, info = Image.fromarray(PAGES[0]), Image.Exif()
    info[274] = 6
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image], exif=info)
    assert next(read_pages(tmp_path / "a.tif")).shape == (8, 6, 3)


def test_a_damaged_file_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a and no more")
    assert count_pages(tmp_path / "a.gif") == 1
    with pytest.raises(UserError, match=r"a\.gif"):
        list(read_pages(tmp_path / "a.gif"))
