"""The one training loop: every method goes through here.

The batches of an epoch are cut into windows of ``accumulate``, of which the last may have fewer. A
window is one update, by the mean gradient over its images, whatever the batches and the processes
that these came in. The schedule ends with the last window of the last epoch.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gpsseg.config.finetune import SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.console import progress, say
from gpsseg.engine.epoch import all_steps, train_epoch, windows
from gpsseg.engine.history import History
from gpsseg.engine.learner import NOTHING, Learner
from gpsseg.engine.loss import batch_loss
from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.outlook import left, with_outlook
from gpsseg.engine.prompts import drawn_for_each, from_truth
from gpsseg.engine.refresh import Refresh, Refreshing
from gpsseg.engine.state import save_state
from gpsseg.engine.stops import Deadline, Stops
from gpsseg.faults import DiskError
from gpsseg.files import is_main_process, log_to
from gpsseg.reading import read_log
from gpsseg.scope import reason


def _keep_nothing(history: History) -> None:
    """What is done with weights that nobody asked to keep."""


def train(
    model: nn.Module,
    batches_of: Callable[[range], DataLoader[Any]],
    validate: Callable[[], float],
    rates: Mapping[str, float],
    config: SettledConfig,
    machine: Machine,
    run: Path,
    keep: Callable[[History], None] = _keep_nothing,
    back: Collection[str] = (),
    deadline: Deadline | None = None,
    on_line: Callable[[Mapping[str, Any]], None] | None = None,
    first: Mapping[str, Tensor] = NOTHING,
    refresh: Refresh | None = None,
) -> History:
    """Train what ``rates`` names with AdamW and a cosine schedule; keep the best epoch's weights.

    Args:
        model: prepared; ends with the weights of the best epoch, or the base's if there is none.
        batches_of: epochs (from 1) -> the loader of one after the other, each of as many batches,
            and of as many in every process.
        validate: scores the model as it is: mDice on the validation images, in [0, 1]; all
            processes come to it.
        rates: parameter name -> peak learning rate.
        config: epochs, windows, validation, weight decay, warm-up, and whether to resume.
        machine: where to compute.
        run: folder for log.jsonl (a line a step and an epoch) and state/ (the resume point), which
            the main process writes.
        keep: is called with the history so far however the training ends, also by Ctrl-C.
        back: names of parameters that decay to the value that they have now, and not to 0; a copy
            of them is kept.
        deadline: by when the run must be scored, if there is a limit of time.
        on_line: sees every line of the log, in the main process, if anybody does.
        first: parameter name -> value that it starts from, of all that train; what decays ``back``
            still goes to the model's own. Empty where these are the start.
        refresh: when and how to select anew, if at all; ``rates`` and ``back`` then name the values
            of every weight that may be selected from.

    Raises:
        TrainingDivergedError: the loss or a weight became NaN or infinite.
    """
    steps = len(batches_of(range(1, 2)))
    log, history, updates = _log(run, on_line), History(), math.ceil(steps / config.accumulate)
    settings = rates, back, config, machine, updates, first
    learner = Refreshing(model, refresh, log, *settings) if refresh else Learner(model, *settings)
    if config.resume:
        history = _take_up(RunFolder(config.resume), learner, log)
        learner.schedule.go_to(len(history.epochs) * updates)
    learner.prepare()
    epochs = range(len(history.epochs) + 1, 0 if history.ended else config.epochs + 1)
    planned = deadline is not None and not config.resume  # then it was said
    batches = _shown(batches_of, epochs, steps, planned)
    stops = Stops(config.patience, deadline)
    loop = _Loop(config, machine, log, batches, steps, learner, validate, stops)
    try:
        for epoch in epochs:
            history = loop.trained_further(history, epoch)
            if history.best_epoch == epoch:
                learner.note_best()
            tensors, own = learner.more()
            progress_made = {"history": asdict(history), "updates": learner.schedule.done, **own}
            if is_main_process():
                state = learner.trained, learner.best, learner.optimizer, progress_made, tensors
                save_state(RunFolder(run).resume_point, *state)
            _tell(history, config.epochs, log)  # what is told can be gone on with
            if history.ended:
                break
        else:
            next(batches, None)  # the bar's end
    except BaseException as error:
        _log_stop(error, log)
        raise
    finally:
        batches.close()
        learner.restore_best()
        keep(history)
    return history


@dataclass(frozen=True)
class _Loop:
    """What the epochs of a training share."""

    config: SettledConfig
    machine: Machine
    log: Callable[[Mapping[str, Any]], None]
    batches: Iterator[tuple[int, Any, float]]
    steps: int
    learner: Learner
    validate: Callable[[], float]
    stops: Stops

    def trained_further(self, history: History, epoch: int) -> History:
        """Train an epoch and validate it, where it is due or the last one: the history with it."""
        config, stops = self.config, self.stops
        started, loss_of = time.perf_counter(), _loss_of(epoch, config, self.machine)
        batches = windows(itertools.islice(self.batches, self.steps), self.steps, config.accumulate)
        row = train_epoch(self.learner, epoch, batches, loss_of, self.machine, self.log)
        self.learner.refuse_not_finite(epoch, self.steps)
        last = epoch == config.epochs
        due = last or epoch % config.validate_every == 0
        late = not last and stops.late(time.perf_counter() - started, due)
        if due or late:
            row["val_dice"] = stops.validated(self.validate)
        seconds = time.perf_counter() - started
        history = history.add({**row, "lr": self.learner.schedule.rate, "seconds": seconds})
        return replace(history, ended="" if last else stops.why(history, late))


def _shown(
    batches_of: Callable[[range], DataLoader[Any]], epochs: range, steps: int, planned: bool
) -> Generator[tuple[int, Any, float], None, None]:
    """All batches behind a progress bar, which says how long they take, unless that was said."""
    shown = progress(all_steps(batches_of, epochs, steps), "training", len(epochs) * steps)
    with contextlib.closing(shown):
        yield from shown if planned else with_outlook(shown, len(epochs), steps)


def _take_up(run: RunFolder, learner: Learner, log: Callable[[Mapping[str, Any]], None]) -> History:
    """Put weights and optimiser to where a run stopped; its history.

    An epoch whose row was not written, as the run was stopped just then, is logged now.
    """
    history = History(**learner.load(run.resume_point)["history"])
    logged = {row.get("epoch") for row in read_log(run.log) if row.get("event") == "epoch"}
    for row in history.epochs:
        if row["epoch"] not in logged:
            log({"event": "epoch", **row})
    return history


def _loss_of(
    epoch: int, config: SettledConfig, machine: Machine
) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss of an epoch's batches; what is drawn in the epoch is drawn alike in every run."""
    seed = config.seed * 100_003 + epoch
    torch.manual_seed(seed + (machine.part[0] << 40))  # of dropout, if there is any
    return batch_loss(
        machine, drawn_for_each(from_truth(config.prompt, varied=True), seed), config.loss
    )


def _log_stop(error: BaseException, log: Callable[[Mapping[str, Any]], None]) -> None:
    with contextlib.suppress(DiskError):  # a full disk would hide what stopped the training
        log({"event": "stopped", "why": reason(error)})


def _tell(history: History, epochs: int, log: Callable[[Mapping[str, Any]], None]) -> None:
    """Log an epoch, and say how it went, and what is left."""
    row = history.epochs[-1]
    log({"event": "epoch", **row})
    said = f", val mDice {row['val_dice']:.3f}" if "val_dice" in row else ""
    say(f"epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.3f}{said}{left(history, epochs)}")
    if history.ended:
        log({"event": "ended", "why": history.ended})


def _log(
    run: Path, on_line: Callable[[Mapping[str, Any]], None] | None
) -> Callable[[Mapping[str, Any]], None]:
    """What takes the log's lines: its file, and in the main process whoever watches."""
    write = log_to(RunFolder(run).log)

    def log(line: Mapping[str, Any]) -> None:
        write(line)
        if on_line is not None and is_main_process():
            on_line(line)

    return log
