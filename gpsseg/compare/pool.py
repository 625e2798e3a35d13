"""A comparison's runs, several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from gpsseg.compare.cells import run_cell
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.written import CellFile
from gpsseg.console import NETWORKS
from gpsseg.faults import is_out_of_memory
from gpsseg.memory import OutOfMemoryError, free_memory, settings_of
from gpsseg.reading import read_object

Value = TypeVar("Value")
Job = tuple[SettledConfig, RunFolder]


def run_side_by_side(jobs: Sequence[Job], test: bool, processes: int | None) -> Iterator[RunFolder]:
    """Run cells in processes of their own, and yield their folders as they finish."""
    context, cores, threads = _warm_context(), os.cpu_count() or 1, _threads_asked_for()
    queue = list(jobs)
    if processes is None and queue:  # the first one shows how much memory the others need
        before = _available_mb()
        with ProcessPoolExecutor(1, context, _end_with_the_comparison) as pool:
            run = _result(pool.submit(run_cell, *queue.pop(0), test, threads or cores), 1)
        yield run
        processes = _as_many_as_fit(_memory_mb(run), before, max(1, cores // (threads or 1)))
    threads = threads or max(1, cores // (processes or 1))
    with ProcessPoolExecutor(
        processes or 1, context, _end_with_the_comparison, max_tasks_per_child=1
    ) as pool:
        running = [pool.submit(run_cell, *job, test, threads) for job in queue]
        try:
            for future in as_completed(running):
                yield _result(future, processes or 1, jobs[0][0])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def in_own_process(function: Callable[..., Value], *arguments: Any) -> Value:
    """What a function returns in a process that ends with it."""
    with ProcessPoolExecutor(1, _warm_context(), _end_with_the_comparison) as pool:
        return pool.submit(function, *arguments).result()


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


def _end_with_the_comparison() -> None:
    """In a run's process: end as soon as the comparison's is gone, however that ended."""
    comparison = multiprocessing.parent_process()
    assert comparison

    def wait() -> None:
        comparison.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _result(future: Any, processes: int, config: SettledConfig | None = None) -> RunFolder:
    """A finished run's folder.

    Raises:
        OutOfMemoryError: it ran out of memory, or the system ended it.
    """
    try:
        run: RunFolder = future.result()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        settings = {**settings_of(config), "processes": processes}
        if isinstance(error, OutOfMemoryError):
            raise OutOfMemoryError(error.stage, settings | error.settings, error.ended) from None
        ended = "processes" if isinstance(error, BrokenProcessPool) else ""
        raise OutOfMemoryError("comparing", settings, ended) from None
    return run


def _memory_mb(run: RunFolder) -> float:
    return float(read_object(run.cell, CellFile)["memory_mb"])


def _available_mb() -> float:
    return free_memory()[0] / 2**20


def _as_many_as_fit(needed_mb: float, available_mb: float, cores: int) -> int:
    """How many runs go side by side: four fifths of the memory, and a core each."""
    return max(1, min(cores, int(0.8 * available_mb / needed_mb)))
