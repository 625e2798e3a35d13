"""Files that are damaged or odd in every way we know of, written for the tests."""

import gzip
import os
import struct
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

GREY = np.arange(8 * 8 * 4, dtype=np.int16).reshape(8, 8, 4)
SLICE = np.arange(64, dtype=np.int16).reshape(8, 8)


def nifti(path: Path, values: np.ndarray = GREY, affine: Any = None, **header: Any) -> None:
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)


def patched(path: Path, offset: int, kind: str, *values: float) -> None:
    """A NIfTI file of which some bytes of the header are others."""
    nifti(path.with_name("whole.nii"))
    data = bytearray(path.with_name("whole.nii").read_bytes())
    path.with_name("whole.nii").unlink()
    struct.pack_into(kind, data, offset, *values)
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else bytes(data))


def rgb(values: np.ndarray) -> np.ndarray:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return np.stack([values.astype(np.uint8)] * 3, -1).copy().view(kind)[..., 0]


def png_of(path: Path, width: int, height: int) -> None:
    """A PNG whose header promises a size, and which holds nothing else."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IEND", b""))


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def write_images(folder: Path) -> list[Path]:
    """Pictures that cannot be used; returns their paths."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    for name in ("cut.png", "cut2.jpg", "cut3.tif"):
        Image.fromarray(noise).save(folder / name)
        cut(folder / name)
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    png_of(folder / "bomb.png", 100_000, 100_000)
    png_of(folder / "hollow.png", 10, 10)
    (folder / "nothing.png").symlink_to(folder / "gone")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "line\nbreak.png").write_text("no image")
    Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.png")).write_text("no image")
    return sorted(folder.iterdir())


def write_volumes(folder: Path) -> list[Path]:
    """Volumes that cannot be used; returns their paths."""
    nifti(folder / "complex.nii.gz", GREY.astype(np.complex64))
    nifti(folder / "five.nii.gz", np.zeros((4, 4, 3, 2, 2), np.float32))
    nifti(folder / "rgb4d.nii.gz", rgb(np.zeros((4, 4, 3, 2))))
    nifti(folder / "cut.nii.gz")
    cut(folder / "cut.nii.gz")
    nifti(folder / "crc.nii.gz")
    cut(folder / "crc.nii.gz", 0.98)
    nifti(folder / "cut2.nii")
    cut(folder / "cut2.nii")
    patched(folder / "huge.nii.gz", 40, "<8h", 3, 20000, 20000, 20000, 1, 1, 1, 1)
    patched(folder / "huge2.nii", 40, "<8h", 3, 20000, 20000, 20000, 1, 1, 1, 1)
    patched(folder / "zero.nii.gz", 40, "<8h", 3, 8, 0, 4, 1, 1, 1, 1)
    patched(folder / "negative.nii", 40, "<8h", 3, 8, -8, 4, 1, 1, 1, 1)
    patched(folder / "type.nii.gz", 70, "<h", 77)
    patched(folder / "nowhere.nii", 280, "<4f", *[np.nan] * 4)
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 20000 20000 20000\n"
    nrrd += "endian: little\nencoding: raw\n\n"
    (folder / "huge3.nrrd").write_text(nrrd)
    (folder / "text.mha").write_text("no volume")
    (folder / "gone.mhd").write_text("ObjectType = Image\nNDims = 3\nElementDataFile = gone.raw\n")
    (folder / "empty.nii.gz").touch()
    Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.nrrd")).write_text(nrrd)
    return sorted(folder.iterdir())


def write_dicoms(folder: Path, maker: ModuleType) -> list[Path]:
    """DICOM files that cannot be used; returns their paths."""
    odd: dict[str, dict[str, Any]] = {
        "slope-zero": {"RescaleSlope": "0", "RescaleIntercept": "0"},
        "bits-zero": {"BitsStored": 0},
        "bits-huge": {"BitsStored": 65535},
        "rows-lie": {"Rows": 60000, "Columns": 60000},
        "syntax": {"syntax": "1.2.840.10008.1.2.4.100", "encoded": [b"no MPEG stream"]},
    }
    for name, tags in odd.items():
        maker.write_dicom(folder / f"{name}.dcm", SLICE, **tags)
    for name, text in (("slope-inf", b"inf "), ("slope-nan", b"nan "), ("slope-text", b"abc ")):
        path = folder / f"{name}.dcm"
        maker.write_dicom(path, SLICE, RescaleSlope="1234", RescaleIntercept="0")
        path.write_bytes(path.read_bytes().replace(b"1234", text))
    maker.write_dicom(folder / "cut.dcm", SLICE)
    cut(folder / "cut.dcm", 0.6)
    (folder / "empty.dcm").touch()
    (folder / "text.dcm").write_text("no image")
    (folder / "sequence.dcm").write_bytes(
        maker.write_enhanced(folder / "x.dcm", SLICE[None].repeat(2, 0), [0, 1])
        .read_bytes()
        .replace(b"\xfe\xff\x00\xe0", b"\xfe\xff\x07\xe7")
    )
    (folder / "x.dcm").rename(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.dcm"))
    return sorted(folder.iterdir())
