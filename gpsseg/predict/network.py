"""A run's network for Python: pictures as arrays in, masks as arrays out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.cards.own import card_of
from gpsseg.data.formats.greys import Greys, show
from gpsseg.engine.machine import make_machine, require_device
from gpsseg.engine.prompts import COLUMNS, Prompter, from_pixels, is_prompted
from gpsseg.errors import UserError
from gpsseg.evaluators import foreground, label_map
from gpsseg.predict.segmenter import Segmenter
from gpsseg.runs.drawn import data_of_training, say_trained_on_drawn
from gpsseg.runs.greys import greys_of
from gpsseg.runs.members import load_all
from gpsseg.runs.networks import Networks

EIGHT_BITS = Greys()  # of a run whose images had no more


@dataclass(frozen=True)
class TunedNetwork:
    """The network of a run, on its device; made by ``load_run``.

    Attributes:
        folder: of the run or the study.
        config: its settings; of a study those of its first fold.
        prompt: what the network is told of a picture, such as "none" or "box".
        classes: what the labels 1, 2, ... of ``predict`` mean; empty where masks are not labelled.
        segmenter: how pictures become probabilities; ``segmenter.model`` is the ``nn.Module``, in
            which are the tuned values until another task, or ``base``, has predicted.
        greys: how the images that it was trained on were shown to it.
        untuned: puts the base's own values in place of the tuned ones, see ``base``.
    """

    folder: Path
    config: FinetuneConfig
    prompt: str
    classes: tuple[str, ...]
    segmenter: Segmenter
    greys: Greys = EIGHT_BITS
    untuned: Callable[[], None] | None = None

    @cached_property
    def base(self) -> TunedNetwork:
        """The network before it was tuned, asked in the same way; nothing more is in memory.

        Where its decoder started from random weights (a U-Net), its masks are worth nothing.
        """
        assert self.untuned is not None
        views = dataclasses.replace(self.segmenter.views, networks=(self.untuned,))
        return dataclasses.replace(self, segmenter=dataclasses.replace(self.segmenter, views=views))

    def predict(
        self,
        picture: np.ndarray,
        probability: bool = False,
        prompt: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Segment one picture, as ``python -m gpsseg.predict`` does a file that holds it.

        Args:
            picture: (H, W, 3) uint8 RGB, or (H, W) uint8 grey, of any size. Of a run that was
                trained on images of more than 8 bits also numbers such as its own (uint16, float),
                which are shown by the run's range: what lies above is white, so bring numbers of
                another depth to the scale of the training images (nothing is said of them).
            probability: whether to return the network's probabilities instead of a mask.
            prompt: for a run that was trained with --prompt box or point: x0, y0, x1, y1 or x, y in
                pixels from the upper left corner.

        Returns:
            The mask, (H, W) bool, True where the probability of foreground is 0.5 or more. Of a run
            that tells classes apart, (H, W) uint8: 0 is background, n is ``classes[n - 1]``.
            With ``probability`` (H, W) float32 in [0, 1], or (C, H, W), the background first.

        Raises:
            UserError: the array is no picture, or a prompt is missing or not taken.
        """
        pixels = array_as_rgb(picture, self.greys)
        found = self.segmenter.map_of(pixels, self._prompter(prompt))
        if probability:
            return found
        if found.ndim == 3:
            return label_map(found)
        return foreground(found) >= 0.5

    def _prompter(self, prompt: Sequence[float] | None) -> Prompter | None:
        given = is_prompted(self.prompt)
        if given and prompt is None:
            names = ", ".join(COLUMNS[self.prompt])
            raise UserError(
                f"This run needs a {self.prompt} for every picture. Pass prompt=({names})."
            )
        if prompt is None:
            return None
        if not given:
            raise UserError(
                f"This run was trained with --prompt {self.prompt}, which takes none from you. "
                "Leave prompt out."
            )
        return from_pixels(prompt, self.prompt)


