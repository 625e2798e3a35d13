"""No volume has voxels that its files do not hold, and these lie in its header's folder."""

import gzip
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gpsseg.config.slices import SlicesConfig
from gpsseg.data.cards.own import folder_card
from gpsseg.data.formats import voxel_files
from gpsseg.data.formats.filenames import left_out
from gpsseg.data.formats.maps import find_maps
from gpsseg.data.formats.volumes import read_volume
from gpsseg.data.sources import find_sources
from gpsseg.errors import UserError
from gpsseg.slices.pairing import pair_volumes

VALUES = np.random.default_rng(0).integers(-1000, 1000, (6, 20, 24)).astype("<i2")
NIBABEL = {
    "a.nii": nibabel.Nifti1Image,
    "a.mgh": nibabel.MGHImage,
    "a.img": nibabel.Nifti1Pair,
    "b.img": nibabel.Spm99AnalyzeImage,
}
ITK = {"a.mha": "a.mha", "a.mhd": "a.raw", "a.nrrd": "a.nrrd", "a.nhdr": "a.raw"}
NAMES = [*NIBABEL, *ITK, "a.gipl", "a.nii.gz", "a.mgz", "a.gipl.gz", "a.img.gz", "b.img.gz"]


def bent(folder: Path, name: str, more: int) -> Path:
    """A volume with that many bytes of voxels more than its header says, or fewer.

    Args:
        folder: of it.
        name: of a file that holds its voxels, or a header of ITK's.
        more: the bytes.

    Returns:
        What is to be read.
    """
    plain = {"a.mgz": "a.mgh"}.get(name, name.removesuffix(".gz"))
    path = folder / plain
    if plain in NIBABEL:
        nibabel.save(NIBABEL[plain](VALUES.transpose(), np.eye(4)), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VALUES), str(path))
    holder = folder / ITK.get(plain, plain)
    data = holder.read_bytes()
    at = max(data.find(VALUES.tobytes()), data.find(VALUES.byteswap().tobytes()))
    assert at >= 0
    end = at + VALUES.nbytes
    data = data[: end + more] if more < 0 else data + bytes(more)
    holder.unlink()
    if name == plain:
        holder.write_bytes(data)
    else:
        holder = folder / name
        holder.write_bytes(gzip.compress(data))
    return holder.with_name(f"{name[0]}.hdr") if ".img" in name else folder / name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fewer", [1, 400, VALUES.nbytes])
def test_fewer_voxels_than_promised_are_refused(tmp_path: Path, name: str, fewer: int) -> None:
    path = bent(tmp_path, name, -fewer)
    there = VALUES.nbytes - fewer
    with pytest.raises(UserError, match="header promises 5,760 bytes") as error:
        read_volume(path)
    assert f"and {there:,} are there" in str(error.value) or "and the file has" in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_after_the_voxels_changes_none(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read_volume(bent(tmp_path, name, 501)).values, VALUES)


def test_a_pair_with_a_scale_is_measured_as_it_is_stored(tmp_path: Path) -> None:
    """ITK calls its numbers 32 bits wide; they may also begin later in their file."""
    image = nibabel.Nifti1Pair(VALUES.transpose(), np.eye(4))
    image.header.set_slope_inter(2, 1)
    nibabel.save(image, tmp_path / "a.img")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr").values, 2.0 * VALUES + 1)
    header = bytearray((tmp_path / "a.hdr").read_bytes())
    header[108:112] = np.float32(16).tobytes()
    (tmp_path / "a.hdr").write_bytes(header)
    with pytest.raises(UserError, match=r"a\.img is cut off .* 5,760 bytes .* 5,744 are there"):
        read_volume(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes(bytes(16) + VALUES.tobytes())
    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr").values, 2.0 * VALUES + 1)


@pytest.mark.parametrize(
    ("name", "voxels"),
    [
        ("a.mhd", r"a\.raw, which its"),
        ("a.nhdr", r"a\.raw, which its"),
        ("a.img", r"a\.img or a\."),
    ],
)
def test_a_header_alone_says_what_is_not_there(tmp_path: Path, name: str, voxels: str) -> None:
    path = bent(tmp_path, name, 0)
    (tmp_path / ITK.get(name, name)).unlink()
    with pytest.raises(
        UserError, match=rf"{path.name} is a header alone: its voxels are in {voxels}"
    ):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_no_name_hides_behind_a_long_header(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxel_files, "HEADER", 1000)
    path = bent(tmp_path, name, 0)
    text = path.read_text(encoding="utf-8").rstrip("\n")
    lines = text.split("\n")
    lines.insert(-1, "# " + "x" * 1000 if name == "a.nhdr" else "Comment = " + "x" * 1000)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"{name} cannot be read: its header does not end within"):
        read_volume(path)


