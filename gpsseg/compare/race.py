"""Trials of learning rates, and the runs at those that were picked."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from gpsseg.backbones import Facts
from gpsseg.compare.cells import Cell, run_cell, run_of, settings_of
from gpsseg.compare.rows import scores_of
from gpsseg.config.compare import CompareConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.written import CellFile
from gpsseg.console import progress, say
from gpsseg.device import has_gpu
from gpsseg.reading import read_object
from gpsseg.runs.pool import Job, run_side_by_side

Value = TypeVar("Value")


def pick(config: CompareConfig, trials: Sequence[Cell]) -> Cell:
    """The first trial at the best validation mDice over seeds; of equals, at the smallest rate."""
    by_factor: dict[float, list[float]] = {}
    for cell in trials:
        by_factor.setdefault(cell.factor, []).append(_val_dice(run_of(cell, config)))
    best = max(by_factor, key=lambda factor: (statistics.mean(by_factor[factor]), -factor))
    return next(cell for cell in trials if cell.factor == best)


def run_cells(config: CompareConfig, facts: Facts, cells: Sequence[Cell], test: bool) -> None:
    """Run what is not finished, several at a time, behind a progress bar."""
    runs = {cell: run_of(cell, config) for cell in cells}
    done = {cell for cell, run in runs.items() if (run.metrics if test else run.cell).is_file()}
    todo = [cell for cell in cells if cell not in done]
    kept = len(cells) - len(todo)
    what = "testing the picked rates" if test else "trials of learning rates"
    if kept:
        say(f"{what}: {kept} of {len(cells)} are finished already and kept")
    jobs = [(settings_of(cell, config, facts), runs[cell], test) for cell in todo]
    for run in run_jobs(run_cell, jobs, config, what):
        say(_told(run, test))


def run_jobs(
    function: Callable[..., Value], jobs: Sequence[Job], config: CompareConfig, what: str
) -> Iterator[Value]:
    """Do jobs, several at a time, behind a progress bar, and yield what each of them returns."""
    if not jobs:
        return
    processes = config.processes or (1 if has_gpu(config.device) else None)
    finished = run_side_by_side(function, jobs, processes, "comparing")
    yield from progress(finished, what, len(jobs))


def _val_dice(run: RunFolder) -> float:
    return float(read_object(run.cell, CellFile)["val_dice"])


def _told(run: RunFolder, test: bool) -> str:
    cell = read_object(run.cell, CellFile)
    text = f"{run.path.name}: val mDice {cell['val_dice']:.3f}"
    if test:
        text += f", test mDice {scores_of(run).dice.mean():.3f}"
    text += " (diverged)" if cell["diverged"] else ""
    text += f" (ended early, after epoch {cell.get('epochs')})" if cell.get("ended_early") else ""
    return text + (" (UNTRAINED)" if cell.get("best_epoch") == 0 else "")
