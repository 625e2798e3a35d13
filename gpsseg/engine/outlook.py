"""How long a training takes: said from its first steps, and after each epoch what is left."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import TypeVar

from gpsseg.config.durations import about
from gpsseg.console import say
from gpsseg.engine.history import History
from gpsseg.errors import counted

Item = TypeVar("Item")
SECONDS, STEPS = 2.0, 10  # of timed steps; whichever is reached first will do
WORTH = 10  # seconds that a training must take for anybody to ask how long


def with_outlook(items: Iterable[Item], epochs: int, steps: int) -> Generator[Item, None, None]:
    """Yield a training's batches, and once say how long it takes by the first of its steps.

    The first step, which warms up, is not timed. An epoch of two steps or less says nothing of
    itself; what is left is said after it.

    Args:
        items: the batches of all epochs; each is asked for when the step before it is done.
        epochs: how many there are.
        steps: of each.
    """
    began, told = 0.0, False
    for number, item in enumerate(items, 1):
        now, timed = time.perf_counter(), number - 2
        if timed > 0 and not told:
            enough = now - began >= SECONDS or timed >= STEPS
            if enough or number == steps:
                _say(epochs, steps, (now - began) / timed)
                told = True
        began = now if timed == 0 else began
        yield item


def _say(epochs: int, steps: int, each: float) -> None:
    total = epochs * steps * each
    if total >= WORTH:
        say(
            f"training takes {about(total)} ({counted(epochs, 'epoch')} of {steps} steps at "
            f"{seconds_text(each)}), without validation"
        )


def seconds_text(seconds: float) -> str:
    """Seconds of a step.

    >>> seconds_text(3.21), seconds_text(0.0514), seconds_text(12.3)
    ('3.2 s', '0.051 s', '12 s')
    """
    return f"{seconds:.2g} s" if seconds < 99 else f"{seconds:.0f} s"


def left(history: History, epochs: int) -> str:
    """What to add to the line of an epoch: how long the others take, by the mean of those done."""
    rest = epochs - len(history.epochs)
    mean = sum(row["seconds"] for row in history.epochs) / len(history.epochs)
    return "" if history.ended or mean * rest < WORTH else f", {about(mean * rest)} left"
