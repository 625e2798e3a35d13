"""The voxels of a MetaImage: ITK's own where it reads them rightly, and never what memory held."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from gpsseg.data.formats.volumes import read_volume
from gpsseg.errors import UserError

VALUES = np.random.default_rng(0).integers(-1000, 1000, (6, 20, 24)).astype("<i2")
HEADER = (
    "ObjectType = Image\nNDims = 3\n{}DimSize = 24 20 6\nElementType = MET_SHORT\n"
    "ElementDataFile = {}\n"
)
PACKERS = {"zlib": zlib.compress, "gzip": gzip.compress}
KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def meta(path: Path, voxels: bytes, more: str = "", beside: str = "") -> Path:
    """A MetaImage with these bytes of voxels, in it or in a file beside it."""
    text = HEADER.format(more, beside or "LOCAL").encode()
    path.write_bytes(text if beside else text + voxels)
    if beside:
        (path.parent / beside).write_bytes(voxels)
    return path


@pytest.mark.parametrize("beside", ["", "a.zraw"])
@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_stream_ends_where_it_says_so_itself(
    tmp_path: Path, pack: Callable[[bytes], bytes], beside: str
) -> None:
    """Whatever the header says of its length, which ITK believes."""
    for stream in (pack(VALUES.tobytes()), pack(VALUES.tobytes() + bytes(99))):
        for told in (None, 0, len(stream) - 100, len(stream), len(stream) + 100):
            more = "" if told is None else f"CompressedDataSize = {told}\n"
            path = meta(tmp_path / "a.mha", stream, f"CompressedData = True\n{more}", beside)
            np.testing.assert_array_equal(read_volume(path).values, VALUES)


@pytest.mark.parametrize("told", [0, -1, -2])
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_behind_their_header_are_found_whatever_size_it_says(
    tmp_path: Path, packed: bool, told: int
) -> None:
    """-1 means the last bytes, which of a stream nobody can count."""
    voxels = zlib.compress(VALUES.tobytes()) if packed else VALUES.tobytes()
    more = f"CompressedData = {packed}\nHeaderSize = {told}\n"
    path = meta(tmp_path / "a.mha", voxels, more)
    np.testing.assert_array_equal(read_volume(path).values, VALUES)


@pytest.mark.parametrize("beside", ["", "a.zraw"])
@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_sound_stream_of_too_few_voxels_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], beside: str
) -> None:
    for there in (0, 2880, VALUES.nbytes - 1):
        stream = pack(VALUES.tobytes()[:there])
        more = f"CompressedData = True\nCompressedDataSize = {len(stream)}\n"
        path = meta(tmp_path / "a.mhd", stream, more, beside)
        with pytest.raises(UserError, match=rf"promises 5,760 bytes of voxels, and {there:,} are"):
            read_volume(path)
    path = meta(path, VALUES.tobytes(), "CompressedData = True\n", beside)
    with pytest.raises(UserError, match="says that its voxels are packed, and they do not begin"):
        read_volume(path)


@pytest.mark.parametrize("kind", KINDS)
def test_voxels_are_those_of_itk(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 120, (3, 4, 5)).astype(kind)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 2))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    for name in ("a.mha", "b.mhd"):
        for packed in (False, True):
            SimpleITK.WriteImage(image, str(tmp_path / name), packed)
            volume = read_volume(tmp_path / name)
            by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / name)))
            assert volume.values.dtype == by_itk.dtype
            np.testing.assert_array_equal(volume.values, by_itk)
            np.testing.assert_allclose(volume.spacing, (2, 0.75, 0.5))
            np.testing.assert_allclose(volume.direction[:, ::-1].ravel(), image.GetDirection())


@pytest.mark.parametrize(
    ("more", "high_first"),
    [
        ("", False),
        ("BinaryDataByteOrderMSB = True\n", True),
        ("ElementByteOrderMSB = 1\n", True),
        ("BinaryDataByteOrderMSB = False\nElementByteOrderMSB = True\n", False),
        ("  BinaryDataByteOrderMSB : t\r\n", True),
        ("HeaderSize = 300\n", False),
        ("HeaderSize = -1\n", False),
    ],
)
def test_what_a_header_says_of_bytes_is_read_as_itk_does(
    tmp_path: Path, more: str, high_first: bool
) -> None:
    voxels = (VALUES.byteswap() if high_first else VALUES).tobytes()
    before = bytes(300) if "HeaderSize" in more else b""
    path = meta(tmp_path / "a.mhd", before + voxels, more, "a.raw")
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(by_itk, VALUES)
    np.testing.assert_array_equal(read_volume(path).values, by_itk)


def test_voxels_beside_a_header_may_be_far_larger_than_it(tmp_path: Path) -> None:
    """Whatever the header is called."""
    voxels = np.full((100, 100, 50), 7, "u1")
    text = HEADER.format("", "a.raw").replace("24 20 6", "50 100 100").replace("SHORT", "UCHAR")
    (tmp_path / "a.mha").write_text(text, encoding="utf-8")
    (tmp_path / "a.raw").write_bytes(voxels.tobytes())
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mha").values, voxels)


def test_numbers_as_text(tmp_path: Path) -> None:
    numbers = " ".join(map(str, VALUES.ravel())).encode()
    path = meta(tmp_path / "a.mha", numbers, "BinaryData = False\n")
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
    meta(path, numbers.rsplit(maxsplit=2)[0], "BinaryData = False\n")
    with pytest.raises(UserError, match="promises 2,880 numbers, and 2,878 are there"):
        read_volume(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("names", ["LIST\n{}", "LIST 2D\n{}", "s%d.raw 1 6 1", "s%01d.raw 1 6 1"])
def test_a_slice_a_file(tmp_path: Path, names: str, packed: bool) -> None:
    files = [f"s{number}.raw" for number in range(1, 7)]
    for name, part in zip(files, VALUES, strict=True):
        data = part.tobytes()
        (tmp_path / name).write_bytes(zlib.compress(data) if packed else data)
    path = tmp_path / "a.mhd"
    more = f"CompressedData = {packed}\n"
    path.write_text(HEADER.format(more, names.format("\n".join(files))), encoding="utf-8")
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
    short = VALUES[2].tobytes()[:-100]
    (tmp_path / "s3.raw").write_bytes(zlib.compress(short) if packed else short)
    with pytest.raises(UserError, match=r"s3\.raw is cut off .* 960 bytes of voxels, and 860 are"):
        read_volume(path)
    (tmp_path / "s3.raw").unlink()
    with pytest.raises(UserError, match=r"its voxels are in s3\.raw, which its header names"):
        read_volume(path)


@pytest.mark.parametrize("names", ["LIST\ns.raw\ns.raw", "LIST 3D\ns.raw", "s%d.raw 1 2 1"])
def test_a_list_of_other_than_its_slices_is_refused(tmp_path: Path, names: str) -> None:
    for name in ("s.raw", "s1.raw", "s2.raw"):
        (tmp_path / name).write_bytes(VALUES.tobytes())
    (tmp_path / "a.mhd").write_text(HEADER.format("", names), encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.mhd names \d files? for its 6 slices, expected one"):
        read_volume(tmp_path / "a.mhd")


@pytest.mark.parametrize(
    "names",
    ["s%d.raw 0 5", "s%d.raw 0 5 0", "s%n.raw 0 5 1", "s%s.raw 0 5 1", "s%d.raw 0 999999 1"],
)
def test_a_numbered_name_is_no_format_of_c(tmp_path: Path, names: str) -> None:
    """ITK's reader divides by the step, and hands the name to sprintf: the process would end."""
    (tmp_path / "a.mhd").write_text(HEADER.format("", names), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"a\.mhd names s%.* expected a file, or a name with one %d"
    ):
        read_volume(tmp_path / "a.mhd")


def test_a_numbered_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret1.raw").write_bytes(bytes(960))
    (tmp_path / "in" / "s1.raw").symlink_to(tmp_path / "secret1.raw")
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 1\nencoding: raw\nendian: little\n"
    for names in ("../secret%d.raw 1 1 1", f"{tmp_path}/secret%d.raw 1 1 1", "s%d.raw 1 1 1"):
        (tmp_path / "in" / "a.mhd").write_text(HEADER.format("", names), encoding="utf-8")
        (tmp_path / "in" / "a.nhdr").write_text(f"{nrrd}data file: {names}\n", encoding="utf-8")
        for name in ("a.mhd", "a.nhdr"):
            with pytest.raises(UserError, match="lies outside of its folder"):
                read_volume(tmp_path / "in" / name)
