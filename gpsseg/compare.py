"""`python -m gpsseg.compare`: ways to tune side by side, each at the learning rate that suits it.

Trials with the first seeds pick each method's learning rate on the validation images; then the
other seeds run, and only the runs at the picked rate are tested. Every run is a folder that stays.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import statistics
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.compare import FREE, CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.console import progress, run_command, say
from gpsseg.errors import UserError
from gpsseg.files import make_folder, read_json, write_json
from gpsseg.grid import Cell, parse_method, run_cell, settings_of

if TYPE_CHECKING:
    from gpsseg.backbones import Facts

SETTINGS = "settings.json"
SHARES = {"shares": "images"}  # of the split; a comparison that does not say has shares of groups
WARM = ("gpsseg.engine", "gpsseg.backbones.registry", "gpsseg.data.loader", "gpsseg.evaluators")


def compare(config: CompareConfig) -> dict[str, Any]:
    """Run what is missing, write compare.json, .md, .csv and .html, and return the first.

    Raises:
        UserError: bad input; or the folder holds a comparison with other settings.
    """
    from gpsseg.backbones import load_backbone
    from gpsseg.leakage import check_runs
    from gpsseg.ranking import rank
    from gpsseg.report.ranking import say_rows, write_ranking

    for method in config.methods:
        parse_method(method)
    facts = load_backbone(config.backbone, config.prompt, weights=config.weights).facts
    facts.require_size(*(config.image_size or facts.image_size,) * 2)
    open_comparison(config)
    config = split_as_begun(config)
    groups = list(itertools.product(config.train_sizes or (None,), config.methods))
    settings = list(itertools.product(config.lr_factors, config.seeds[: config.trial_seeds]))
    trials = {group: [Cell(group[1], group[0], f, s) for f, s in settings] for group in groups}
    run_cells(config, facts, [cell for cells in trials.values() for cell in cells], test=False)
    picked = {group: pick(config, cells) for group, cells in trials.items()}
    chosen = [
        dataclasses.replace(cell, seed=seed) for seed in config.seeds for cell in picked.values()
    ]
    run_cells(config, facts, chosen, test=True)
    runs = [config.output / "cells" / cell.name for cell in chosen]
    result = {**rank(config, trials, picked), "leaks": check_runs(runs)}
    write_ranking(config.output, result)
    say_rows(result["rows"])
    say(f"written to {config.output / 'compare.html'}", style="bold")
    return result


def open_comparison(config: CompareConfig) -> None:
    """Create the folder, or take up the one that is there.

    Raises:
        UserError: it holds something else, or was begun with other settings.
    """
    fixed = {
        name: str(value) for name, value in dataclasses.asdict(config).items() if name not in FREE
    }
    path = config.output / SETTINGS
    if path.is_file():
        before = read_json(path)
        changed = [name for name in fixed if before.get(name, fixed[name]) != fixed[name]]
        if changed:
            name = changed[0]
            raise UserError(
                f"{config.output} was begun with {name} {before.get(name)}, got {fixed[name]}. "
                "Go on with the same options, or name another --output."
            )
        return
    if config.output.exists() and (not config.output.is_dir() or any(config.output.iterdir())):
        raise UserError(
            f"{config.output} already exists and is no comparison. Name another --output."
        )
    write_json(make_folder(config.output) / SETTINGS, {**fixed, **SHARES})


def split_as_begun(config: CompareConfig) -> CompareConfig:
    """The settings with the split of the comparison's runs, if version 0.1 began it.

    It took shares of groups where now they are of images; runs that are added must be tested on
    the images of those that are there.
    """
    from gpsseg.data.carve import BY_GROUPS
    from gpsseg.data.splits import is_split_file

    settings = read_json(config.output / SETTINGS)
    if settings.get("shares") == SHARES["shares"] or is_split_file(config.split or ""):
        return config
    made = sorted((config.output / "cells").glob("*/split.json"))
    if not made:
        write_json(config.output / SETTINGS, {**settings, **SHARES})
        return config
    return dataclasses.replace(config, split=f"{read_json(made[0])['name']}{BY_GROUPS}")


def pick(config: CompareConfig, trials: Sequence[Cell]) -> Cell:
    """The first trial at the best validation mDice over seeds; of equals, at the smallest rate."""
    by_factor: dict[float, list[float]] = {}
    for cell in trials:
        by_factor.setdefault(cell.factor, []).append(read_cell(config, cell)["val_dice"])
    best = max(by_factor, key=lambda factor: (statistics.mean(by_factor[factor]), -factor))
    return next(cell for cell in trials if cell.factor == best)


def read_cell(config: CompareConfig, cell: Cell) -> dict[str, Any]:
    """What a finished cell's cell.json holds."""
    content: dict[str, Any] = read_json(config.output / "cells" / cell.name / "cell.json")
    return content


