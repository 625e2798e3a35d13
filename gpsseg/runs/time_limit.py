"""How many epochs a limit of time leaves room for: a run is timed in little before it begins."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.config.durations import about, seconds_of, typed_up
from gpsseg.config.finetune import SettledConfig
from gpsseg.console import say, working
from gpsseg.data.case import Case
from gpsseg.device import draws_kept, give_back_freed
from gpsseg.engine.machine import Machine
from gpsseg.engine.outlook import seconds_text
from gpsseg.engine.prepare import let_go, prepare, tuning_mode
from gpsseg.engine.stops import Deadline
from gpsseg.engine.timing import steps_timed
from gpsseg.errors import UserError, counted
from gpsseg.memory import memory_for
from gpsseg.processes import by_main, of_main
from gpsseg.runs.data import Data
from gpsseg.runs.method import add_layers, added_and_whole, of_selection, taken_up
from gpsseg.runs.scores import images_at_once, scored_images, scores_of_halves
from gpsseg.runs.selection import gps_trains
from gpsseg.runs.training import training_batches

RESERVE = 0.1  # of what is planned: a busy machine may make it longer
PAGE = 2.0  # seconds of statistics and of the report
MOST = 100_000  # epochs
SECONDS = 3.0  # of steps, and of scoring, that are timed
STEPS, SCORED = 12, 16  # and at most so many steps and images
Score = Callable[[Backbone, Sequence[Case], bool], object]


@dataclass(frozen=True)
class Costs:
    """Seconds of the stages of a run.

    Attributes:
        selection: before the training.
        step: of training, with its images.
        steps: how many an epoch has.
        validation: of all validation images.
        scoring: of all that comes after the training.
    """

    selection: float
    step: float
    steps: int
    validation: float
    scoring: float

    def training(self, epochs: int, every: int) -> float:
        """Seconds of so many epochs, validated after every so many and after the last."""
        return epochs * self.steps * self.step + math.ceil(epochs / every) * self.validation

    def ahead(self, epochs: int, every: int) -> float:
        """Seconds of a whole run with so many epochs."""
        return self.selection + self.training(epochs, every) + self.scoring


def most_epochs(costs: Costs, rest: float, every: int, most: int = MOST) -> int:
    """The largest number of epochs that leaves a reserve; 0 if not even one does.

    Args:
        costs: of the run.
        rest: seconds that are left for it.
        every: epochs of a validation.
        most: not more than these.

    >>> costs = Costs(10, 0.5, 20, 4, 36)
    >>> most_epochs(costs, 132, 1)  # 10 + 36 + 5 (20 / 2 + 4) = 116; 120 and a tenth are 132
    5
    >>> most_epochs(costs, 132, 5), most_epochs(costs, 60, 1)
    (6, 0)
    """
    fits, too_many = 0, most + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if costs.ahead(middle, every) * (1 + RESERVE) <= rest:
            fits = middle
        else:
            too_many = middle
    return fits


def within_limit(
    config: SettledConfig, most: int | None, costs: Costs, passed: float
) -> tuple[SettledConfig, Deadline]:
    """The settings with the number of epochs that fit; of a run that goes on, with its own.

    Args:
        config: with a limit of time.
        most: epochs that the user asks for at most.
        costs: from ``measure``.
        passed: seconds since the command began.

    Raises:
        UserError: not even one epoch fits.
    """
    limit, every = str(config.time_limit), config.validate_every
    whole = seconds_of(limit, "--time-limit")
    steps = costs.steps * costs.step
    deadline = Deadline(
        *(limit, time.monotonic() + whole - passed), steps, costs.validation, costs.scoring
    )
    if config.resume:
        return config, deadline
    epochs = most_epochs(costs, whole - passed, every, most or MOST)
    if not epochs:
        one = passed + costs.ahead(1, every) * (1 + RESERVE)
        raise UserError(
            f"--time-limit {limit} leaves no room for one epoch: until now {about(passed)} have "
            f"passed, and selection would take {about(costs.selection)}, an epoch with validation "
            f"{about(costs.training(1, every))} and scoring {about(costs.scoring)}. Pass "
            f"--time-limit {typed_up(1.1 * one)} or more, or fewer or smaller images."
        )
    say(
        f"--time-limit {limit}: {counted(epochs, 'epoch')} of {costs.steps} steps at "
        f"{seconds_text(costs.step)}. The run ends after "
        f"{about(passed + costs.ahead(epochs, every))}: until now {about(passed)}, selection "
        f"{about(costs.selection)}, training with validation "
        f"{about(costs.training(epochs, every))}, scoring {about(costs.scoring)}."
    )
    return dataclasses.replace(config, epochs=epochs), deadline


def settle_epochs(
    backbone: Backbone,
    config: SettledConfig,
    most: int | None,
    data: Data,
    machine: Machine,
    score: Score,
    finishing: float,
    passed: Callable[[], float],
    handed: gps.Selection | None = None,
) -> tuple[SettledConfig, Deadline | None]:
    """Measure, then ``within_limit``; without a limit the settings as they are, and no deadline.

    The main process decides for all, which were started at other times: were one to train an epoch
    that the others do not come to, it would wait for them for ever.

    Args:
        backbone: plain, and not prepared yet.
        config: of the run, with or without a limit.
        most: epochs that the user asks for at most.
        data: of the run.
        machine: where it will train.
        score: scores cases.
        finishing: seconds of what comes after the training beside scoring.
        passed: how many seconds have passed since the command began.
        handed: what trains, if that is known.

    Raises:
        UserError: in all processes, not even one epoch fits.
    """
    if config.time_limit is None:
        return config, None
    costs = measure(backbone, config, data, machine, score, finishing, handed)
    return by_main(lambda: within_limit(config, most, costs, passed()))


def measure(
    backbone: Backbone,
    config: SettledConfig,
    data: Data,
    machine: Machine,
    score: Score,
    finishing: float,
    handed: gps.Selection | None = None,
) -> Costs:
    """Time a little of each stage of a run on a copy of the network; all processes come to it.

    No test image is looked at: validation images stand for them. Nothing random is drawn that the
    run would miss.

    Args:
        backbone: plain, and not prepared yet; it stays what it is.
        config: of the run.
        data: of the run.
        machine: where it will train.
        score: scores cases with a network: as a validation does, or as both tests do.
        finishing: seconds of what comes after the training beside scoring.
        handed: what trains, if that is known.
    """
    with (
        draws_kept(machine.device),
        memory_for("measuring", config),
        working("measuring how long training and scoring take"),
    ):
        model = copy.deepcopy(backbone).to(machine.device)
        selection, selecting = _what_trains(model, config, data, machine, handed)
        gps.sparsify(model, selection, halves=machine.precision == "bf16")
        model.to(machine.device)
        step, steps = _step(model, config, data, machine)
        if config.refresh:  # a step's share of selecting anew
            step += selecting / (config.refresh * config.accumulate)
        ahead = 0.0 if config.resume else selecting
        validating, testing = _scoring(model, data, score)
    let_go(model)
    del model
    give_back_freed(machine.device)
    val, test = len(data.split.val), len(data.split.test)
    return of_main(Costs(ahead, step, steps, val * validating, test * testing + finishing + PAGE))


def _what_trains(
    model: Backbone,
    config: SettledConfig,
    data: Data,
    machine: Machine,
    handed: gps.Selection | None,
) -> tuple[gps.Selection, float]:
    """What trains, by a few images where it is selected; and how long the whole selection takes.

    A run that goes on has selected; how long that takes is timed where it selects anew.
    """
    settings = of_selection(config)
    whole = [] if config.resume or settings is not None else added_and_whole(model, config)
    prepare(model, machine, config.checkpoint_activations)
    if handed is not None:
        return handed, 0.0
    if config.resume:
        add_layers(model, config)
        seconds = 0.0
        if settings is not None and config.refresh:
            _, seconds = _selected(model, settings, data, machine)
        return taken_up(model, config), seconds
    if settings is None:
        return gps.Selection({}, {}, tuple(whole)), 0.0
    return _selected(model, settings, data, machine)


def _selected(
    model: Backbone, config: SettledConfig, data: Data, machine: Machine
) -> tuple[gps.Selection, float]:
    """A selection by a few images, the second half of which is timed."""
    tuning_mode(model)
    images, (top_k, whole) = scored_images(data, config), gps_trains(model, config)
    began = time.perf_counter()
    at_once = images_at_once(model, images, top_k, whole, config, machine)
    asked, each = time.perf_counter() - began, at_once * machine.part[1]
    whole_batches, few = math.ceil(len(images) / each), min(len(images), 4 * each)
    images.set_data(images.data[:few])
    times = [time.perf_counter()]
    for found in scores_of_halves(model, images, at_once, list(top_k), config, machine, None):
        scores = found
        times.append(time.perf_counter())
    selection = gps.select(model, scores, top_k, config.level)
    choosing = time.perf_counter() - times[-1]
    indices = {name: index.cpu() for name, index in selection.indices.items()}
    selection = dataclasses.replace(selection, indices=indices, dense=tuple(whole))
    batch = (times[2] - times[1]) / math.ceil((few - few // 2) / each)
    return selection, asked + whole_batches * batch + 3 * choosing


def _step(
    model: Backbone, config: SettledConfig, data: Data, machine: Machine
) -> tuple[float, int]:
    """Seconds of a step, and how many an epoch has."""
    batches = training_batches(data, config, machine)(range(1, 2))
    times: list[float] = []
    for seconds in steps_timed(model, machine, batches, config.prompt, config.loss):
        times.append(seconds)
        if len(times) > STEPS or sum(times[1:]) > SECONDS:
            break
    timed = times[1:] or times
    return sum(timed) / len(timed), len(batches)


def _scoring(model: Backbone, data: Data, score: Score) -> tuple[float, float]:
    """Seconds of an image's validation, and of its tests."""
    cases = data.split.val or data.split.train

    def seconds(some: Sequence[Case], test: bool) -> float:
        began = time.perf_counter()
        score(model, some, test)
        return (time.perf_counter() - began) / len(some)

    seconds(cases[:1], False)
    one = of_main(seconds(cases[:1], False))  # all score as many, or they would wait for ever
    count = min(len(cases), SCORED, max(2, int(SECONDS / one)))
    chosen = cases[:: len(cases) // count][:count]
    seconds(chosen, False)  # reads their masks, once for all validations
    return seconds(chosen, False), seconds(chosen, True)
