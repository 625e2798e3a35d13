"""The cache as a whole: below its limit, the longest unused go, and nothing foreign does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gpsseg.config.datasets import CacheConfig
from gpsseg.data import cache_limit
from gpsseg.data.cache import cache_folder, read_entry, write_entry
from gpsseg.datasets import cache
from gpsseg.errors import UserError


def name(number: int, start: str = "f") -> str:
    return f"{start}{number:063x}.npz"[-68:]


def entry(folder: Path, number: int, size: int = 1000, age: float = 0) -> Path:
    """A file named as an entry, last used ``age`` seconds ago."""
    path = folder / name(number)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache" / "prepared").mkdir(parents=True)
    return tmp_path / "cache" / "prepared"


def test_the_longest_unused_go_until_a_tenth_is_free(folder: Path) -> None:
    paths = [entry(folder, i, age=100 - i) for i in range(10)]  # 0 is the oldest
    assert cache_limit.evict(folder, 10_000) == 0  # they fit exactly
    assert cache_limit.evict(folder, 8_000) == 3  # 7000 bytes are below 90 % of 8000
    assert [path.exists() for path in paths] == [False] * 3 + [True] * 7


def test_an_entry_that_is_read_is_young_again(folder: Path) -> None:
    for i in range(3):
        write_entry(folder / name(i), {"image": np.zeros(4)})
        os.utime(folder / name(i), (1000 + i,) * 2)
    assert read_entry(folder / name(0)) is not None
    assert [kept.path.name for kept in cache_limit.entries(folder)] == [*map(name, (1, 2, 0))]


def test_a_run_tidies_once_and_a_writer_now_and_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPSSEG_CACHE_LIMIT", "0.01MB")
    old = [entry(folder, i, age=100, size=4000) for i in range(3)]
    assert cache_folder(str(folder.parent)) == folder
    assert [path.exists() for path in old] == [False, True, True]  # 8 kB of 10
    for i in range(4, 8):
        write_entry(folder / name(i), {"image": np.zeros(500)})  # 4.2 kB each
    assert len(cache_limit.entries(folder)) == 6
    write_entry(folder / ("00" + name(9)[2:]), {"image": np.zeros(500)})  # one in 256
    assert sum(kept.size for kept in cache_limit.entries(folder)) <= 9_000


def test_an_entry_that_another_process_removes_is_a_miss(folder: Path) -> None:
    path = folder / name(1)
    write_entry(path, {"image": np.arange(4)})
    code = (
        "import sys; from pathlib import Path; from gpsseg.data import cache_limit;"
        "print(cache_limit.evict(Path(sys.argv[1]), 1))"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr
    assert read_entry(path) is None


def test_an_entry_that_goes_while_they_are_counted_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry(folder, 1)
    entry(folder, 2)
    scan = os.scandir

    class Racing:
        def __init__(self, path: Path) -> None:
            self.found = scan(path)

        def __enter__(self):
            items = list(self.found)
            (folder / name(1)).unlink()
            return iter(items)

        def __exit__(self, *_: object) -> None:
            self.found.close()

    monkeypatch.setattr(cache_limit.os, "scandir", Racing)
    assert [kept.path.name for kept in cache_limit.entries(folder)] == [name(2)]


def test_halves_of_killed_writers_go_after_an_hour(folder: Path) -> None:
    halves = [folder / f".partial-12-34-{'b' * 12}-{'a' * 26}.npz", folder / "tmpabcd_234.partial"]
    foreign = [folder / "mine.partial", folder / "download.npz.partial"]
    for path in (*halves, *foreign):
        path.write_bytes(b"x")
    assert cache_limit.remove_stale(folder) == 0
    for path in (*halves, *foreign):
        os.utime(path, (time.time() - 3700,) * 2)
    assert cache_limit.remove_stale(folder) == 2
    assert [path.exists() for path in (*halves, *foreign)] == [False, False, True, True]


def test_what_a_writer_leaves_when_it_is_killed_is_known_as_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        left.extend(path.name for path in folder.iterdir())

    left: list[str] = []
    monkeypatch.setattr(np, "savez", killed)
    write_entry(folder / name(1), {"image": np.zeros(4)})
    assert len(left) == 1
    assert cache_limit.PARTIAL.fullmatch(left[0])


def test_the_command_tells_and_clears_its_own_files_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        entry(folder, i, size=10_000_000, age=86_400 * i)
    outside = tmp_path / "outside.npz"
    outside.write_text("mine")
    foreign = [folder / "notes.txt", folder / ("A" * 64 + ".npz"), folder / "deadbeef.npz"]
    for path in foreign:
        path.write_text("mine")
    (folder / name(7)).symlink_to(outside)
    (folder / name(8)).mkdir()
    cache(CacheConfig(cache=str(folder.parent)))
    said = capsys.readouterr().out
    for words in (str(folder), "3 prepared images, 30.0 MB", "limit:  20 GB", "oldest:"):
        assert words in said
    assert cache(CacheConfig(cache=str(folder.parent), clear=True)) == []
    assert "removed: 3 prepared images" in capsys.readouterr().out
    assert all(path.exists() for path in (*foreign, outside, folder / name(7), folder / name(8)))


def test_the_command_makes_no_folder(tmp_path: Path) -> None:
    assert cache(CacheConfig(cache=str(tmp_path / "none"), clear=True)) == []
    assert not (tmp_path / "none").exists()
    assert cache(CacheConfig(cache="off")) == []


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        *((None, 20 * 10**9), ("", 20 * 10**9), ("50", 50 * 10**9), ("500MB", 5 * 10**8)),
        *(("1.5 tb", 15 * 10**11), ("2GB", 2 * 10**9)),
    ],
)
def test_the_limit_is_a_size(asked: str | None, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPSSEG_CACHE_LIMIT", raising=False)
    if asked is not None:
        monkeypatch.setenv("GPSSEG_CACHE_LIMIT", asked)
    assert cache_limit.limit() == size


@pytest.mark.parametrize("asked", ["0", "-5GB", "many", "5 kB", "nan", "1e9", "9" * 400])
def test_a_limit_that_is_no_size_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPSSEG_CACHE_LIMIT", asked)
    with pytest.raises(UserError, match="expected a size above 0"):
        cache_limit.limit()
