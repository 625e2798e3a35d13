"""Pictures read ahead by threads, each once, and prepared for every network that is to see it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpsseg.engine.machine import return_freed_memory
from gpsseg.predict.frames import Frame

Prepare = Callable[[np.ndarray], dict[str, Any]]
Read = tuple[np.ndarray | None, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Shown:
    """A picture that was read.

    Attributes:
        frame: whose it is.
        pixels: (H, W, 3) uint8 RGB, where they are still needed.
        prepared: what networks are shown of it, by the way that it was prepared; nothing of one
            that is to be cut into tiles.
    """

    frame: Frame
    pixels: np.ndarray | None
    prepared: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """Reads pictures ahead of who takes them.

    Attributes:
        ways: of each task, by its number: by what name and how its network's input is prepared.
            What is prepared under one name is prepared once.
        tile: side in pixels above which a picture is cut into tiles, if it is.
        depth: how many pictures are read ahead at most; large ones come alone.
    """

    ways: Sequence[tuple[str, Prepare]]
    tile: int | None
    depth: int

    def read(self, frames: Iterable[Frame]) -> Iterator[Shown]:
        """Yield what was read, in order; what cannot be is reported to its writers and left out."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            yield from _readable(_ahead(pool, self._read, frames, self.depth))

    def _read(self, box: list[Frame]) -> Read:
        """Pixels, where they are still needed, and what was prepared; takes the frame of a box.

        Whoever gave the box keeps nothing of the source then: a thread may be late to let go.
        """
        frame = box.pop()
        pixels = frame.read()
        if frame.large:  # the decoder's part is not needed for the next, larger one
            return_freed_memory()
        if self.tile is not None and max(pixels.shape[:2]) > self.tile:
            return pixels, {}
        ways = dict(self.ways[writer.plan.task] for writer in frame.writers)
        prepared = {name: prepare(pixels) for name, prepare in ways.items()}
        if any(writer.overlay is not None for writer in frame.writers):
            return pixels, prepared
        del pixels
        if frame.large:
            return_freed_memory()
        return None, prepared


def _ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[list[Frame]], Read],
    frames: Iterable[Frame],
    depth: int,
) -> Iterator[tuple[Frame, Future[Read]]]:
    """Yield (frame, its task) in order, with ``depth`` tasks begun at most; large ones alone."""
    waiting: deque[tuple[Frame, Future[Read]]] = deque()
    for frame in frames:
        if frame.large:
            yield from _emptied(waiting)
        waiting.append((frame, pool.submit(function, [frame])))
        if frame.large or len(waiting) >= depth:
            yield waiting.popleft()
    yield from _emptied(waiting)


def _emptied(waiting: deque[tuple[Frame, Future[Read]]]) -> Iterator[tuple[Frame, Future[Read]]]:
    while waiting:
        yield waiting.popleft()


def _readable(tasks: Iterable[tuple[Frame, Future[Read]]]) -> Iterator[Shown]:
    """Leave out what cannot be read."""
    for frame, task in tasks:
        try:
            shown = Shown(frame, *task.result())
        except Exception as error:
            frame.fail(error)
            continue
        del task
        yield shown
        del shown
