"""Nobody waits in silence: bars on a terminal, lines of text elsewhere."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpsseg import console
from gpsseg.console import progress, working


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(console, "QUIET", 0.05)


def test_a_long_loop_says_how_far_it_is(hasty, capsys):
    def slow():
        for number in range(3):
            time.sleep(0.1)  # also while it waits for one item
            yield number

    assert list(progress(slow(), "reading", 3)) == [0, 1, 2]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "reading: 0/3, 0:00:00"
    between = re.compile(r"reading: [12]/3, 0:00:00, about 0:00:00 left")
    assert any(between.fullmatch(line) for line in lines)
    assert lines[-1] == "reading: 3/3, 0:00:00"
    assert len(lines) > 3


def test_a_quick_loop_says_one_line(capsys):
    assert list(progress([1, 2], "reading")) == [1, 2]
    assert capsys.readouterr().out == "reading: 2/2, 0:00:00\n"
    assert list(progress(iter([1]), "reading")) == [1]
    assert capsys.readouterr().out == "reading: 1, 0:00:00\n"


def test_a_loop_that_is_left_is_silent_afterwards(hasty, capsys):
    for _ in progress(range(9), "reading"):
        break

    def fail():
        for _ in progress(range(9), "reading"):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    time.sleep(0.12)
    said = capsys.readouterr().out
    time.sleep(0.12)
    assert capsys.readouterr().out == ""
    assert "9/9" not in said


def test_what_takes_long_is_named_and_what_is_quick_is_not(hasty, capsys):
    with working("loading"):
        time.sleep(0.12)
    assert "loading ... 0:00:00" in capsys.readouterr().out.splitlines()
    with working("loading"):
        pass
    assert capsys.readouterr().out == ""


def test_only_the_main_process_speaks(hasty, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert list(progress([1], "reading")) == [1]
    with working("loading"):
        time.sleep(0.12)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_there_is_a_bar_and_a_line_that_goes_away(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with working("loading"):
        time.sleep(0.2)
    assert "loading ..." in capsys.readouterr().out
    assert list(progress([1, 2], "reading")) == [1, 2]
    assert "2/2" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_console_that_takes_no_text_is_a_sentence():
    command = [sys.executable, "-m", "gpsseg.datasets", "info", "kvasir"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr == (
        "gpsseg: error: The console's text cannot be written: No space left on device. Free some "
        "space, then give the same command again.\n"
    )
    assert done.returncode == 2