def array_as_rgb(picture: np.ndarray, greys: Greys = EIGHT_BITS) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB; grey is repeated, an alpha channel is dropped.

    Args:
        picture: (H, W) or (H, W, 1), 3 or 4 values a pixel.
        greys: of the run, by which values of more than 8 bits are shown.

    Raises:
        UserError: it has another shape or type, or the run has no range for such values.

    >>> array_as_rgb(np.zeros((4, 5), np.uint8)).shape
    (4, 5, 3)
    >>> array_as_rgb(np.full((1, 1), 819, np.uint16), Greys(whole=(0, 4095)))[0, 0].tolist()
    [51, 51, 51]
    """
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 and not _has_range(pixels.dtype, greys):
        raise UserError(
            f"The picture is {pixels.dtype}, expected uint8: the run was trained on "
            f"{_trained_on(greys)}. Bring its values to 0..255, the same way for all pictures, and "
            "pass picture.astype('uint8')."
        )
    if pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4):
        pixels = pixels[:, :, :3] if pixels.shape[2] > 1 else pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or 0 in pixels.shape:
        raise UserError(
            f"The picture has the shape {np.shape(picture)}, expected (height, width, 3) in RGB or "
            "(height, width). Pass one picture at a time, channels last."
        )
    shown = show(pixels, greys)
    return np.ascontiguousarray(shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, 2))


def _has_range(kind: np.dtype[Any], greys: Greys) -> bool:
    """Whether a run says how numbers of more than 8 bits are shown."""
    if kind.kind not in "uif" or kind.itemsize == 1:
        return False
    return greys.old or (greys.real if kind.kind == "f" else greys.whole) is not None


def _trained_on(greys: Greys) -> str:
    """What a run was trained on, in words."""
    if greys.window is not None:
        return "slices shown by the window {:g} {:g} (centre and width)".format(*greys.window)
    kinds = {"whole numbers": greys.whole, "real numbers": greys.real}
    told = [f"{kind} from {r[0]:g} to {r[1]:g}" for kind, r in kinds.items() if r is not None]
    return " and ".join(told) or "images of 8 bits"


def load_run(folder: Path | str, device: str = "auto", untrained: bool = False) -> TunedNetwork:
    """Load the network of a run that ``gpsseg.finetune`` made, or the networks of a study's folds.

    Args:
        folder: of the run; or of the study, whose folds' probabilities are averaged.
        device: auto, cpu, cuda, cuda:N or mps (an Apple GPU).
        untrained: whether a network that was stopped before its first validation will do.

    Raises:
        UserError: the folder is neither, or there is no result.
    """
    return load_tasks([folder], device, untrained)[0]


def load_tasks(
    folders: Sequence[Path | str], device: str = "auto", untrained: bool = False
) -> tuple[TunedNetwork, ...]:
    """Load several runs or studies; those that were tuned from one base share it in memory.

    Each puts its own delta to work before it predicts, which takes next to nothing, and may be used
    by several threads. Runs of another backbone, prompt or number of classes, or with layers of
    their own such as LoRA's, have a network for themselves.

    Args:
        folders: of the runs or studies.
        device: as for ``load_run``, for all of them.
        untrained: as for ``load_run``.

    Returns:
        The network of each, in their order.

    Raises:
        UserError: as ``load_run``.
    """
    require_device(device)
    return tuple(
        _tuned(networks, device)
        for networks in load_all([Path(folder) for folder in folders], untrained, with_base=True)
    )


def _tuned(networks: Networks, device: str) -> TunedNetwork:
    """The networks of a run or a study on a device."""
    say_trained_on_drawn(data_of_training(networks.folder))
    config, model = networks.config, networks.model
    card, machine = card_of(config), make_machine(device, config.precision)
    model.to(machine.device)
    sizes = config.image_size, config.batch_size
    segmenter = Segmenter(model, machine, card, *sizes, networks.views())
    greys, classes = greys_of(networks.runs[0]), tuple(card.told_apart)
    return TunedNetwork(
        networks.folder, config, model.facts.prompt, classes, segmenter, greys, networks.base
    )
