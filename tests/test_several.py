"""One process is the usual case; of several that do not share a job, the main one does it."""

import sys

import pytest

from gpsseg import processes
from gpsseg.config.backbones import ListBackbonesConfig
from gpsseg.console import run_command
from gpsseg.errors import UserError


def test_one_process_has_everything():
    assert processes.part() == (0, 1)
    assert processes.shared_out([1, 2, 3]) == processes.dealt_out([1, 2, 3]) == [1, 2, 3]
    assert processes.each(str, [1, 2]) == processes.gathered(["1", "2"]) == ["1", "2"]
    with pytest.raises(UserError, match="as it was"):
        processes.by_main(lambda: (_ for _ in ()).throw(UserError("as it was")))


@pytest.mark.parametrize(
    ("count", "rank", "expected"), [("1", "0", 1), ("2", "1", 2), ("x", "0", 1)]
)
def test_how_many_were_started_is_what_the_launcher_says(monkeypatch, count, rank, expected):
    monkeypatch.setenv("WORLD_SIZE", count)
    assert processes.started() == 1, "a size that no launcher set"
    monkeypatch.setenv("RANK", rank)
    assert processes.started() == expected


@pytest.mark.parametrize(("rank", "calls"), [("0", 1), ("1", 0)])
def test_a_job_that_is_not_shared_out_is_the_main_processs(monkeypatch, rank, calls):
    monkeypatch.setattr(sys, "argv", ["backbones"])
    for name, value in (("WORLD_SIZE", "2"), ("RANK", rank), ("LOCAL_RANK", rank)):
        monkeypatch.setenv(name, value)
    made = []
    run_command(lambda config: made.append(processes.started()), ListBackbonesConfig, "backbones")
    assert made == [1] * calls, "what it starts waits for nobody"
