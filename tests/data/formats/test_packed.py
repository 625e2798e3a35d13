"""A compressed volume whose checksum is wrong is damaged, in every format that has one."""

import gzip
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gpsseg.data.formats.packed import refuse_damaged
from gpsseg.data.formats.volumes import read_volume
from gpsseg.errors import UserError

VALUES = np.random.default_rng(0).integers(-1000, 1000, (6, 20, 24)).astype(np.int16)
IN_GZIP = ("a.nii.gz", "a.gipl.gz", "a.nrrd")
IN_ZLIB = ("a.mha", "a.mhd")


def written(path: Path) -> Path:
    """A compressed volume; the file that holds its voxels."""
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VALUES), str(path), True)
    return path.with_suffix(".zraw") if path.suffix == ".mhd" else path


def other_voxel(data: bytes, in_zlib: bool) -> bytes:
    """The same stream of another voxel, with the checksum of the first."""
    start = data.index(b"\n\n") + 2 if data.startswith(b"NRRD") else 0
    if in_zlib:
        start = data.index(b"LOCAL\n") + 6 if b"LOCAL\n" in data else 0
        raw = bytearray(zlib.decompress(data[start:]))
        checksum = struct.pack(">I", zlib.adler32(raw))
        raw[-1] ^= 1
        return data[:start] + zlib.compress(bytes(raw))[:-4] + checksum
    raw = bytearray(gzip.decompress(data[start:]))
    checksum = struct.pack("<I", zlib.crc32(raw))
    raw[-1] ^= 1
    packed = gzip.compress(bytes(raw))
    return data[:start] + packed[:-8] + checksum + packed[-4:]


@pytest.mark.parametrize("name", [*IN_GZIP, *IN_ZLIB])
@pytest.mark.parametrize("damage", ["other voxel", "cut", "none"])
def test_a_volume_that_does_not_fit_its_checksum_is_refused(
    tmp_path: Path, name: str, damage: str
) -> None:
    voxels = written(tmp_path / name)
    data = voxels.read_bytes()
    if damage == "none":
        np.testing.assert_array_equal(read_volume(tmp_path / name).values, VALUES)
        return
    voxels.write_bytes(data[:-3] if damage == "cut" else other_voxel(data, name in IN_ZLIB))
    with pytest.raises(UserError, match=r"a\.\S+ (is damaged|cannot be read).*Copy it again"):
        read_volume(tmp_path / name)


def test_the_voxels_of_a_pair_are_looked_at_too(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VALUES.transpose(), np.eye(4)), tmp_path / "a.img")
    voxels = tmp_path / "a.img.gz"
    voxels.write_bytes(gzip.compress((tmp_path / "a.img").read_bytes()))
    (tmp_path / "a.img").unlink()
    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr").values, VALUES)
    voxels.write_bytes(other_voxel(voxels.read_bytes(), in_zlib=False))
    with pytest.raises(UserError, match=r"a\.img\.gz is damaged: its voxels do not fit"):
        read_volume(tmp_path / "a.hdr")


def test_a_stream_of_several_members_is_read_to_the_last(tmp_path: Path) -> None:
    """As bgzip writes them."""
    path = written(tmp_path / "a.nii.gz")
    raw = gzip.decompress(path.read_bytes())
    head, tail = gzip.compress(raw[:3000]), gzip.compress(raw[3000:])
    path.write_bytes(head + tail)
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
    path.write_bytes(head + other_voxel(tail, in_zlib=False))
    with pytest.raises(UserError, match="is damaged"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha"])
def test_nobody_waits_for_what_no_header_promised(tmp_path: Path, name: str) -> None:
    """A stream of 200 MB behind a header of 6 KB is left where it has shown enough."""
    path = written(tmp_path / name)
    data = path.read_bytes()
    if name in IN_ZLIB:
        start = data.index(b"LOCAL\n") + 6
        raw = zlib.decompress(data[start:])
        path.write_bytes(data[:start] + zlib.compress(raw + bytes(200 << 20), 1)[:-4] + b"none")
    else:
        raw = gzip.decompress(data)
        path.write_bytes(gzip.compress(raw + bytes(200 << 20), 1)[:-8] + b"nonenone")
    refuse_damaged(path, VALUES.nbytes)
    with pytest.raises(UserError, match="is damaged"):
        refuse_damaged(path, 200 << 20)


def test_an_empty_tail_is_no_damage(tmp_path: Path) -> None:
    """As some archives pad their members."""
    path = written(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + bytes(512))
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
