"""Several runs of one command, some at a time, each in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
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
    context, cores, threads = _warm_context(), os.cpu_count() or 1, _threads_asked_for()
    queue = list(jobs)
    if processes is None and queue:  # the first one shows how much memory the others need
        before = _available_mb()
        with ProcessPoolExecutor(1, context, _end_with_the_command) as pool:
            first = _submitted(pool, _measured, run, queue.pop(0), threads or cores)
            value, needed = _result(first, 1, stage)
        yield value
        processes = _as_many_as_fit(needed, before, max(1, cores // (threads or 1)))
    threads = threads or max(1, cores // (processes or 1))
    with ProcessPoolExecutor(
        processes or 1, context, _end_with_the_command, max_tasks_per_child=1
    ) as pool:
        running = [_submitted(pool, _measured, run, job, threads) for job in queue]
        try:
            for future in as_completed(running):
                yield _result(future, processes or 1, stage, jobs[0][0])[0]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def in_own_process(stage: str, function: Callable[..., Value], *arguments: Any) -> Value:
    """What a function returns in a process that ends with it.

    Args:
        stage: what to call it where memory does not suffice, such as "measuring".
        function: to be called.
        arguments: its own.

    Raises:
        OutOfMemoryError: it ran out of memory, or the system ended it.
    """
    with ProcessPoolExecutor(1, _warm_context(), _end_with_the_command) as pool:
        return _result(_submitted(pool, function, *arguments), 1, stage)


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
    value = run(*job, threads)
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


def _end_with_the_command() -> None:
    """In a run's process: end as soon as the command's is gone, however that ended."""
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