def run_cells(config: CompareConfig, facts: Facts, cells: Sequence[Cell], test: bool) -> None:
    """Run what is not finished, several at a time, behind a progress bar."""
    folder, ending = config.output / "cells", "metrics.json" if test else "cell.json"
    todo = [cell for cell in cells if not (folder / cell.name / ending).is_file()]
    kept = len(cells) - len(todo)
    what = "testing the picked rates" if test else "trials of learning rates"
    if kept:
        say(f"{what}: {kept} of {len(cells)} are finished already and kept")
    jobs = [settings_of(cell, config, facts) for cell in todo]
    finished = _run_side_by_side(jobs, test, config.processes)
    for run in progress(finished, what, len(jobs)):
        say(_told(run, test))


def _told(run: Path, test: bool) -> str:
    from gpsseg.ranking import scores_of

    cell = read_json(run / "cell.json")
    text = f"{run.name}: val mDice {cell['val_dice']:.3f}"
    if test:
        text += f", test mDice {scores_of(run)['dice'].mean():.3f}"
    return text + (" (diverged)" if cell["diverged"] else "")


def _run_side_by_side(
    jobs: Sequence[FinetuneConfig], test: bool, processes: int | None
) -> Iterator[Path]:
    """Run cells in processes of their own, and yield their folders as they finish."""
    context, cores = _warm_context(), os.cpu_count() or 1
    queue = list(jobs)
    if processes is None and queue:  # the first one shows how much memory the others need
        before = _available_mb()
        with ProcessPoolExecutor(1, context, _end_with_the_comparison) as pool:
            run = _result(pool.submit(run_cell, queue.pop(0), test, cores))
        yield run
        processes = _as_many_as_fit(read_json(run / "cell.json")["memory_mb"], before, cores)
    threads = max(1, cores // (processes or 1))
    with ProcessPoolExecutor(
        processes or 1, context, _end_with_the_comparison, max_tasks_per_child=1
    ) as pool:
        running = [pool.submit(run_cell, job, test, threads) for job in queue]
        try:
            for future in as_completed(running):
                yield _result(future)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _warm_context() -> Any:
    """Processes that start with the libraries imported, where the system can fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(WARM))
    return context


def _end_with_the_comparison() -> None:
    """In a run's process: end as soon as the comparison's is gone, however that ended."""
    comparison = multiprocessing.parent_process()
    assert comparison

    def wait() -> None:
        comparison.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _result(future: Any) -> Path:
    try:
        run: Path = future.result()
    except BrokenProcessPool:
        raise UserError(
            "A run was ended by the system, most likely for want of memory. Start the same command "
            "again with --processes 1: what is finished is kept."
        ) from None
    return run


def _available_mb() -> float:
    import psutil

    return float(psutil.virtual_memory().available) / 2**20


def _as_many_as_fit(needed_mb: float, available_mb: float, cores: int) -> int:
    """How many runs go side by side: four fifths of the memory, and a core each."""
    import torch

    if torch.cuda.is_available():
        return 1
    return max(1, min(cores, int(0.8 * available_mb / needed_mb)))


if __name__ == "__main__":
    run_command(compare, CompareConfig, "compare")
