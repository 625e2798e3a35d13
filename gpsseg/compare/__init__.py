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
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.compare.cells import Cell, run_cell, settings_of
from gpsseg.config.compare import FREE, CompareConfig, uses
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.methods import OF_SOME
from gpsseg.config.resuming import OWN_DATA, PLACES, spelled
from gpsseg.console import progress, say, working
from gpsseg.errors import UserError
from gpsseg.files import make_folder, read_object, write_json
from gpsseg.veil import clean, scoped

if TYPE_CHECKING:
    from gpsseg.backbones import Facts

SETTINGS = "settings.json"
MOVABLE = ("data_root", *OWN_DATA)  # where the images lie
SHARES = {"shares": "images"}  # of the split; a comparison that does not say has shares of groups
WARM = (
    "gpsseg.engine.train",
    "gpsseg.backbones.registry",
    "gpsseg.data.loader",
    "gpsseg.evaluators",
)


@scoped
def compare(config: CompareConfig) -> dict[str, Any]:
    """Run what is missing, write compare.json, .md, .csv and .html, and return the first.

    Raises:
        UserError: bad input; or the folder holds a comparison with other settings.
    """
    from gpsseg.backbones import load_backbone
    from gpsseg.compare.images import check_images
    from gpsseg.compare.rows import rank
    from gpsseg.data.cards.own import card_of
    from gpsseg.data.splits.split import brings_validation
    from gpsseg.engine.machine import require_device
    from gpsseg.report.compare import say_rows, write_ranking
    from gpsseg.runs.leaks import check_runs
    from gpsseg.runs.method import refuse_without_effect
    from gpsseg.select import refuse_val_share

    require_device(config.device)
    with working("loading the network"):
        backbone = load_backbone(config.backbone, config.prompt, weights=config.weights)
    facts = backbone.facts
    facts.require_size(*(config.image_size or facts.image_size,) * 2)
    for method in config.methods:
        refuse_without_effect(backbone, FinetuneConfig(**config.settings_of(method)))
    card = card_of(config)
    refuse_val_share(card, config)  # before anything is written
    brings_validation(card, config.data_root, config.split)  # names a split that is there
    open_comparison(config)
    if config.baseline not in config.methods:
        say(f"There are no paired tests: --baseline {config.baseline} is none of --methods.")
    config = split_as_begun(config)
    groups = list(itertools.product(config.train_sizes or (None,), config.methods))
    settings = list(itertools.product(config.lr_factors, config.seeds[: config.trial_seeds]))
    trials = {group: [Cell(group[1], group[0], f, s) for f, s in settings] for group in groups}
    tried = [cell for cells in trials.values() for cell in cells]
    check_images(config, tried)
    run_cells(config, facts, tried, test=False)
    picked = {group: pick(config, cells) for group, cells in trials.items()}
    chosen = [
        dataclasses.replace(cell, seed=seed) for seed in config.seeds for cell in picked.values()
    ]
    run_cells(config, facts, chosen, test=True)
    runs = [config.output / "cells" / cell.name for cell in chosen]
    with working("comparing scores"):
        ranked = rank(config, trials, picked)
    result = {**ranked, "leaks": check_runs(runs, config)}
    with working("writing the page"):
        write_ranking(config.output, result)
    say_rows(result["rows"])
    say(f"written to {config.output / 'compare.html'}", style="bold")
    return result


def open_comparison(config: CompareConfig) -> None:
    """Create the folder, or take up the one that is there.

    Raises:
        UserError: it holds something else, or was begun with other settings.
    """
    from gpsseg.data.anonymous import anonymous_card, draw_veil, save_salt
    from gpsseg.data.cards.own import card_of

    fixed = fixed_settings(config)
    path = config.output / SETTINGS
    salt = _salt_of(config, path)
    draw_veil(salt, config)
    if salt is not None:
        anonymous_card(card_of(config), salt)  # hides what it tells
    fixed = clean(fixed)
    if path.is_file():
        before = read_object(path)
        changed = [name for name in fixed if not _same(name, before, fixed)]
        if set(changed) <= set(MOVABLE) and changed and _same_images(config, salt):
            write_json(path, before | {name: fixed[name] for name in MOVABLE})
        elif changed:  # names are hashed on one side only, where that itself has changed
            name = "anonymous_ids" if "anonymous_ids" in changed else changed[0]
            raise UserError(
                f"{config.output} was begun with {name} {before.get(name)}, got {fixed[name]}. "
                "Go on with the same options, or name another --output."
            )
        elif set(fixed) - set(before):  # of methods that come new to it
            write_json(path, fixed | before)
        return
    if config.output.exists() and (not config.output.is_dir() or any(config.output.iterdir())):
        raise UserError(
            f"{config.output} already exists and is no comparison. Name another --output."
        )
    make_folder(config.output)
    if salt is not None:
        save_salt(config.output, salt, {"command": sys.argv})
    write_json(path, {**fixed, **SHARES})


