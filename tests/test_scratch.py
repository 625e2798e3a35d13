"""Folders of processes that were killed are removed by the next one, those of others never."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpsseg import scratch
from gpsseg.scratch import remove_abandoned, scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def folder_of(place: Path, process: int, age: float, host: str | None = None) -> Path:
    folder = place / f"gpsseg-{host or scratch._host()}-{process}-abcd_123"
    folder.mkdir()
    (folder / "file").write_text("x")
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_it_goes_with_its_block_and_is_known_as_its_own(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == temporary
        name = scratch.NAME.fullmatch(folder.name)
        assert name is not None
        assert int(name["process"]) == os.getpid()
    assert not folder.exists()


def test_the_next_process_removes_what_a_killed_one_left(temporary: Path, gone: int) -> None:
    left = folder_of(temporary, gone, age=3700)
    with scratch_folder():
        assert not left.exists()


def test_what_may_be_in_use_or_is_not_ours_stays(
    temporary: Path, gone: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stay = [
        folder_of(temporary, os.getpid(), age=3700),  # alive
        folder_of(temporary, gone, age=60),  # perhaps of another container with this name
        folder_of(temporary, gone, age=3700, host="elsewhere"),
    ]
    (temporary / "gpsseg-abcd1234").mkdir()
    os.utime(temporary / "gpsseg-abcd1234", (1000, 1000))
    outside = folder_of(tmp_path_factory.mktemp("outside"), gone, age=3700)
    link = temporary / f"gpsseg-{scratch._host()}-{gone}-linked_1"
    link.symlink_to(outside, target_is_directory=True)
    assert remove_abandoned(temporary) == 0
    assert all((folder / "file").exists() for folder in (*stay, outside, link))
    assert (temporary / "gpsseg-abcd1234").exists()
