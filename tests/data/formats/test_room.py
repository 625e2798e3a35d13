"""What memory would not hold is refused by its header, before it is decoded."""

import contextlib
import struct
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import psutil
import pytest
from PIL import Image

from gpsseg.data.formats import pages
from gpsseg.data.formats.images import read_image, read_pages, read_small
from gpsseg.data.formats.masks import read_mask
from gpsseg.data.formats.opencv import opencv
from gpsseg.data.formats.stored import read_stored
from gpsseg.data.formats.video import read_video
from gpsseg.data.formats.volumes import read_volume
from gpsseg.errors import UserError

FREE = 30_000  # bytes


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE, total=FREE)
    )


def picture(path: Path, side: int, kind: type = np.uint8) -> Path:
    Image.fromarray(np.zeros((side, side), kind)).save(path)
    return path


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_pictures(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "a.tif"
    for side, fits in ((40, True), (90, False)):  # 3 bytes or 4 a pixel, three times
        picture(path, side, kind)
        for read in (read_image, lambda p: list(read_pages(p)), lambda p: read_small(p, 9)):
            if fits:
                read(path)
                continue
            with pytest.raises(
                UserError, match=r"a\.tif does not fit into memory: it promises 90 x"
            ):
                read(path)


@pytest.mark.usefixtures("little")
def test_masks_and_a_jpeg_that_is_read_small(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"m\.png does not fit into memory"):
        read_mask(picture(tmp_path / "m.png", 90))
    assert max(read_small(picture(tmp_path / "m.jpg", 300), 20).size) <= 40


@pytest.mark.usefixtures("little")
def test_volumes_arrays_and_videos(tmp_path: Path) -> None:
    values = np.zeros((30, 30, 30), np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    np.save(tmp_path / "a.npy", values[0].repeat(30, 0))
    cv2 = opencv()
    code = cv2.VideoWriter.fourcc(*"MJPG")
    film = cv2.VideoWriter(str(tmp_path / "a.avi"), code, 5, (128, 128))
    film.write(np.zeros((128, 128, 3), np.uint8))
    film.release()
    for read, name in (
        (read_volume, "a.nii.gz"),
        (read_stored, "a.npy"),
        (lambda p: list(read_video(p)), "a.avi"),
    ):
        with pytest.raises(UserError, match=f"{name} does not fit into memory.* Cut it into parts"):
            read(tmp_path / name)


def test_an_array_whose_header_lies(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    data = (tmp_path / "a.npy").read_bytes().replace(b"(2, 3)", b"(9999999999, 3)")
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.npy cannot be read"):
        read_stored(tmp_path / "a.npy")


def test_a_tiff_of_endless_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST", 3)
    images = [Image.new("L", (2, 2)) for _ in range(5)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    with pytest.raises(UserError, match=r"a\.tif cannot be read .*it has more than 3 pages"):
        read_image(tmp_path / "a.tif")


def test_a_part_of_a_tiff_that_is_packed_to_hold_far_more(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(200 << 20), 9)  # 200 MB in 200 kB, for one pixel of 8 bytes
    tags = [(256, 1), (257, 1), (258, 64), (259, 8), (262, 1), (273, 0), (277, 1), (278, 1)]
    tags += [(279, len(packed)), (339, 3)]
    start = 8 + 2 + 12 * len(tags) + 4
    content = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, value in tags:
        content += struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value)
    (tmp_path / "a.tif").write_bytes(content + bytes(4) + packed)
    assert read_image(tmp_path / "a.tif").shape == (1, 1, 3)


def test_parts_of_a_tiff_that_are_the_same_bytes_many_times(tmp_path: Path) -> None:
    """40 strips of 1 MB each on the same 1 kB: a picture of 1024 x 128 numbers has 1 MB."""
    packed = zlib.compress(bytes(1 << 20), 9)
    tags = [(256, 1024), (257, 128), (258, 64), (259, 8), (262, 1), (277, 1), (278, 4), (339, 3)]
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    strips = struct.pack("<40I", *[start + 320] * 40) + struct.pack("<40I", *[len(packed)] * 40)
    content = b"II*\0" + struct.pack("<IH", 8, len(tags) + 2)
    rows = [(tag, 1, value) for tag, value in tags]
    for tag, count, value in sorted([*rows, (273, 40, start), (279, 40, start + 160)]):
        content += struct.pack("<HHII", tag, 4, count, value)
    (tmp_path / "a.tif").write_bytes(content + bytes(4) + strips + packed)
    tracemalloc.start()
    try:
        with contextlib.suppress(UserError):
            read_image(tmp_path / "a.tif")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
