"""`delta pull` from a hub that lies, sends without end or stalls, or whose user pulls the plug."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gpsseg.delta.opened import open_delta
from gpsseg.errors import UserError, size_text

COMPARED = "SHA-256 is what the hub tells and config.json tells"


def test_a_delta_that_nothing_vouches_for_is_not_verified(
    hub: Any, ask: Any, handed_files: dict[str, bytes], tmp_path: Path, capsys: Any
) -> None:
    """Push always says which delta a config.json is for; the hub does of large files alone."""
    config = json.loads(handed_files["config.json"])
    del config["delta_sha256"]
    hub.silent = {"lfs"}
    hub.put("clinic/polyps", {**handed_files, "config.json": json.dumps(config).encode()})
    with pytest.raises(UserError, match=r"does not say which delta it is for \(delta_sha256\)"):
        ask.pull(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    hub.put("clinic/polyps", handed_files)
    ask.pull(tmp_path / "x")
    said = " ".join(capsys.readouterr().out.split())
    assert "SHA-256 is what config.json tells" in said
    hub.silent.clear()
    ask.pull(tmp_path / "y")
    assert COMPARED in " ".join(capsys.readouterr().out.split())


def test_no_more_is_fetched_than_a_file_may_have(
    hub: Any,
    ask: Any,
    handed_files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """Of the delta too: where the hub says the size, where it does not, and where it lies."""
    hub.put("clinic/polyps", handed_files)
    size = len(handed_files["delta.safetensors"])
    ask.pull(tmp_path / "whole")
    whole = size_text(sum(map(len, handed_files.values())))
    assert f"fetching {whole} from" in capsys.readouterr().out
    hub.asked.clear()
    monkeypatch.setattr("gpsseg.delta.pulling.MOST", size - 1)
    with pytest.raises(UserError, match=rf"delta\.safetensors of {size:,} bytes, expected at most"):
        ask.pull(tmp_path / "x")
    assert not [each for each in hub.asked if "/resolve/" in each], "nothing was fetched"
    hub.silent = {"size"}
    with pytest.raises(UserError, match=rf"sends more than the {size - 1:,} bytes that delta"):
        ask.pull(tmp_path / "x")
    monkeypatch.setattr("gpsseg.delta.pulling.MOST", size)
    monkeypatch.setattr("gpsseg.delta.pulling.MOST_OF_TEXT", 99)
    with pytest.raises(UserError, match=r"sends more than the 99 bytes that config\.json may have"):
        ask.pull(tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("part", ["/repos/create", "/commit/", "/api/models/"])
def test_a_hub_that_stalls_is_left(
    hub: Any, ask: Any, pushed_run: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr("gpsseg.delta.hub.LONGER", 0.2)
    monkeypatch.setattr("gpsseg.delta.hub.PATIENCE", 0.2)
    hub.slow[part] = 1.0
    with pytest.raises(UserError, match=r"has stopped answering.*look at .*/clinic/polyps first"):
        ask.push(pushed_run)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_file_that_is_not_given_is_one_sentence(
    hub: Any, ask: Any, handed_files: dict[str, bytes], tmp_path: Path, status: int
) -> None:
    hub.put("clinic/polyps", handed_files)
    hub.broken["/resolve/"] = status
    with pytest.raises(UserError, match=f"^http://127.0.0.1:[0-9]+ answers {status}: "):
        ask.pull(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def killed_at(number: int, ask: Any, output: Path) -> None:
    """Pull, and die without a word before the file of this number is put in its place."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    left, replace = [number], os.replace

    def put(source: Any, target: Any) -> None:
        if Path(target).parent == output:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = put
    ask.pull(output)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="dies as a fork does")
@pytest.mark.parametrize("number", range(2, 6))
def test_a_pull_that_is_killed_leaves_nothing_that_looks_whole(
    hub: Any, ask: Any, handed_files: dict[str, bytes], tmp_path: Path, number: int
) -> None:
    """Whichever of its files it dies at, once it has marked the folder as unfinished."""
    assert set(handed_files) == {"config.json", "README.md", "delta.safetensors"}
    hub.put("clinic/polyps", handed_files)
    output = tmp_path / "x"
    pulling = multiprocessing.get_context("fork").Process(
        target=killed_at, args=(number, ask, output)
    )
    pulling.start()
    pulling.join(60)
    pulling.kill()
    assert pulling.exitcode == -signal.SIGKILL
    assert (output / ".unfinished").is_file()
    with pytest.raises(UserError, match=r"has no delta\.safetensors"):
        open_delta(output)
    ask.pull(output)
    assert open_delta(output).run
    assert {path.name for path in output.iterdir()} == {*handed_files, "pulled.json"}
