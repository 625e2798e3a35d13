"""Runs side by side: how many, on how many threads, and how they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from gpsseg.errors import UserError
from gpsseg.runs import pool

UNET = "unet-efficientnet-lite0"


@pytest.mark.parametrize(
    ("system", "methods", "expected"),
    [
        ("darwin", ["spawn", "fork", "forkserver"], "spawn"),
        ("linux", ["fork", "spawn", "forkserver"], "forkserver"),
        ("win32", ["spawn"], "spawn"),
    ],
)
def test_runs_begin_as_their_system_can(system, methods, expected, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(pool.multiprocessing, "get_all_start_methods", lambda: methods)
    assert pool._warm_context().get_start_method() == expected


def test_as_many_runs_as_memory_and_cores_allow():
    assert pool._as_many_as_fit(1000, 10_000, cores=4) == 4
    assert pool._as_many_as_fit(3000, 10_000, cores=4) == 2
    assert pool._as_many_as_fit(9000, 10_000, cores=4) == 1


@pytest.mark.parametrize(
    ("asked", "processes", "threads", "at_a_time"),
    [
        (None, None, [4, 1, 1], 4),  # the first alone on all cores, then a core each
        (None, 2, [2, 2, 2], 2),
        ("1", None, [1, 1, 1], 4),
        ("2", None, [2, 2, 2], 2),
        ("9", None, [9, 9, 9], 1),
        ("3", 1, [3, 3, 3], 1),
        ("2,1", 2, [2, 2, 2], 2),  # of nested regions the outermost counts
        ("many", 2, [2, 2, 2], 2),
    ],
)
def test_each_run_has_the_threads_that_were_asked_for(
    asked, processes, threads, at_a_time, monkeypatch
):
    seen, sizes = [], []

    class Pool:
        def __init__(self, size, *_, **__):
            sizes.append(size)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, function, run, job, threads):
            seen.append(threads)
            done = Future()
            done.set_result((*job, 1.0))
            return done

    monkeypatch.setattr(pool, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(pool, "_warm_context", lambda: None)
    monkeypatch.setattr(pool.os, "cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert sorted(pool.run_side_by_side(print, [*zip("abc")], processes, "comparing")) == [
        "a",
        "b",
        "c",
    ]
    assert seen == threads
    assert sizes[-1] == at_a_time


FORKS = pytest.mark.skipif(sys.platform != "linux", reason="processes begin otherwise")


def sleep(seconds, threads):
    time.sleep(seconds)


class Forked(multiprocessing.context.ForkContext):
    """Processes that need to import nothing; Python's pool would refuse to renew such."""

    def get_start_method(self, allow_none=False):
        return "forked by a test"


def side_by_side(said):
    """A command with runs that take an hour, in a process that has all imported already."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind
    pool._warm_context = Forked
    with said.open("w") as text:
        os.dup2(text.fileno(), 1)
        os.dup2(text.fileno(), 2)
    try:
        list(pool.run_side_by_side(sleep, [(3600,), (3600,)], 2, "comparing"))
    except KeyboardInterrupt:
        os.write(1, b"stopped")


@FORKS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_run_goes_on_after_its_command_was_ended(number, tmp_path):
    """Else it would write into the folder that the same command, given again, takes up."""
    said = tmp_path / "said.txt"
    process = multiprocessing.get_context("fork").Process(target=side_by_side, args=(said,))
    process.start()
    command = psutil.Process(process.pid)
    for _ in range(600):  # a minute at most
        runs = [each for each in command.children(recursive=True) if _watches(each)]
        if len(runs) == 2:
            break
        time.sleep(0.1)
    os.kill(process.pid, number)
    _, going_on = psutil.wait_procs(runs, timeout=60)
    process.join(60)
    for each in (*going_on, *([process] if process.is_alive() else [])):
        each.kill()
    assert (len(runs), going_on) == (2, [])
    if number == signal.SIGINT:
        assert said.read_text() == "stopped"


def _watches(run):
    """Whether a process watches the command, as every run does in a thread of its own."""
    return run.num_threads() > 1


@FORKS
@pytest.mark.slow
def test_no_run_goes_on_after_the_comparison_was_killed(kvasir, tmp_path):
    """Else it would write into the folder that the same command, given again, takes up."""
    command = [
        *(sys.executable, "-m", "gpsseg.compare", "--data-root", str(kvasir), "--backbone", UNET),
        *("--methods", "decoder", "--image-size", "32", "--epochs", "100000", "--processes", "1"),
        *("--val-share", "0.3", "--output", str(tmp_path / "c")),
    ]
    with (tmp_path / "said.txt").open("w") as said:
        comparison = psutil.Popen(command, stdout=said, stderr=said)
        for _ in range(1200):  # two minutes at most
            if list(tmp_path.glob("c/cells/*/log.jsonl")):
                break
            assert comparison.poll() is None, (tmp_path / "said.txt").read_text()
            time.sleep(0.1)
        runs = comparison.children(recursive=True)
        comparison.kill()
        comparison.wait()
    assert runs
    _, going_on = psutil.wait_procs(runs, timeout=30)
    for run in going_on:
        run.kill()
    assert not going_on


INTERRUPTED = """
import os, signal, sys, threading, time
from gpsseg.runs import pool

