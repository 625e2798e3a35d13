"""A tuned network on pictures of any size, as a stream: what is held does not grow with it."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from gpsseg.data.steps import prepare_picture
from gpsseg.engine.inference import AS_IT_IS, Views, predict_all
from gpsseg.engine.machine import Machine, make_machine
from gpsseg.engine.prompts import Prompter, no_prompt
from gpsseg.faults import by_network, is_out_of_memory
from gpsseg.predict.frames import Frame
from gpsseg.predict.reading import Shown
from gpsseg.predict.stripes import Stripe, cut, from_tiles, stacked, taken_apart
from gpsseg.runs.networks import Networks


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
    _load: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Whoever builds MONAI's transforms is kept in a reference cycle, with all that its frames
        # hold: here that is no volume yet.
        object.__setattr__(self, "_load", build_transform(self.card, "load", self.image_size))

    def segment(self, batch: Sequence[Shown]) -> Iterator[tuple[Shown, Iterable[Stripe]]]:
        """Yield each picture with the stripes of its probability map, in order, at native size.

        The stripes must be taken before the next picture is asked for; taking them may raise what
        goes wrong.
        """
        maps = self._each([self._input(shown) for shown in batch if shown.prepared])
        for shown in batch:
            if not shown.prepared:
                assert shown.pixels is not None
                yield shown, self._stripes(self._tiled(shown.pixels))
            else:
                yield shown, self._stripes(_of(next(maps)))

    def map_of(self, pixels: np.ndarray, prompter: Prompter | None = None) -> np.ndarray:
        """The probability map of one picture, shown to the network as a whole.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            prompter: of this picture, where it is not the segmenter's.
        """
        (found,) = self._maps([{**self.prepare(pixels), "index": 0}], prompter)
        return found

    def prepare(self, pixels: np.ndarray) -> dict[str, Any]:
        """What the network is shown of (H, W, 3) uint8 RGB, see ``prepare_picture``."""
        return prepare_picture(pixels, self._load, self.card.name)

    @cached_property
    def way(self) -> str:
        """Tells how pictures are prepared: what is equal of two is prepared in one way."""
        return json.dumps(
            [self.image_size, self.card.transforms["load"]], sort_keys=True, default=str
        )

    def _input(self, shown: Shown) -> dict[str, Any]:
        """What the network is given of a picture."""
        number = self.numbers.get(shown.frame.writers[0].plan.source.path, 0)
        return {**shown.prepared[self.way], "index": number}

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
                yield error.with_traceback(None)  # or it keeps whoever takes it, and the reverse
            else:
                yield found

    def _maps(
        self, prepared: Sequence[dict[str, Any]], prompter: Prompter | None = None
    ) -> Iterator[np.ndarray]:
        if not prepared:
            return
        batch = default_collate([{"index": 0, **one} for one in prepared])
        prompter = prompter or self.prompter
        with by_network():
            for found in predict_all(self.model, [batch], self.machine, prompter, self.views):
                members = found.members
                yield found.probability if members is None else stacked(found.probability, members)

    def _stripes(self, stripes: Iterable[np.ndarray]) -> Iterator[Stripe]:
        members = self.views.members if self.views.apart else 0
        return (taken_apart(stripe, members) for stripe in stripes)

    def _tiled(self, pixels: np.ndarray) -> Iterator[np.ndarray]:
        assert self.tile is not None

        def maps(tiles: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
            return self._maps([self.prepare(tile) for tile in tiles])

        return from_tiles(pixels, self.tile, self.batch_size, maps)


def _of(found: np.ndarray | Exception) -> Iterator[np.ndarray]:
    """The stripes of a map that was found.

    Raises:
        Exception: there is none, because of this.
    """
    if isinstance(found, Exception):
        try:
            raise found
        finally:
            del found  # which would hold this frame, and the frame it
    yield from cut(found)


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
