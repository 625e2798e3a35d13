"""Several runs of one command, some at a time, each in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.console import NETWORKS
from gpsseg.data.anonymous import draw_veil
from gpsseg.data.loader import default_workers
from gpsseg.ending import STOPPED
from gpsseg.engine.machine import peak_memory_mb
from gpsseg.faults import DiskError, is_out_of_memory
from gpsseg.files import console_in
from gpsseg.memory import OutOfMemoryError, free_memory, settings_of
from gpsseg.writing import make_folder

Value = TypeVar("Value")
Config = TypeVar("Config", bound=FinetuneConfig)
Job = tuple[Any, ...]


def run_side_by_side(
    run: Callable[..., Value], jobs: Sequence[Job], processes: int | None, stage: str
) -> Iterator[Value]:
    """Call ``run`` for each job in a process of its own, and yield what it returns as it ends.

    Args:
        run: takes a job's values and, after them, the number of threads.
        jobs: the first value of each is its configuration.
        processes: how many at a time; None for as many as there is room for after the first.
        stage: what to call it where memory does not suffice, such as "comparing".

    Raises:
        OutOfMemoryError: a run ran out of memory, or the system ended it.
    """
    cores, threads = os.cpu_count() or 1, _threads_asked_for()
    queue = list(jobs)
    if processes is None and queue:  # the first one shows how much memory the others need
        before = _available_mb()
        with _pool(1) as pool:
            first = _submitted(pool, _measured, run, queue.pop(0), threads or cores)
            value, needed = _result(first, 1, stage)
        yield value
        processes = _as_many_as_fit(needed, before, max(1, cores // (threads or 1)))
    threads = threads or max(1, cores // (processes or 1))
    with _pool(processes or 1, max_tasks_per_child=1) as pool:
        running = [_submitted(pool, _measured, run, job, threads) for job in queue]
        for future in as_completed(running):
            yield _result(future, processes or 1, stage, jobs[0][0])[0]


def in_own_process(stage: str, function: Callable[..., Value], *arguments: Any) -> Value:
    """What a function returns in a process that ends with it.

    Args:
        stage: what to call it where memory does not suffice, such as "measuring".
        function: to be called.
        arguments: its own.

    Raises:
        OutOfMemoryError: it ran out of memory, or the system ended it.
    """
    with _pool(1) as pool:
        return _result(_submitted(pool, _stoppable, function, *arguments), 1, stage)


@contextlib.contextmanager
def _pool(processes: int, **more: Any) -> Iterator[ProcessPoolExecutor]:
    """Processes, of which none begins another run after an error, nor goes on after Ctrl-C."""
    context = _warm_context()
    _warm_up(context)
    with ProcessPoolExecutor(processes, context, _begin, **more) as pool:
        try:
            yield pool
        except BaseException as error:
            last = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True})
            last.start()
            if isinstance(error, KeyboardInterrupt):
                _stop_until(last)
            last.join()
            raise


def _stop_until(over: threading.Thread) -> None:
    """Pass Ctrl-C on: it may have come to the command alone, or while a process began."""
    while over.is_alive():
        for each in multiprocessing.active_children():
            if each.pid:
                with contextlib.suppress(OSError):
                    os.kill(each.pid, signal.SIGINT)
        over.join(0.1)


@contextlib.contextmanager
def one_of_several(
    config: Config, run: RunFolder, salt: str | None, threads: int
) -> Iterator[Config]:
    """Within it a run goes on beside others: yields its settings, with few workers if none is said.

    What it prints goes into a text file beside its folder, of the same name.

    Args:
        config: of the run.
        run: its folder.
        salt: of all of the runs, if they are nameless.
        threads: of the processor.

    Raises:
        DiskError: with the advice to start the command again that runs them all.
    """
    torch.set_num_threads(threads)
    if config.workers is None:  # the cores are shared with other runs
        config = dataclasses.replace(config, workers=min(default_workers(), threads // 2))
    make_folder(run.path.parent)
    draw_veil(salt, config)
    try:
        with console_in(run.path.with_name(f"{run.path.name}.txt")):
            yield config
    except DiskError as error:  # a run of its own would be gone on with by itself
        raise error.again() from None


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[..., Value], *arguments: Any
) -> Future[Value]:
    """What a function will return; a process that was lost before it began is lost as any other."""
    try:
        return pool.submit(function, *arguments)
    except (EOFError, ConnectionError, BrokenProcessPool) as error:
        lost: Future[Value] = Future()
        lost.set_exception(BrokenProcessPool(str(error)))
        return lost


def _measured(run: Callable[..., Value], job: Job, threads: int) -> tuple[Value, float]:
    """What a run returns, and the most memory that its process held, in MiB."""
    value = _stoppable(run, *job, threads)
    return value, peak_memory_mb(torch.device("cpu"))


def _threads_asked_for() -> int | None:
    """How many threads each run has by OMP_NUM_THREADS; None where it is not set."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) else None


def _warm_context() -> Any:
    """Processes that start with the libraries imported, where the system can fork.

    macOS can, but its own libraries, Metal among them, are not made for it.
    """
    if sys.platform == "darwin" or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(NETWORKS))
    return context


def _warm_up(context: Any) -> None:
    """Wait until the libraries are imported; before, Ctrl-C would break off half a start."""
    if context is None or context.get_start_method() != "forkserver":
        return
    from multiprocessing import forkserver, resource_tracker  # not of all systems

    resource_tracker.ensure_running()  # which would let Ctrl-C through again
    with _deaf():  # what begins the processes stays so: it would end with a traceback
        forkserver.ensure_running()
    first = context.Process(target=_nothing)
    with contextlib.suppress(EOFError, ConnectionError):  # the next one tells that it was lost
        first.start()
        first.join()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Within it Ctrl-C waits; in a process that begins meanwhile it does until that listens."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing() -> None:
    """What a process does that is begun only for the beginning."""


def _stoppable(function: Callable[..., Value], *arguments: Any) -> Value:
    """What a function returns in a run's process; Ctrl-C, once or often, ends it in order."""
    signal.signal(signal.SIGINT, _stopped)
    value = function(*arguments)
    signal.signal(signal.SIGINT, _ended)
    return value


def _stopped(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # what is finished now is not broken off
    raise KeyboardInterrupt


def _ended(number: int, frame: Any) -> None:
    os._exit(STOPPED)


def _begin() -> None:
    """In a run's process: end as soon as the command's is gone, or without a word at Ctrl-C."""
    signal.signal(signal.SIGINT, _ended)
    if hasattr(signal, "pthread_sigmask"):  # what began it is deaf, see ``_deaf``
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    command = multiprocessing.parent_process()
    assert command

    def wait() -> None:
        command.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _result(
    future: Future[Value], processes: int, stage: str, config: FinetuneConfig | None = None
) -> Value:
    """What a run returned.

    Raises:
        OutOfMemoryError: it ran out of memory, or the system ended it.
    """
    try:
        return future.result()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        settings = {**settings_of(config), "processes": processes}
        if isinstance(error, OutOfMemoryError):
            known = settings | error.settings
            raise OutOfMemoryError(error.stage, known, error.ended, stage) from None
        ended = "processes" if isinstance(error, BrokenProcessPool) else ""
        raise OutOfMemoryError(stage, settings, ended) from None


def _available_mb() -> float:
    return free_memory()[0] / 2**20


def _as_many_as_fit(needed_mb: float, available_mb: float, cores: int) -> int:
    """How many runs go side by side: four fifths of the memory, and a core each."""
    return max(1, min(cores, int(0.8 * available_mb / needed_mb)))
