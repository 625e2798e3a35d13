"""How long the stages of a run take."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds of each stage of a run.

    Args:
        passed: seconds that had passed before it was started.
    """

    def __init__(self, passed: float = 0.0) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()
        self._began = self._since - passed

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name], self._since = round(now - self._since, 2), now
