"""Whatever is dropped is refused by its size before it is decoded, or told in a sentence."""

import gzip
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import gpsseg.data.formats.images as images
import gpsseg.data.formats.volumes as volumes
from gpsseg.demo.upload import Limits, keep
from gpsseg.errors import UserError

SMALL = Limits(10**6, 10**5)


@pytest.fixture
def drop(tmp_path):
    """Upload files, and keep them; nothing may be decoded meanwhile."""

    def go(*paths: Path, limits: Limits = SMALL):
        uploads = tmp_path / "uploads"
        placed = []
        for i, path in enumerate(paths):
            folder = uploads / f"token{i}" / "sha"
            folder.mkdir(parents=True)
            placed.append(folder / path.name)
            placed[-1].write_bytes(path.read_bytes())
        try:
            return keep(placed, uploads, tmp_path / "kept", limits)
        finally:
            assert list(uploads.iterdir()) == [], "an upload goes, whatever happens"

    return go


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    def refuse(*args, **more):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(images, "_upright", refuse)
    monkeypatch.setattr(volumes, "_scaled", refuse)


def nifti(path: Path, shape=(4, 5, 6), **header) -> Path:
    image = nibabel.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4))
    nibabel.save(image, path)
    return path


def large_png(path: Path) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10**6))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def large_nifti(path: Path) -> Path:
    data = bytearray(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes())
    data[40:56] = struct.pack("<8h", 3, 3000, 3000, 3000, 1, 1, 1, 1)
    path.write_bytes(bytes(data))
    return path


def packed_bomb(path: Path) -> Path:
    with gzip.open(path, "wb") as file:
        file.write(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes())
        file.write(bytes(3 * 10**6))
    return path


def large_tiff(path: Path) -> Path:
    pages = [Image.new("L", (200, 200)) for _ in range(4)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def large_header(path: Path) -> Path:
    lines = "NRRD0004", "type: uchar", "dimension: 3", "sizes: 900 900 900", "encoding: raw"
    path.write_text("\n".join(lines) + "\n\n")
    return path


@pytest.mark.parametrize(
    ("make", "name", "why"),
    [
        (nifti, "a.nii", None),
        (lambda path: path.write_bytes(bytes(1_200_000)), "a.png", "1.20 MB, expected 1.00 MB"),
        (large_tiff, "a.tif", "0.2 million pixels, expected 0 million"),
        (large_nifti, "a.nii", "27,000 million pixels"),
        (large_header, "a.nrrd", "729.0 million pixels"),
        (packed_bomb, "a.nii.gz", "unpacks to more than"),
        (lambda path: path.write_bytes(b"x"), "a.mp4", "is a video"),
    ],
)
def test_large_files_are_refused_before_they_are_decoded(
    drop, nothing_is_decoded, tmp_path, make, name, why
):
    make(tmp_path / name)
    if why is None:
        assert drop(tmp_path / name).source.kind == "volume"
        return
    with pytest.raises(UserError, match=why):
        drop(tmp_path / name)
    assert not (tmp_path / "kept").exists()


def test_an_image_bomb_is_refused(desk, visit, tmp_path):
    view = visit(desk("none", pixels=10**9), "x").drop(large_png(tmp_path / "a.png"))
    assert view.error.startswith("a.png has more than 179 million pixels")


def test_a_packed_dicom_is_unpacked_no_further_than_its_limit(drop, maker, tmp_path):
    import pydicom

    path = maker.write_dicom(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8))
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    header.save_as(path)
    assert drop(path).source.kind == "image"
    header.PixelData = bytes(3 * 10**6)
    header.save_as(path)
    with pytest.raises(UserError, match="unpacks to more than"):
        drop(path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.png", b"text"), ("a.png", b""), ("a", b"x"), ("a.dcm", b"DICM")]
)
def test_no_image_is_told_in_a_sentence_without_a_path(desk, visit, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    view = visit(desk("none"), "x").drop(tmp_path / name)
    assert view.error.startswith(f"{name} ")
    assert str(tmp_path) not in view.error
    assert " its mask" not in view.error, "it has none"


def test_nothing_of_a_patient_is_shown(desk, visit, maker, tmp_path):
    made = desk("none")
    path = maker.write_dicom(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8))
    told = str(visit(made, "x").drop(path))
    content = b"".join(p.read_bytes() for p in made.sessions.root.rglob("shown/*/*"))
    for secret in maker.SECRETS:
        assert secret not in told
        assert secret.encode() not in content


def test_a_volume_of_nan_is_told_in_a_sentence(desk, visit, tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.full((4, 4, 4), np.nan, np.float32), np.eye(4)),
        tmp_path / "a.nii.gz",
    )
    view = visit(desk("none"), "x").drop(tmp_path / "a.nii.gz")
    assert view.error == "a.nii.gz holds NaN or infinity only, expected an image."


def test_a_series_is_one_volume(drop, maker, tmp_path):
    maker.write_series(tmp_path / "in", np.zeros((3, 8, 8), np.int16))
    dropped = drop(*sorted((tmp_path / "in").iterdir()))
    assert (dropped.source.kind, dropped.source.name) == ("volume", "series")
    assert dropped.name.endswith(" and 2 more files")


def test_a_header_comes_with_its_voxels(desk, visit, tmp_path):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.zeros((3, 8, 8), np.uint8))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mhd"))
    view = visit(desk("none"), "x").drop(tmp_path / "a.mhd", tmp_path / "a.raw")
    assert (view.slices, view.error) == (3, "")


def test_a_header_does_not_lead_to_other_files(desk, visit, tmp_path):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(8))
    lines = "ObjectType = Image", "NDims = 3", "DimSize = 2 2 2", "ElementType = MET_UCHAR"
    (tmp_path / "a.mhd").write_text("\n".join([*lines, f"ElementDataFile = {secret}", ""]))
    assert "lies outside" in visit(desk("none"), "x").drop(tmp_path / "a.mhd").error


def test_several_images_are_refused(drop, tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    with pytest.raises(UserError, match="These are 2 images or series, expected one"):
        drop(tmp_path / "a.png", tmp_path / "b.png")


def test_only_uploads_are_touched(tmp_path):
    other = tmp_path / "private.png"
    Image.new("L", (4, 4)).save(other)
    uploads = tmp_path / "uploads"
    (uploads / "a" / "b").mkdir(parents=True)
    (uploads / "a" / "b" / "link.png").symlink_to(other)
    for path in (other, uploads, uploads / "a", uploads / "a" / "b" / "link.png", Path("x.png")):
        with pytest.raises(UserError, match="not there any more"):
            keep([path], uploads, tmp_path / "kept", SMALL)
    assert other.is_file()
    with pytest.raises(UserError, match="Nothing was uploaded"):
        keep([], uploads, tmp_path / "kept", SMALL)