def _salt_of(config: CompareConfig, settings: Path) -> str | None:
    """The salt of all runs of a nameless comparison, so that their images are paired."""
    from gpsseg.data.anonymous import load_salt, new_salt

    if not config.anonymous_ids:
        return None
    begun = settings.is_file() and read_object(settings).get("anonymous_ids") == "True"
    return load_salt(config.output) if begun else new_salt()


def fixed_settings(config: CompareConfig) -> dict[str, str]:
    """The settings that all runs of a comparison share, in one spelling; places as whole paths."""
    unused = {name for name in OF_SOME if hasattr(config, name) and not uses(config, name)}
    settings = {
        name: spelled(value) if name in PLACES else str(value)
        for name, value in dataclasses.asdict(config).items()
        if name not in FREE and name not in unused
    }
    if not (config.data_root or config.images or config.table) and os.environ.get("GPSSEG_DATA"):
        settings["data_root"] = spelled(Path(os.environ["GPSSEG_DATA"]))
    return settings


def _same(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    there = before.get(name, now[name])
    return there == now[name] or (name in PLACES and spelled(there) == now[name])


def _same_images(config: CompareConfig, salt: str | None) -> bool:
    """Whether the images of the comparison's first run are there."""
    from gpsseg.data.cards.own import card_of
    from gpsseg.runs.kept import kept_split

    for path in sorted(config.output.glob("cells/*/split.json")):
        try:
            kept_split(path.parent, card_of(config), config.data_root, salt)
        except UserError:
            return False
        return True
    return True  # nothing was begun


def split_as_begun(config: CompareConfig) -> CompareConfig:
    """The settings with the split of the comparison's runs, if version 0.1 began it.

    It took shares of groups where now they are of images; runs that are added must be tested on
    the images of those that are there.
    """
    from gpsseg.data.cards.own import card_of
    from gpsseg.data.splits.carve import BY_GROUPS
    from gpsseg.data.splits.files import is_split_file

    settings = read_object(config.output / SETTINGS)
    if settings.get("shares") == SHARES["shares"] or is_split_file(config.split or ""):
        return config
    made = sorted((config.output / "cells").glob("*/split.json"))
    if not made:
        write_json(config.output / SETTINGS, {**settings, **SHARES})
        return config
    name = read_object(made[0], name=str)["name"]
    if name not in {str(rule["name"]) for rule in card_of(config).splits}:
        return config  # of a file that lists its images, which no share changes
    return dataclasses.replace(config, split=f"{name}{BY_GROUPS}")


def pick(config: CompareConfig, trials: Sequence[Cell]) -> Cell:
    """The first trial at the best validation mDice over seeds; of equals, at the smallest rate."""
    by_factor: dict[float, list[float]] = {}
    for cell in trials:
        by_factor.setdefault(cell.factor, []).append(read_cell(config, cell)["val_dice"])
    best = max(by_factor, key=lambda factor: (statistics.mean(by_factor[factor]), -factor))
    return next(cell for cell in trials if cell.factor == best)


def read_cell(config: CompareConfig, cell: Cell) -> dict[str, Any]:
    """What a finished cell's cell.json holds."""
    path = config.output / "cells" / cell.name / "cell.json"
    return read_object(path, val_dice=(int, float))


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
    from gpsseg.compare.rows import scores_of

    cell = read_object(run / "cell.json", val_dice=(int, float), diverged=bool)
    text = f"{run.name}: val mDice {cell['val_dice']:.3f}"
    if test:
        text += f", test mDice {scores_of(run).dice.mean():.3f}"
    text += " (diverged)" if cell["diverged"] else ""
    return text + (" (UNTRAINED)" if cell.get("best_epoch") == 0 else "")


def _run_side_by_side(
    jobs: Sequence[FinetuneConfig], test: bool, processes: int | None
) -> Iterator[Path]:
    """Run cells in processes of their own, and yield their folders as they finish."""
    context, cores, threads = _warm_context(), os.cpu_count() or 1, _threads_asked_for()
    queue = list(jobs)
    if processes is None and queue:  # the first one shows how much memory the others need
        before = _available_mb()
        with ProcessPoolExecutor(1, context, _end_with_the_comparison) as pool:
            run = _result(pool.submit(run_cell, queue.pop(0), test, threads or cores))
        yield run
        processes = _as_many_as_fit(_memory_mb(run), before, max(1, cores // (threads or 1)))
    threads = threads or max(1, cores // (processes or 1))
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


def _threads_asked_for() -> int | None:
    """How many threads each run has by OMP_NUM_THREADS; None where it is not set."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) else None


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


def _memory_mb(run: Path) -> float:
    return float(read_object(run / "cell.json", memory_mb=(int, float))["memory_mb"])


def _available_mb() -> float:
    import psutil

    return float(psutil.virtual_memory().available) / 2**20


def _as_many_as_fit(needed_mb: float, available_mb: float, cores: int) -> int:
    """How many runs go side by side: four fifths of the memory, and a core each."""
    import torch

    if torch.cuda.is_available():
        return 1
    return max(1, min(cores, int(0.8 * available_mb / needed_mb)))
