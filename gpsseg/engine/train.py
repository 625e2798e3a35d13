"""The one training loop: every method goes through here."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.console import progress, say
from gpsseg.data.loader import LENT
from gpsseg.engine.loss import batch_loss
from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prepare import tuning_mode
from gpsseg.engine.prompts import drawn_for_each, from_truth
from gpsseg.engine.state import load_state, save_state
from gpsseg.errors import TrainingDivergedError
from gpsseg.files import log_to
from gpsseg.veil import reason

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class History:
    """How a training went.

    Attributes:
        epochs: one dict an epoch: epoch, loss (mean over the images of all processes), updates
            (how often the optimiser changed the weights), val_dice (where it was validated), lr,
            seconds (with validation), waiting (share of the time of its steps, from asking for the
            first batch on, that went into waiting for images), step_seconds (of a step, without
            that).
        best_epoch: the epoch whose weights the model holds in the end; 0 before the first.
        best_dice: its mDice on the validation images.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_dice: float = -1.0

    def add(self, row: dict[str, float]) -> History:
        """Return the history with one more epoch."""
        dice = row.get("val_dice", -1.0)
        if dice > self.best_dice:
            return History([*self.epochs, row], int(row["epoch"]), dice)
        return History([*self.epochs, row], self.best_epoch, self.best_dice)


def train(
    model: nn.Module,
    batches_of: Callable[[int], DataLoader[Any]],
    validate: Callable[[], float],
    rates: Mapping[str, float],
    config: FinetuneConfig,
    machine: Machine,
    run: Path,
    keep: Callable[[History], None] | None = None,
) -> History:
    """Train what ``rates`` names with AdamW and a cosine schedule; keep the best epoch's weights.

    The batches of an epoch are cut into windows of ``config.accumulate``, of which the last may
    have fewer. A window is one update, by the mean gradient over its images, whatever the batches
    and the processes that these came in. The schedule ends with the last window of the last epoch.

    Args:
        model: prepared: only the parameters named in ``rates`` require gradients.
        batches_of: epoch (from 1) -> that epoch's loader; of several processes each gets its
            part of the images, and all get as many batches (see ``gpsseg.data.loader.Dealt``).
        validate: scores the model as it is: mDice on the validation images, in [0, 1].
        rates: parameter name -> peak learning rate.
        config: epochs, batches of a window, how often to validate, weight decay, warm-up, whether
            to resume.
        machine: where to compute.
        run: folder for log.jsonl (a line a step and an epoch) and state/ (the resume point).
        keep: is called with the history so far however the training ends, also by Ctrl-C, when the
            model holds the weights to keep.

    Raises:
        TrainingDivergedError: the loss or a weight became NaN or infinite.

    However it ends, also by Ctrl-C, the model holds the weights of the best epoch that was
    validated, or the base's if none was.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(_by_rate(trained, rates), weight_decay=config.weight_decay)
    steps = len(batches_of(1))
    updates = math.ceil(steps / config.accumulate)  # of an epoch
    factor = _cosine(config.epochs * updates, config.warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    log, state = log_to(RunFolder(run).log), RunFolder(run).resume_point
    best, history = _copy(trained), History()
    if config.resume:
        best, progress_made = load_state(RunFolder(config.resume).resume_point, trained, optimizer)
        history = History(**progress_made["history"])
        schedule.last_epoch = len(history.epochs) * updates
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor(schedule.last_epoch)
    ready, stepper = machine.accelerator.prepare(model, optimizer)
    epochs = range(len(history.epochs) + 1, config.epochs + 1)
    shown = progress(_all_steps(batches_of, epochs), "training", len(epochs) * steps)
    try:
        for epoch in epochs:
            started = time.perf_counter()
            tuning_mode(model)
            seed = config.seed * 100_003 + epoch
            torch.manual_seed(seed + (machine.part[0] << 40))  # of dropout, if there is any
            prompter = drawn_for_each(from_truth(config.prompt, varied=True), seed)
            loss_of = batch_loss(machine, prompter)
            batches = _windows(itertools.islice(shown, steps), steps, config.accumulate)
            row = _train_epoch(ready, epoch, batches, loss_of, stepper, schedule, machine, log)
            for name, parameter in trained.items():
                if not bool(torch.isfinite(parameter).all()):
                    raise _diverged(f"{name} is not finite", epoch, steps)
            row["lr"] = float(max(schedule.get_last_lr()))
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                row["val_dice"] = _validated(validate, machine)
            row["seconds"] = time.perf_counter() - started
            history = history.add(row)
            if history.best_epoch == epoch:
                best = _copy(trained)
            log({"event": "epoch", **row})
            said = f", val mDice {row['val_dice']:.3f}" if "val_dice" in row else ""
            say(f"epoch {epoch}/{config.epochs}: loss {row['loss']:.3f}{said}")
            progress_made = {"history": asdict(history), "updates": schedule.last_epoch}
            save_state(state, trained, best, optimizer, progress_made)
        next(shown, None)  # the bar's end
    except BaseException as error:
        with contextlib.suppress(OSError):  # a full disk would hide what stopped the training
            log({"event": "stopped", "why": reason(error)})
        raise
    finally:
        shown.close()
        _restore(trained, best)
        if keep:
            keep(history)
    return history


def _by_rate(
    trained: Mapping[str, nn.Parameter], rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One optimiser group a rate: on CUDA each group's update is a few kernels, however large."""
    groups: dict[float, dict[str, Any]] = {}
    for name, parameter in trained.items():
        group = groups.setdefault(rates[name], {"params": [], "lr": rates[name]})
        group["params"].append(parameter)
    return list(groups.values())