def wait(seconds, threads):
    time.sleep(seconds)

def stop():
    time.sleep(float(sys.argv[1]))
    (os.killpg if sys.argv[2] == "all" else os.kill)(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind
    pool.NETWORKS = ["slow_to_import", "gpsseg.runs.pool"]
    threading.Thread(target=stop, daemon=True).start()
    try:
        list(pool.run_side_by_side(wait, [(3600,), (3600,)], 1, "comparing"))
    except KeyboardInterrupt:
        print("stopped")
"""


@FORKS
@pytest.mark.slow
@pytest.mark.parametrize("after", ["0.5", "2.5", "15"])
@pytest.mark.parametrize("whom", ["all", "one"])
def test_ctrl_c_ends_all_processes_without_a_traceback(after, whom, tmp_path):
    """While libraries are imported, while a process begins, and in a run that takes an hour."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.2)\n")
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    places = os.pathsep.join([str(tmp_path), str(Path(pool.__file__).parents[2])])
    ended = subprocess.run(
        [sys.executable, "interrupted.py", after, whom],
        env={**os.environ, "PYTHONPATH": places},
        cwd=tmp_path, capture_output=True, text=True, timeout=300, start_new_session=True,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("stopped\n", "")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are not held there")
def test_ctrl_c_waits_while_what_begins_processes_starts_and_is_not_lost():
    reached, before = [], signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted():
        with pool._deaf():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            reached.append("the end")

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == ["the end"]


def test_a_run_that_the_system_ends_is_a_clear_error(monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    class Broken:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, *_):
            return self

        def shutdown(self, **_):
            pass

        def result(self):
            raise BrokenProcessPool

    for stage in ("comparing", "cross-validating"):
        said = r"want of memory\. Lower --processes \(now 4\)\. What is finished stays"
        with pytest.raises(UserError, match=said):
            pool._result(Broken(), 4, stage)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Broken)
    monkeypatch.setattr(pool, "_warm_context", lambda: None)
    with pytest.raises(UserError, match=r"system while measuring, most likely for want of memory"):
        pool.in_own_process("measuring", print)


@pytest.mark.parametrize("error", [EOFError("unexpected EOF"), ConnectionResetError()])
@pytest.mark.parametrize("processes", [None, 2])
def test_a_process_that_cannot_begin_is_told_as_one_that_was_lost(error, processes, monkeypatch):
    """What begins the processes may have been ended for want of memory itself."""

    def fails(*_):
        raise error

    monkeypatch.setattr(pool.ProcessPoolExecutor, "submit", fails)
    monkeypatch.setattr(pool, "_warm_context", lambda: None)
    with pytest.raises(UserError, match="ended by the system while comparing"):
        list(pool.run_side_by_side(print, [*zip("abc")], processes, "comparing"))
    with pytest.raises(UserError, match="ended by the system while measuring"):
        pool.in_own_process("measuring", print)
