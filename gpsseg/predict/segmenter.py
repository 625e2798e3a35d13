"""A tuned network on pictures of any size, as a stream: what is held does not grow with it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import default_collate

from gpsseg.config.predict import PredictConfig
from gpsseg.console import say
from gpsseg.data.cards.card import Card, build_transform
from gpsseg.data.loader import prepare_picture
from gpsseg.engine.inference import AS_IT_IS, Views, predict_all
from gpsseg.engine.machine import Machine, make_machine, return_freed_memory
from gpsseg.engine.prompts import Prompter, no_prompt
from gpsseg.faults import is_out_of_memory
from gpsseg.predict.frames import Frame
from gpsseg.predict.stripes import Stripe, cut, from_tiles, stacked, taken_apart
from gpsseg.runs.members import Networks

Read = tuple[np.ndarray | None, dict[str, Any] | None]
Shown = tuple[Frame, np.ndarray | None, dict[str, Any] | None]
Done = tuple[Frame, np.ndarray | None, Iterable[Stripe]]


@dataclass(frozen=True)
class Segmenter:
    """How pictures become probability maps.

    Attributes:
        model: the tuned network, on its device.
        machine: where to compute, and how precisely.
        card: whose load steps prepare a picture.
        image_size: side of the network's input in pixels.
        batch_size: pictures (or tiles) per forward pass.
        views: over what maps are averaged, and whether its members are told apart.
        tile: side in pixels of overlapping squares that larger pictures are cut into; None shows
            the network every picture as a whole.
        prompter: what the network is told of each picture, see ``gpsseg.engine.prompts``.
        numbers: path -> place of a picture's prompt.
    """

    model: nn.Module
    machine: Machine
    card: Card
    image_size: int
    batch_size: int
    views: Views = AS_IT_IS
    tile: int | None = None
    prompter: Prompter = no_prompt
    numbers: Mapping[Path, int] = field(default_factory=dict)

    def segment(self, frames: Iterable[Frame]) -> Iterator[Done]:
        """Yield (frame, pixels, stripes of the probability map) in order, at native size.

        The stripes must be taken before the next picture is asked for; taking them may raise what
        goes wrong. Pixels are kept where an overlay wants them. Pictures are read ahead by threads,
        at most two batches of them, but large ones come alone. A picture that cannot be read or
        segmented is reported to its writer and left out.
        """
        self._load  # noqa: B018  # built once, before threads ask for it
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            tasks = _ahead(pool, self._read, frames, 2 * self.batch_size)
            for batch in _batches(_readable(tasks), self.batch_size):
                maps = self._each([prepared for _, _, prepared in batch if prepared])
                for frame, pixels, prepared in batch:
                    if not prepared:
                        assert pixels is not None
                        yield frame, pixels, self._stripes(self._tiled(pixels))
                        continue
                    found = next(maps)
                    if isinstance(found, Exception):
                        if stops_prediction(found, frame):
                            raise found
                        frame.writer.fail(found)
                    else:
                        yield frame, pixels, self._stripes(cut(found))

    def map_of(self, pixels: np.ndarray, prompter: Prompter | None = None) -> np.ndarray:
        """The probability map of one picture, shown to the network as a whole.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            prompter: of this picture, where it is not the segmenter's.
        """
        (found,) = self._maps([{**self._prepare(pixels), "index": 0}], prompter)
        return found

    @cached_property
    def _load(self) -> Any:
        return build_transform(self.card, "load", self.image_size)

    def _prepare(self, pixels: np.ndarray) -> dict[str, Any]:
        return prepare_picture(pixels, self._load, self.card.name)

    def _read(self, frame: Frame) -> Read:
        """A picture's pixels, if they are still needed, and what the network is shown of it.

        The latter is None if it is to be cut into tiles.
        """
        pixels = frame.read()
        if frame.large:  # the decoder's part is not needed for the next, larger one
            return_freed_memory()
        if self.tile is not None and max(pixels.shape[:2]) > self.tile:
            return pixels, None
        number = self.numbers.get(frame.writer.plan.source.path, 0)
        prepared = {**self._prepare(pixels), "index": number}
        if frame.writer.overlay is not None:
            return pixels, prepared
        del pixels
        if frame.large:
            return_freed_memory()
        return None, prepared

    def _each(self, prepared: Sequence[dict[str, Any]]) -> Iterator[np.ndarray | Exception]:
        """The map of each picture, or why there is none; what breaks a batch is tried by itself."""
        done = 0
        if len(prepared) > 1:
            try:
                for probability in self._maps(prepared):
                    done += 1
                    yield probability
            except Exception as error:
                if is_out_of_memory(error):
                    _say_too_many(self.batch_size)
        for one in prepared[done:]:
            try:
                (found,) = self._maps([one])
            except Exception as error:
                yield error
            else:
                yield found

    def _maps(
        self, prepared: Sequence[dict[str, Any]], prompter: Prompter | None = None
    ) -> Iterator[np.ndarray]:
        if not prepared:
            return
        batch = default_collate([{"index": 0, **one} for one in prepared])
        prompter = prompter or self.prompter
        for found in predict_all(self.model, [batch], self.machine, prompter, self.views):
            members = found.members
            yield found.probability if members is None else stacked(found.probability, members)

    def _stripes(self, stripes: Iterable[np.ndarray]) -> Iterator[Stripe]:
        members = self.views.members if self.views.apart else 0
        return (taken_apart(stripe, members) for stripe in stripes)

    def _tiled(self, pixels: np.ndarray) -> Iterator[np.ndarray]:
        assert self.tile is not None

        def maps(tiles: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
            return self._maps([self._prepare(tile) for tile in tiles])

        return from_tiles(pixels, self.tile, self.batch_size, maps)


def _ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[Frame], Read],
    frames: Iterable[Frame],
    depth: int,
) -> Iterator[tuple[Frame, Future[Read]]]:
    """Yield (frame, its task) in order, with ``depth`` tasks begun at most; large ones alone."""
    waiting: deque[tuple[Frame, Future[Read]]] = deque()
    for frame in frames:
        if frame.large:
            yield from _emptied(waiting)
        waiting.append((frame, pool.submit(function, frame)))
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
            pixels, prepared = task.result()
        except Exception as error:
            frame.writer.fail(error)
            continue
        yield frame, pixels, prepared


def _batches(read: Iterable[Shown], size: int) -> Iterator[list[Shown]]:
    """Lists of ``size`` pictures; a large one ends its list, so that no two are held."""
    batch: list[Shown] = []
    for shown in read:
        batch.append(shown)
        if len(batch) == size or shown[0].large:
            yield batch
            batch = []
    if batch:
        yield batch


def stops_prediction(error: BaseException, frame: Frame) -> bool:
    """Whether memory ran out on a usual picture, so that there is none for others either."""
    return is_out_of_memory(error) and not frame.large


def make_segmenter(
    config: PredictConfig,
    networks: Networks,
    card: Card,
    prompter: Prompter | None,
    pictures: Sequence[Path],
) -> Segmenter:
    """Put the network on its device, with the run's image size and precision.

    Args:
        config: of the prediction.
        networks: of the run or the study.
        card: of the run.
        prompter: the user's boxes or points, if the run takes some.
        pictures: whose prompts these are, in their order.
    """
    trained = networks.config
    machine = make_machine(config.device, trained.precision)
    size, batch = trained.image_size, machine.share_of(config.batch_size or trained.batch_size)
    flips = config.tta == "flips" or (config.uncertainty and not networks.is_study)
    views = networks.views(flips, config.uncertainty)
    network = networks.model.to(machine.device)
    segmenter = Segmenter(network, machine, card, size, batch, views, config.tile)
    if prompter is None:
        return segmenter
    numbers = {path: i for i, path in enumerate(pictures)}
    return dataclasses.replace(segmenter, prompter=prompter, numbers=numbers)


@functools.cache  # once, though every batch may be too large
def _say_too_many(batch_size: int) -> None:
    say(
        f"{batch_size} pictures together need more memory than there is, so that each is tried "
        f"again by itself: pass --batch-size {max(1, batch_size // 2)}.",
        style="yellow",
    )
