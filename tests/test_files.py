"""New folders and JSON files: nothing is overwritten, nothing is left half-written."""

from pathlib import Path

import pytest

from gpsseg.errors import UserError
from gpsseg.faults import DiskError
from gpsseg.files import new_folder, new_run_folder, replacing, write_json, write_text
from gpsseg.reading import read_json


def test_new_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_folder(tmp_path / "a" / "b").is_dir()
    assert new_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b", "empty: may be used"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="already exists"):
        new_folder(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be made: Not a directory\. Name another --output"):
        new_folder(tmp_path / "file" / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "now")
    names = []
    for _ in range(3):
        folder = new_run_folder(None, "kvasir")
        (folder / "config.json").touch()
        names.append(folder.name)
    assert names == ["kvasir-now", "kvasir-now-2", "kvasir-now-3"]


def test_json_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"Läsion": tmp_path})
    assert read_json(tmp_path / "a.json") == {"schema": 1, "Läsion": str(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"half\.json is not readable as JSON"):
        read_json(tmp_path / "half.json")
    with pytest.raises(UserError, match=r"gone\.json cannot be read: No such file"):
        read_json(tmp_path / "gone.json")


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "delta.safetensors"
    target.write_text("old")

    def fill_the_disk() -> None:
        with replacing(target) as partial:
            partial.write_text("half of the n")
            assert target.read_text() == "old", "a reader meanwhile"
            raise OSError("disk full")

    with pytest.raises(DiskError, match="disk full"):
        fill_the_disk()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target], "nothing half-written stays"
    with replacing(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"


def test_text_that_cannot_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    write_text(target, "old")

    def full(*_: object) -> None:
        assert target.read_text() == "old", "a reader before the new file is whole"
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    for write in (write_text, write_json):
        with pytest.raises(DiskError, match="disk full"):
            write(target, "new")
        assert target.read_text() == "old"
