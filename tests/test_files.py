"""New folders and JSON files: nothing is overwritten, nothing is left half-written."""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gpsseg.config.report import ReportConfig
from gpsseg.errors import UserError
from gpsseg.faults import DiskError
from gpsseg.files import write_json, write_rows, write_text
from gpsseg.folders import finish_folder, made_whole, new_folder, new_run_folder, refuse_existing
from gpsseg.reading import read_json, read_table
from gpsseg.scratch import _host, remove_abandoned
from gpsseg.writing import PARTIAL, replacing


def test_new_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_folder(tmp_path / "a" / "b").is_dir()
    assert new_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b", "empty: may be used"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file already exists.* such as .*/file-2, or move"):
        new_folder(tmp_path / "file")
    for name in ("page.html", "page-2.html", "of.v1/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"such as .*/page-3\.html, or move"):
        refuse_existing(tmp_path / "page.html")
    with pytest.raises(UserError, match=r"such as .*/of\.v1-2, or move"):
        refuse_existing(tmp_path / "of.v1")
    (tmp_path / "page-3.html").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"such as .*/page-4\.html, or move"):
        refuse_existing(tmp_path / "page.html")
    with pytest.raises(UserError, match=r"cannot be made: Not a directory\. Name another --output"):
        new_folder(tmp_path / "file" / "run")
    monkeypatch.chdir(tmp_path)
    for nameless in (".", "..", "/"):
        with pytest.raises(UserError, match=r"Name another --output, or move the old one away"):
            refuse_existing(Path(nameless))
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
    with pytest.raises(UserError, match=r"half\.json is not readable as JSON .*\. Write it again"):
        read_json(tmp_path / "half.json")
    with pytest.raises(UserError, match=r"gone\.json cannot be read: No such file.*Check the path"):
        read_json(tmp_path / "gone.json")


def test_a_table_has_the_columns_of_all_its_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", [{"id": "x", "b": 1}, {"id": "y", "c": 2}, {"b": 3, "id": "z"}])
    assert read_table(tmp_path / "a.csv") == (
        ["id", "b", "c"],
        [
            {"id": "x", "b": "1", "c": ""},
            {"id": "y", "b": "", "c": "2"},
            {"id": "z", "b": "3", "c": ""},
        ],
    )


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "delta.safetensors"
    target.write_text("old")

    def fill_the_disk() -> None:
        with replacing(target) as partial:
            partial.write_text("half of the n")
            assert target.read_text() == "old", "a reader meanwhile"
            raise OSError(errno.ENOSPC, "disk full")

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
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("os.replace", full)
    for write in (write_text, write_json):
        with pytest.raises(DiskError, match="disk full"):
            write(target, "new")
        assert target.read_text() == "old"


def test_two_names_with_one_ending_are_never_mixed(tmp_path: Path) -> None:
    """Two processes write masks of long names side by side."""
    one, two = (tmp_path / f"{letter}{'x' * 200}.png" for letter in "ab")
    with replacing(one) as first, replacing(two) as second:
        assert first != second
        first.write_text("one")
        second.write_text("two")
    assert (one.read_text(), two.read_text()) == ("one", "two")


def test_a_library_s_word_on_what_it_was_given_is_no_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="image file is truncated"), replacing(tmp_path / "a"):
        raise OSError("image file is truncated")


@contextlib.contextmanager
def at_work(out: Path, run: Path, does: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which has begun to write to a folder and done more."""
    code = (
        "import sys, time; from pathlib import Path; import gpsseg.folders as f;"
        "from gpsseg.config.report import ReportConfig;"
        "f.new_folder(Path(sys.argv[1]), ReportConfig(run=Path(sys.argv[2])));"
        f"{does}; print('begun', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(out), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        yield other


def test_a_command_that_is_at_work_is_not_begun_again(tmp_path: Path) -> None:
    config = ReportConfig(run=tmp_path)
    out = tmp_path / "out"
    with at_work(out, tmp_path, "Path(sys.argv[1], 'half').touch()") as other:
        try:
            with pytest.raises(UserError, match="Another process is writing to"):
                new_folder(out, config)
        finally:
            other.kill()
    with pytest.raises(UserError, match="begun with other settings"):
        new_folder(out, ReportConfig(run=tmp_path / "other"))
    assert new_folder(out, config) == out
    finish_folder(out)
    with pytest.raises(UserError, match="already exists"):
        new_folder(out, config)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_process_that_nobody_has_waited_for_is_gone(tmp_path: Path) -> None:
    """It keeps its number as long as its parent lives, and writes nothing more."""
    config = ReportConfig(run=tmp_path)
    out = tmp_path / "out"
    does = "whole = f.made_whole(Path(sys.argv[2], 'whole')); whole.__enter__()"
    with at_work(out, tmp_path, does) as other:
        scratch = tmp_path / f"gpsseg-{_host()}-{other.pid}-abcd_123"
        scratch.mkdir()
        os.utime(scratch, (1000, 1000))
        assert remove_abandoned(tmp_path) == 0, "it runs"
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # and it stays a zombie
        assert psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE
        assert new_folder(out, config) == out
        with made_whole(tmp_path / "next"):
            assert not list(tmp_path.glob(f"{PARTIAL}whole-*"))
        assert remove_abandoned(tmp_path) == 1
