"""Prepared images in memory, for a run that keeps none on disk."""

from __future__ import annotations

import os
from threading import Lock

import numpy as np

from gpsseg.memory import free_memory

SHARE = 0.25  # of the memory that is free


class Held:
    """Entries by their names, see ``gpsseg.data.cache``, as many as fit.

    Only the process that made it adds to it: worker processes that are forked see what is there by
    then, and hold nothing for themselves. One that is sent to another process is empty there.

    Args:
        most: bytes that entries may take together; None is a share of the memory that is free.
    """

    def __init__(self, most: float | None = None):
        self._left = SHARE * free_memory()[0] if most is None else most
        self._entries: dict[str, dict[str, np.ndarray]] = {}
        self._owner, self._lock = os.getpid(), Lock()

    def __reduce__(self) -> tuple[type[Held], tuple[float]]:
        """Without entries, which were copied for each process."""
        return Held, (0.0,)

    def wants(self, name: str) -> bool:
        """Whether there is none of this name, and room was left when one was last given."""
        return name not in self._entries and self._left > 0

    def read(self, name: str) -> dict[str, np.ndarray] | None:
        """An entry's arrays, of any shape, which are not to be changed; None if there is none."""
        entry = self._entries.get(name)
        return None if entry is None else dict(entry)

    def write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Hold an entry's arrays, of any shape, until the first for which there is no room."""
        size = sum(array.nbytes for array in arrays.values())
        with self._lock:
            if os.getpid() != self._owner or not self.wants(name):
                return
            if size <= self._left:
                self._entries[name] = dict(arrays)
            self._left -= size