def test_of_what_a_volume_is_packed_or_split_into_its_name_says_what_to_do(tmp_path: Path) -> None:
    for name, says in {
        "a.nrrd.gz": r"a\.nrrd\.gz is a packed volume .* Unpack it: gunzip a\.nrrd\.gz\.",
        "a.hdr.gz": "is a packed volume",
        "a.img": r"a\.img holds voxels alone, expected a volume\. Name its header",
        "a.img.gz": "holds voxels alone",
    }.items():
        (tmp_path / name).write_bytes(b"some")
        sources, failures = find_sources([tmp_path / name], tmp_path / "out")
        assert sources == []
        with pytest.raises(UserError, match=says):
            raise UserError(failures[0][1])
        (tmp_path / name).unlink()


@pytest.mark.parametrize("voxels", ["p.img.gz", "p.img", "P.raw.gz"])
def test_of_a_pair_whose_header_is_packed_that_is_to_be_unpacked(
    tmp_path: Path, voxels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """However it is named: as a file of it, by its folder alone, or among others."""
    header = f"{voxels[0]}.hdr.gz"
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (voxels, header):
        (folder / name).write_bytes(b"some")
    fix = f"packed volume that is not read so. Unpack it: gunzip {header}."
    for name in (header, *([] if ".raw" in voxels else [voxels])):
        _, failures = find_sources([folder / name], tmp_path / "out")
        assert failures[0][1].startswith(str(folder / name))
        assert failures[0][1].endswith(fix)
    for asked in (folder, folder / "*"):
        with pytest.raises(UserError) as error:
            find_sources([asked], tmp_path / "out")
        assert str(error.value) == f"--input {asked} holds no image but a {fix}"
    with pytest.raises(UserError) as error:
        folder_card(folder, folder)
    assert str(error.value) == f"--images {folder} holds no image but a {fix}"
    with pytest.raises(UserError) as error:
        find_maps(folder, "--predictions")
    assert str(error.value) == f"--predictions {folder} holds no mask or map but a {fix}"
    config = SlicesConfig(images=folder, masks=folder, output=tmp_path / "cut")
    with pytest.raises(UserError) as error:
        pair_volumes(config, [])
    assert str(error.value) == f"--images {folder} holds no volume but a {fix}"
    table = tmp_path / "table.csv"
    table.write_text(f"image,mask\nin/{header},in/{header}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        pair_volumes(SlicesConfig(table=table, output=tmp_path / "cut"), [])
    assert str(error.value).endswith(f"{header} is a {fix}")
    both = [folder / header, folder / voxels]
    counts = f"note: 2 files are left out ({Counter(p.suffix for p in both).most_common(1)[0][1]}"
    assert left_out(both, folder).startswith(counts)
    assert left_out(both, folder).endswith(f"; one is a {fix.removesuffix('.')}")
    told = left_out(both, folder, nameless=True)
    assert told.endswith("; one is a packed volume that is not read so. Unpack it by gunzip")


def test_several_packed_volumes_are_counted(tmp_path: Path) -> None:
    files = [tmp_path / "sub" / name for name in ("a.nrrd.gz", "B.MHA.GZ", "c.nii.gz", "d.txt.gz")]
    (tmp_path / "sub").mkdir()
    told = left_out(files, tmp_path)
    assert told.endswith(
        "; 2 are packed volumes that are not read so. Unpack them by gunzip: sub/B.MHA.GZ, "
        "sub/a.nrrd.gz"
    )
