"""What is exported, and what every format is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import SettledConfig
from gpsseg.data.cards.card import Card, named_transforms
from gpsseg.data.formats.greys import Greys

MOST_PIXELS = 1e-4  # share of pixels whose mask may differ, of all images together
MOST_PROBABILITY = 1e-3  # mean difference of an image's probabilities; also where a mask is empty


@dataclass(frozen=True)
class ExportedNetwork:
    """The network that is exported, and what its user must know.

    Attributes:
        run: its folder.
        model: float32, on the CPU, in evaluation mode, with the tuned values in its own weights
            and none of gpsseg's layers; where these cannot be merged, only formats that take them
            (``Format.takes_layers``) see it.
        config: the run's settings.
        card: of the data that it was tuned on; of a nameless run without names.
        greys: how images of more than 8 bits were shown to it.
    """

    run: Path
    model: Backbone
    config: SettledConfig
    card: Card
    greys: Greys

    @property
    def side(self) -> int:
        """Side of the network's square input in pixels."""
        return self.config.image_size

    @property
    def prompt(self) -> str:
        """What it is told of an image, see ``gpsseg.backbones.base.Facts.prompt``."""
        return self.model.facts.prompt

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels 1, 2, ... mean; empty where there is one foreground."""
        return self.card.told_apart

    @property
    def steps(self) -> tuple[str, ...]:
        """The card's own steps for an image; () where it is only shrunk."""
        if self.plain_images:
            return ()
        plain = named_transforms("rgb")["load"]
        own = [step for step in self.card.transforms.get("load", ()) if step not in plain]
        names = [str(step.get("_target_", "")).rpartition(".")[2] for step in own]
        return tuple(names) or ("other steps than shrinking",)

    @property
    def plain_images(self) -> bool:
        """Whether an image is only shrunk for the network, and not changed by steps of the card."""
        return self.card.transforms.get("load") == named_transforms("rgb")["load"]


@dataclass(frozen=True)
class Picture:
    """An image that both libraries segment.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, as it is.
        image: (3, S, S) float32 in [0, 1], as the network is shown it, not normalised.
        prompt: shares of width and height as in ``Backbone.forward``, 4 of a box or 2 of a point;
            empty where the network is told nothing of the image.
        file: where it lies, if examples are to read it as their user does; None for what they do
            not read, such as slices of volumes.
    """

    pixels: np.ndarray
    image: np.ndarray
    prompt: tuple[float, ...] = ()
    file: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What the other library finds in a picture.

    Attributes:
        map: its probabilities: float32 (H, W) at the picture's own size, or (C, H, W) with the
            background first.
        mask: that it makes of them: bool (H, W), or labels of several classes.
    """

    map: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, maps: np.ndarray, mask: np.ndarray) -> Answer:
        """Of (C, H, W) maps, where C is 1 or counts the background."""
        return cls(maps if len(maps) > 1 else maps[0], mask)


@dataclass(frozen=True)
class Format:
    """A way to write a network for another library.

    Attributes:
        name: as on the command line.
        needs: module that must be there -> what installs it.
        fault: why a network cannot be written so, as a sentence without its end ("it is for the
            UNet family"); empty where it can.
        write: puts all files but the model card into a folder that is there and empty; what is
            half written is removed by who called it.
        read_maps: lets the other library load what was written, and yields its answer to each
            picture.
        usage: a section of the model card in Markdown, that says how the files are loaded.
        library: that reads it.
        hub_name: what the hub calls that library; empty where it has no such name.
        whole: whether normalisation and probabilities are part of what is written.
        takes_layers: whether layers of gpsseg's own, such as adapters, may be in the network.
    """

    name: str
    needs: tuple[tuple[str, str], ...]
    fault: Callable[[ExportedNetwork], str]
    write: Callable[[ExportedNetwork, Path], None]
    read_maps: Callable[[ExportedNetwork, Path, Sequence[Picture]], Iterable[Answer]]
    usage: Callable[[ExportedNetwork], str]
    library: str
    hub_name: str
    takes_layers: bool = False
    whole: bool = False