@dataclass(frozen=True)
class _Step:
    """One batch of an epoch.

    Attributes:
        number: from 1.
        batch: of this process.
        waited: seconds waited for it.
        opens, closes: whether it is the first, and the last, of its window.
    """

    number: int
    batch: Any
    waited: float
    opens: bool
    closes: bool


def _windows(
    batches: Iterable[tuple[int, Any, float]], steps: int, accumulate: int
) -> Iterator[_Step]:
    """Cut an epoch of ``steps`` batches into windows of ``accumulate``, and a rest."""
    for number, batch, waited in batches:
        opens = (number - 1) % accumulate == 0
        yield _Step(number, batch, waited, opens, number % accumulate == 0 or number == steps)


def _train_epoch(
    model: nn.Module,
    epoch: int,
    batches: Iterable[_Step],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    optimizer: Any,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    machine: Machine,
    log: Callable[[Mapping[str, Any]], None],
) -> dict[str, float]:
    """Take one epoch's steps. Returns their part of the epoch's row, see ``History``.

    Gradients add up in units of the window's first step, whose number of images is known before
    its backward pass; where a window is one step, nothing needs to be scaled.
    """
    losses: list[float] = []
    counts: list[int] = []
    unit, seen, updates, waiting, started = 0, 0, 0, 0.0, time.perf_counter()
    for step in batches:
        waiting += step.waited
        alone = contextlib.nullcontext() if step.closes else machine.accelerator.no_sync(model)
        with alone:
            loss = loss_of(model, step.batch)
            own = 0 if LENT in step.batch else len(step.batch["image"])
            mean, images = machine.mean(loss.item(), own)
            if not math.isfinite(mean):
                raise _diverged(f"the loss is {mean}", epoch, step.number)
            unit, seen = (images, images) if step.opens else (unit, seen + images)
            # several processes' gradients are averaged, each counting as much as any other
            machine.accelerator.backward(loss * (own * machine.part[1] / unit))
        losses.append(mean)
        counts.append(images)
        if step.closes:
            _scale_gradients(optimizer, unit / seen)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            updates += 1
        log({"event": "step", "epoch": epoch, "step": step.number, "loss": mean})
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch,
        "loss": sum(map(operator.mul, losses, counts)) / sum(counts),
        "updates": updates,
        "waiting": waiting / seconds,
        "step_seconds": (seconds - waiting) / len(losses),
    }


@torch.no_grad()
def _scale_gradients(optimizer: Any, factor: float) -> None:
    """Multiply what the optimiser is about to use, in place."""
    if factor != 1:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)


def _validated(validate: Callable[[], float], machine: Machine) -> float:
    """The main process's score, in every process: they may differ in the last bits.

    Raises:
        TrainingDivergedError: in every process, if it could not be scored in the main one.
    """
    dice, why = 0.0, ""
    try:
        dice = validate()
    except TrainingDivergedError as error:
        why = str(error)
    dice, why = machine.of_main((dice, why))
    if why:
        raise TrainingDivergedError(why)
    return dice


def _diverged(what: str, epoch: int, step: int) -> TrainingDivergedError:
    return TrainingDivergedError(
        f"Training diverged: {what} at epoch {epoch}, step {step}. Try a --lr ten times smaller."
    )


def _all_steps(
    batches_of: Callable[[int], DataLoader[Any]], epochs: Iterable[int]
) -> Iterator[tuple[int, Any, float]]:
    """Yield (step from 1, batch, seconds waited for it) of one epoch after the other."""
    for epoch in epochs:
        asked = time.perf_counter()
        for step, batch in enumerate(batches_of(epoch), start=1):
            yield step, batch, time.perf_counter() - asked
            asked = time.perf_counter()


def _cosine(total: int, warmup: float) -> Callable[[int], float]:
    """Linear warm-up over a share of all updates, then half a cosine down to zero.

    A warm-up takes one update at least, but the last update is never the one at the peak.

    >>> [round(_cosine(4, 0.1)(update), 3) for update in range(5)]
    [0.5, 1.0, 0.75, 0.25, 0.0]
    >>> [round(_cosine(2, 0.1)(update), 3) for update in range(3)]
    [1.0, 0.5, 0.0]
    """
    rising = max(1, round(warmup * total)) if warmup else 0
    if 0 < rising == total - 1:
        rising -= 1

    def factor(update: int) -> float:
        if update < rising:
            return (update + 1) / (rising + 1)
        if update >= total:
            return 0.0
        return 0.5 * (1 + math.cos(math.pi * (update - rising) / max(1, total - rising)))

    return factor


def _copy(trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: copy.deepcopy(parameter.detach()) for name, parameter in trained.items()}


@torch.no_grad()
def _restore(trained: Mapping[str, nn.Parameter], state: Mapping[str, Tensor]) -> None:
    for name, parameter in trained.items():
        parameter.copy_(state[name])
