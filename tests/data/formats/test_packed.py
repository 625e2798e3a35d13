"""A compressed volume whose checksum is wrong is damaged, in every format that has one."""

import bz2
import gzip
import re
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
    says = "is damaged: its voxels do not fit"
    if name == "a.gipl.gz":  # ITK may find it itself
        says = f"({says}|cannot be read)"
    with pytest.raises(UserError, match=rf"a\.\S+ {says}.*Copy it again"):
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


def test_nobody_waits_for_what_no_header_promised(tmp_path: Path) -> None:
    """A stream of 200 MB behind a header of 6 KB is left where it has shown enough."""
    path = written(tmp_path / "a.nii.gz")
    raw = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(raw + bytes(200 << 20), 1)[:-8] + b"nonenone")
    refuse_damaged(path, VALUES.nbytes)
    with pytest.raises(UserError, match="is damaged"):
        refuse_damaged(path, 200 << 20)


def test_an_empty_tail_is_no_damage(tmp_path: Path) -> None:
    """As some archives pad their members."""
    path = written(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + bytes(512))
    np.testing.assert_array_equal(read_volume(path).values, VALUES)


def detached(folder: Path, voxels: bytes, name: str = "a.raw.gz", more: str = "") -> Path:
    """An NRRD header, and beside it a file with its voxels."""
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 6\nencoding: gzip\nendian: little\n"
        f"{more}data file: {name}\n"
    )
    (folder / name).write_bytes(voxels)
    path = folder / "a.nhdr"
    path.write_text(header, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.raw.gz", "\u00e4.raw.gz"])
def test_the_voxels_beside_a_header_are_looked_at_whatever_they_are_called(
    tmp_path: Path, name: str
) -> None:
    packed = gzip.compress(VALUES.tobytes())
    np.testing.assert_array_equal(read_volume(detached(tmp_path, packed, name)).values, VALUES)
    with pytest.raises(UserError, match=r"\.raw\.gz is damaged"):
        read_volume(detached(tmp_path, other_voxel(packed, in_zlib=False), name))


def with_stream(path: Path, stream: bytes) -> Path:
    """The MetaImage with another stream of voxels, and its length in the header."""
    header = path.read_bytes()
    if path.suffix == ".mha":
        header = header[: header.index(b"LOCAL\n") + 6]
    else:
        path.with_suffix(".zraw").write_bytes(stream)
    header = re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = %d" % len(stream), header)
    path.write_bytes(header + stream if path.suffix == ".mha" else header)
    return path


@pytest.mark.parametrize("name", IN_ZLIB)
def test_a_metaimage_may_be_of_gzip_too(tmp_path: Path, name: str) -> None:
    """Its first bytes tell which it is."""
    written(tmp_path / name)
    packed = gzip.compress(VALUES.tobytes())
    path = with_stream(tmp_path / name, packed)
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
    with pytest.raises(UserError, match="is damaged"):
        read_volume(with_stream(path, other_voxel(packed, in_zlib=False)))


def test_what_stands_before_or_behind_a_stream_is_no_damage(tmp_path: Path) -> None:
    """A line to skip, an end of line, whatever a copy added: these readers do not look at it."""
    packed = gzip.compress(VALUES.tobytes())
    behind = written(tmp_path / "b.nrrd")
    behind.write_bytes(behind.read_bytes() + b"\n")
    copied = written(tmp_path / "c.nii.gz")
    copied.write_bytes(copied.read_bytes() + b"and more")
    before = detached(tmp_path, b"one\ntwo\n" + packed, more="line skip: 2\n")
    for path in (behind, copied, before):
        np.testing.assert_array_equal(read_volume(path).values, VALUES)


def test_of_a_pair_that_file_counts_that_is_read(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VALUES.transpose(), np.eye(4)), tmp_path / "a.img")
    (tmp_path / "a.img.gz").write_bytes(b"\x1f\x8b of something else")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr").values, VALUES)


def test_a_name_that_says_it_is_packed_and_what_it_holds_disagree(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii").write_bytes(path.read_bytes())
    (tmp_path / "c.nii.gz").write_bytes(gzip.decompress(path.read_bytes()))
    (tmp_path / "d.mha").write_bytes(gzip.compress(written(tmp_path / "a.mha").read_bytes()))
    for name, says in {
        "b.nii": "is packed with gzip, and its name does not say so. Call it b.nii.gz",
        "c.nii.gz": "is not packed with gzip, as its name says. If it was never .*, call it c.nii",
        "d.mha": "is packed with gzip, and its name does not say so. Unpack it",
    }.items():
        with pytest.raises(UserError, match=f"{name} {says}"):
            read_volume(tmp_path / name)


def test_voxels_packed_where_a_header_says_they_are_not(tmp_path: Path) -> None:
    """As many bytes or more, that are none of a picture."""
    path = detached(tmp_path, gzip.compress(np.random.default_rng(1).bytes(VALUES.nbytes)))
    path.write_text(path.read_text(encoding="utf-8").replace("gzip", "raw"), encoding="utf-8")
    nibabel.save(nibabel.Nifti1Pair(VALUES.transpose(), np.eye(4)), tmp_path / "b.img")
    (tmp_path / "b.img").write_bytes((tmp_path / "a.raw.gz").read_bytes())
    for name, voxels in (("a.nhdr", "a.raw.gz"), ("b.hdr", "b.img")):
        with pytest.raises(UserError, match=f"{voxels} is packed with gzip, and its header or"):
            read_volume(tmp_path / name)
    path.write_text(
        path.read_text(encoding="utf-8").replace("raw\n", "gzip\n", 1), encoding="utf-8"
    )
    (tmp_path / "a.raw.gz").write_bytes(VALUES.tobytes())
    with pytest.raises(UserError, match=r"a\.raw\.gz is damaged: .* packed, and they do not begin"):
        read_volume(path)


def test_bzip2_is_named(tmp_path: Path) -> None:
    path = detached(tmp_path, bz2.compress(VALUES.tobytes()))
    path.write_text(path.read_text(encoding="utf-8").replace("gzip", "bzip2"), encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.nhdr is packed with bzip2, which is not read"):
        read_volume(path)
