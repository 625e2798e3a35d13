"""Archives of somebody else's: whatever their names and bytes, nothing is lost or left behind."""

import zipfile
from pathlib import Path

import pytest

from gpsseg.data import unpack as room
from gpsseg.data.unpack import unpack
from gpsseg.errors import UserError


def archive(folder: Path, *names: str, text: str = "x" * 4000) -> Path:
    with zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return folder / "z.zip"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((".",), "'.' in it names no file"),
        (("",), "names no file"),
        (("n" * 300,), "a name that is too long for a file"),
        (("é" * 150,), "a name that is too long for a file"),
        (("a\x1b[2J.png",), "characters that no name may have"),
        (("a\u202eb.png",), "characters that no name may have"),
        (("a.png", "A.png"), "a.png, A.png in it would be one file"),
        (("a.png", "./a.png"), "would be one file"),
        (("d/a.png", "d/a.png"), "would be one file"),
        (("d", "d/a.png"), "1 name in it would be a file and a folder: d"),
        (("D", "d/e/a.png"), "would be a file and a folder"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as error:
        unpack(archive(tmp_path, *names), tmp_path / "out")
    assert message in str(error.value)
    assert str(error.value).startswith("z.zip is not safe: ")
    assert str(error.value).endswith("Nothing was unpacked.")
    assert not (tmp_path / "out").exists()


def test_long_and_dotted_names_are_unpacked(tmp_path: Path) -> None:
    names = ("./a/b.txt", "a//c.txt", "x" * 250)
    assert unpack(archive(tmp_path, *names), tmp_path / "out") == 3
    found = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")
    )
    assert found == ["a", "a/b.txt", "a/c.txt", "x" * 250]


def test_an_encrypted_member_and_damaged_streams(tmp_path: Path) -> None:
    path = archive(tmp_path, "a")
    whole = path.read_bytes()
    secret = bytearray(whole)
    secret[6] |= 1
    secret[whole.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(secret)
    with pytest.raises(UserError, match="is encrypted: unpack it by hand"):
        unpack(path, tmp_path / "out")
    for at, value in ((31, 0xFF), (whole.index(b"PK\x01\x02") + 10, 99)):  # the stream, the method
        path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        with pytest.raises(UserError, match=r"z\.zip is damaged .*Remove it and fetch it again"):
            unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path, *"abc", text="")
    monkeypatch.setattr(room, "TABLE", 100)
    with pytest.raises(UserError, match=r"z\.zip lists too many files \(141 bytes of names"):
        unpack(path, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(room, "MOST", 2)
    with pytest.raises(UserError, match=r"z\.zip holds 3 files, expected up to 2"):
        unpack(path, tmp_path / "out")
