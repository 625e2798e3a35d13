"""When a training ends before its last epoch, as its user asked for: patience, and a time limit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpsseg.engine.history import History
from gpsseg.errors import counted
from gpsseg.processes import by_main, of_main

LAST = 5  # epochs that say how slow the machine is


@dataclass(frozen=True)
class Deadline:
    """By when a run must be scored.

    Attributes:
        limit: as the user typed it.
        at: when it is over, by ``time.monotonic``.
        steps, validation, scoring: seconds that an epoch's steps, a validation, and all that comes
            after the training were planned to take.
    """

    limit: str
    at: float
    steps: float
    validation: float
    scoring: float

    def misses_another(self, steps: Sequence[float], validation: float | None, due: bool) -> bool:
        """Whether one more epoch would leave too little time to score the run.

        It is asked when an epoch's steps are done, and its validation is not. Where the steps of
        the last epochs took longer than planned, so will the scoring; one that stood still for a
        while does not count.

        Args:
            steps: seconds that the steps of each epoch took.
            validation: seconds of the validation before; None if there was none.
            due: whether the epoch will be validated, and not the next one alone.
        """
        usual = statistics.median_low(steps[-LAST:])
        slower = max(1.0, usual / max(self.steps, 1e-9))
        validating = slower * self.validation if validation is None else validation
        needed = (2 if due else 1) * validating + steps[-1] + slower * self.scoring
        return time.monotonic() + needed > self.at


class Stops:
    """Ends a training early. All processes decide as the main one does.

    Args:
        patience: validations in a row without a better score; None: any number.
        deadline: of the run; None: there is none.
    """

    def __init__(self, patience: int | None, deadline: Deadline | None):
        self._patience, self._deadline = patience, deadline
        self._steps: list[float] = []
        self._validation: float | None = None

    def late(self, steps: float, due: bool) -> bool:
        """Whether no other epoch fits after one of such steps, see ``Deadline.misses_another``."""
        self._steps.append(steps)
        deadline = self._deadline
        if deadline is None:
            return False
        return by_main(lambda: deadline.misses_another(self._steps, self._validation, due))

    def validated(self, validate: Callable[[], float]) -> float:
        """A validation's score, the main process's: they may differ in the last bits."""
        began = time.perf_counter()
        score = of_main(validate())
        self._validation = time.perf_counter() - began
        return score

    def why(self, history: History, late: bool) -> str:
        """Why the training ends after the last epoch of a history; empty if it goes on.

        >>> history, stops = History(), Stops(2, None)
        >>> for epoch, dice in enumerate([0.5, 0.7, 0.7, 0.6], 1):
        ...     history = history.add({"epoch": epoch, "val_dice": dice})
        >>> stops.why(history, False), Stops(3, None).why(history, False)
        ('no better validation score in 2 validations', '')
        """
        if late and self._deadline is not None:
            return (
                f"another one would not have fitted into the time limit of {self._deadline.limit}"
            )
        if self._patience is None or history.without_gain() < self._patience:
            return ""
        return f"no better validation score in {counted(self._patience, 'validation')}"
