"""A mask of one frame, followed by a network's memory through a video or a volume.

The frame that is begun with is segmented as ever, with its prompt if the run takes one; the mask is
remembered, and followed to the end, and from there that began to the first frame. Nothing is held
but a few frames: what lies before the frame that is begun with is read again, a part at a time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from gpsseg.backbones.sam2_memory import Memory, Track, load_memory
from gpsseg.config.predict import PredictConfig
from gpsseg.data.sources import Failures
from gpsseg.engine.inference import at_native, probability
from gpsseg.engine.machine import Batch
from gpsseg.engine.prompts import answer
from gpsseg.errors import UserError
from gpsseg.faults import by_network, is_out_of_memory, stops_all
from gpsseg.predict.frames import Film, Reading
from gpsseg.predict.numbers import note_number
from gpsseg.predict.plan import Plan
from gpsseg.predict.segmenter import Segmenter
from gpsseg.predict.stripes import Stripe, cut
from gpsseg.predict.writer import Writer, note_failure
from gpsseg.runs.networks import Networks

HELD = 2**27  # bytes of frames that are read again together


@dataclass(frozen=True)
class Propagation:
    """Where a task's masks are followed from, and by what.

    Attributes:
        memory: of the task's network, on its device.
        begin: the number of the frame to begin with; None: the middle one.
        named: the same of single sources, by their paths, as the prompts name it.
    """

    memory: Memory
    begin: int | None
    named: Mapping[Path, int]

    def start_of(self, path: Path, count: int) -> int:
        """The frame to begin with in a source of so many.

        Raises:
            UserError: it has no such frame.
        """
        start = self.named.get(path, self.begin)
        if start is None:
            return count // 2
        if start >= count:
            raise UserError(
                f"{path} has the frames 0 to {count - 1}, got {start} to propagate from. Name one "
                "of these."
            )
        return start


def propagation_of(
    config: PredictConfig, networks: Networks, segmenter: Segmenter, named: Mapping[Path, int]
) -> Propagation | None:
    """What a run follows its masks by; None where it is not asked to.

    Args:
        config: of the prediction.
        networks: of the run.
        segmenter: its network.
        named: see ``Propagation``.

    Raises:
        UserError: its network has no memory.
    """
    if config.propagate is None:
        return None
    memory = load_memory(networks.model, networks.config.weights, segmenter.image_size)
    memory.to(segmenter.machine.device)
    return Propagation(memory, None if config.propagate == "auto" else config.propagate, named)


def follow(
    plan: Plan,
    open_it: Callable[[], Film],
    segmenter: Segmenter,
    propagation: Propagation,
    table: Path,
    failures: Failures,
) -> Iterator[None]:
    """Segment one source and write it; yields once for every frame.

    Args:
        plan: what is written.
        open_it: opens the source for this plan alone.
        segmenter: the tuned network.
        propagation: from where, and by what.
        table: propagated.csv.
        failures: is given the source if it cannot be used.
    """
    writer = None
    try:
        film = open_it()
        (writer,) = film.writers
        following = _Following(film, writer, segmenter, propagation)
        if not all(writer.has(index) for index in range(following.count)):
            yield from following.all()
        note_number(table, plan.mask, following.start)
        writer.finish()
    except Exception as error:  # whatever is wrong with one source, the next ones come
        if stops_all(error) or is_out_of_memory(error):
            raise
        if writer is None:
            note_failure(failures, plan.source.path, error)
        else:
            writer.fail(error)


class _Following:
    """One source on its way through the network."""

    def __init__(self, film: Film, writer: Writer, segmenter: Segmenter, propagation: Propagation):
        self.film, self.writer, self.segmenter = film, writer, segmenter
        self.count = sum(1 for _ in film.pictures()) if film.count is None else film.count
        path = writer.plan.source.path
        self.start = propagation.start_of(path, self.count)
        self.memory = propagation.memory
        self.track: Track = self.memory.track(self.count)

    def all(self) -> Iterator[None]:
        """Forwards to the end, then backwards to the first frame."""
        self.segmenter.model.eval()
        for put in self.segmenter.views.networks:
            put()
        last: deque[tuple[int, Reading]] = deque()
        for index, read in enumerate(self.film.pictures()):
            if index == 0:
                last = deque(maxlen=max(1, HELD // read().nbytes))
            if index < self.start:
                last.append((index, read))
                continue
            self._one(index, read)
            del read
            yield
        for index, read in self._back(last):
            self._one(index, read)
            del read
            yield

    def _back(self, last: deque[tuple[int, Reading]]) -> Iterator[tuple[int, Reading]]:
        """The frames before the start, the nearest first; at first those that are held."""
        many, top = max(1, len(last)), self.start
        while top > 0:
            if not last:
                low = max(0, top - many)
                pictures = itertools.islice(self.film.pictures(), low, top)
                last.extend(enumerate(pictures, low))
            while last:
                yield last.pop()
                top -= 1

    @torch.no_grad()
    def _one(self, index: int, read: Reading) -> None:
        """Segment a frame; one that was written before a stop is only remembered."""
        pixels, segmenter = read(), self.segmenter
        path = self.writer.plan.source.path
        shown = {**segmenter.prepare(pixels), "index": segmenter.numbers.get(path, 0)}
        batch = segmenter.machine.place(default_collate([shown]))
        with by_network(), segmenter.machine.autocast():
            seen = self.memory.see(batch["image"])
        if index == self.start:
            found = self._begun(seen, batch)
        else:
            with by_network():
                found = probability(self.track.follow(seen, index, index < self.start))
        if not self.writer.has(index):
            whole = at_native(found, (pixels.shape[0], pixels.shape[1]))
            self.writer.put(index, pixels, map(Stripe, cut(whole)))

    def _begun(self, seen: Any, batch: Batch) -> Tensor:
        """The map of the frame to begin with, whose mask is remembered.

        Raises:
            UserError: it is empty.
        """
        segmenter = self.segmenter
        with by_network(), segmenter.machine.autocast():
            found = probability(answer(segmenter.model, batch, segmenter.prompter))
        mask = found >= 0.5
        if not bool(mask.any()):
            raise UserError(
                f"{self.writer.plan.source.path}: the network finds nothing in frame {self.start}, "
                "so that there is nothing to follow. Pass --propagate with the number of a frame "
                "that shows the lesion (0 is the first)."
            )
        with by_network():
            self.track.begin(seen, self.start, mask)
        return found
