"""A tuned network on pictures of any size, as a stream: what is held does not grow with it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.data.cards.card import Card, build_transform
from gpsseg.data.loader import prepare_picture
from gpsseg.engine.inference import predict_maps
from gpsseg.engine.machine import Machine, make_machine
from gpsseg.engine.prompts import Prompter, no_prompt
from gpsseg.predict.frames import Frame

Item = TypeVar("Item")
Result = TypeVar("Result")
Done = tuple[Frame, np.ndarray, np.ndarray]
OVERLAP = 0.25  # of a tile's side with the next one's


@dataclass(frozen=True)
class Segmenter:
    """How pictures become probability maps.

    Attributes:
        model: the tuned network, on its device.
        machine: where to compute, and how precisely.
        card: whose load steps prepare a picture.
        image_size: side of the network's input in pixels.
        batch_size: pictures (or tiles) per forward pass.
        flips: whether to average over the picture and its mirror images.
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
    flips: bool = False
    tile: int | None = None
    prompter: Prompter = no_prompt
    numbers: Mapping[Path, int] = field(default_factory=dict)

    def segment(self, frames: Iterable[Frame]) -> Iterator[Done]:
        """Yield (frame, pixels, probability) in order, at native size.

        Pictures are read ahead by threads, at most two batches of them. A picture that cannot be
        read or segmented is reported to its writer and left out.
        """
        self._load  # noqa: B018  # built once, before threads ask for it
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            tasks = _ahead(pool, self._read, frames, 2 * self.batch_size)
            read = _readable(tasks)
            while batch := list(itertools.islice(read, self.batch_size)):
                maps = self._each([prepared for _, _, prepared in batch if prepared])
                for frame, pixels, prepared in batch:
                    found = next(maps) if prepared else self._in_tiles(pixels)
                    if isinstance(found, Exception):
                        frame.writer.fail(found)
                    else:
                        yield frame, pixels, found

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

    def _read(self, frame: Frame) -> tuple[np.ndarray, dict[str, Any] | None]:
        """A picture, and what the network is shown of it; None if it is to be cut into tiles."""
        pixels = frame.read()
        tiled = self.tile is not None and max(pixels.shape[:2]) > self.tile
        number = self.numbers.get(frame.writer.plan.source.path, 0)
        return pixels, None if tiled else {**self._prepare(pixels), "index": number}

    def _each(self, prepared: Sequence[dict[str, Any]]) -> Iterator[np.ndarray | Exception]:
        """The map of each picture, or why there is none; what breaks a batch is tried by itself."""
        done = 0
        if len(prepared) > 1:
            with contextlib.suppress(Exception):
                for probability in self._maps(prepared):
                    done += 1
                    yield probability
        for one in prepared[done:]:
            try:
                (found,) = self._maps([one])
            except Exception as error:
                yield error
            else:
                yield found

    def _in_tiles(self, pixels: np.ndarray) -> np.ndarray | Exception:
        try:
            return self._tiled(pixels)
        except Exception as error:
            return error

    def _maps(
        self, prepared: Sequence[dict[str, Any]], prompter: Prompter | None = None
    ) -> Iterator[np.ndarray]:
        if not prepared:
            return
        batch = default_collate([{"index": 0, **one} for one in prepared])
        prompter = prompter or self.prompter
        for _, probability in predict_maps(self.model, [batch], self.machine, prompter, self.flips):
            yield probability

    def _tiled(self, pixels: np.ndarray) -> np.ndarray:
        """Segment a large picture tile by tile; where tiles overlap, their middles count more."""
        from monai.inferers import sliding_window_inference

        assert self.tile is not None

        def maps(tiles: Tensor) -> Tensor:
            pictures = tiles.byte().permute(0, 2, 3, 1).numpy()
            found = self._maps([self._prepare(picture) for picture in pictures])
            stacked = torch.from_numpy(np.stack(list(found)))
            return stacked[:, None] if stacked.dim() == 3 else stacked

        image = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
        sides = [min(self.tile, side) for side in pixels.shape[:2]]
        whole = sliding_window_inference(
            image, sides, self.batch_size, maps, overlap=OVERLAP, mode="gaussian"
        )
        assert isinstance(whole, Tensor)
        return whole[0].squeeze(0).clamp(0, 1).numpy()


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[tuple[Item, Future[Result]]]:
    """Yield (item, its task) in order, with ``depth`` tasks begun at most."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) >= depth:
            yield waiting.popleft()
    yield from waiting


def _readable(
    tasks: Iterable[tuple[Frame, Future[tuple[np.ndarray, dict[str, Any] | None]]]],
) -> Iterator[tuple[Frame, np.ndarray, dict[str, Any] | None]]:
    """Leave out what cannot be read."""
    for frame, task in tasks:
        try:
            pixels, prepared = task.result()
        except Exception as error:
            frame.writer.fail(error)
            continue
        yield frame, pixels, prepared


def make_segmenter(
    config: PredictConfig,
    trained: SettledConfig,
    model: Backbone,
    card: Card,
    prompter: Prompter | None,
    pictures: Sequence[Path],
) -> Segmenter:
    """Put the network on its device, with the run's image size and precision.

    Args:
        config: of the prediction.
        trained: of the run.
        model: the tuned network.
        card: of the run.
        prompter: the user's boxes or points, if the run takes some.
        pictures: whose prompts these are, in their order.
    """
    machine = make_machine(config.device, trained.precision)
    size, batch = trained.image_size, machine.share_of(config.batch_size or trained.batch_size)
    flips = config.tta == "flips"
    network = model.to(machine.device)
    segmenter = Segmenter(network, machine, card, size, batch, flips, config.tile)
    if prompter is None:
        return segmenter
    numbers = {path: i for i, path in enumerate(pictures)}
    return dataclasses.replace(segmenter, prompter=prompter, numbers=numbers)
