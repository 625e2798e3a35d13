"""The one way to predict: every score and every mask goes through here.

The map of a picture is the network's, or the mean over several: those of the networks of an
ensemble, and those of its mirror images. What such members say apart is asked for where they are
compared (Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep
ensembles, NeurIPS 2017; Wang et al., Aleatoric uncertainty estimation with test-time augmentation,
Neurocomputing 2019).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prompts import Prompter, answer, no_prompt
from gpsseg.errors import TrainingDivergedError

MIRRORED = ((), (-1,), (-2,), (-2, -1))


@dataclass(frozen=True)
class Views:
    """Over what the map of a picture is averaged.

    Attributes:
        networks: each puts one of several networks into the place of the model; empty: the model
            as it is.
        flips: whether each also sees the picture's three mirror images.
        apart: whether the maps of the members are asked for: of the networks, where there are
            several, each averaged over its flips; else of the picture and its mirror images.
        lock: of the model, which other threads may be using too; held while one network is at work.
    """

    networks: Sequence[Callable[[], None]] = ()
    flips: bool = False
    apart: bool = False
    lock: AbstractContextManager[Any] = field(default_factory=contextlib.nullcontext)

    @property
    def members(self) -> int:
        """How many there are to compare."""
        if len(self.networks) > 1:
            return len(self.networks)
        return len(MIRRORED) if self.flips else 1


AS_IT_IS = Views()


@dataclass(frozen=True)
class Prediction:
    """What was found in one picture.

    Attributes:
        index: its number.
        probability: float32 (H, W) in [0, 1] at its native size; with several classes (C, H, W),
            the background first.
        members: float32 (M, H, W), the foreground's probability by each member; None unless asked.
    """

    index: int
    probability: np.ndarray
    members: np.ndarray | None = None


@torch.no_grad()
def predict_all(
    model: nn.Module,
    batches: Iterable[Batch],
    machine: Machine,
    prompter: Prompter = no_prompt,
    views: Views = AS_IT_IS,
) -> Iterator[Prediction]:
    """Yield what is found in every image of ``batches``.

    A map is resized bilinearly to the image's native size (the caller thresholds it afterwards).

    Raises:
        TrainingDivergedError: a probability is NaN.
    """
    with views.lock:
        model.eval()
    mirrored = MIRRORED if views.flips else MIRRORED[:1]
    for batch in batches:
        batch = machine.place(batch)
        seen = []  # of each network, of each view: logits
        for put in views.networks or (_nothing,):
            with views.lock, machine.autocast():
                put()
                seen.append([answer(model, _flipped(batch, axes), prompter) for axes in mirrored])
        for i, index in enumerate(batch["index"].tolist()):
            size = (int(batch["height"][i]), int(batch["width"][i]))
            maps = [
                [
                    probability(logits[i : i + 1]).flip(axes)
                    for axes, logits in zip(mirrored, of_one, strict=True)
                ]
                for of_one in seen
            ]
            whole, members = _averaged(maps)
            found = at_native(whole, size)
            yield Prediction(index, found, _foregrounds(members, size) if views.apart else None)


def _nothing() -> None:
    """The one network is in its place."""


def _averaged(maps: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Sequence[Tensor]]:
    """The mean of (1, C, H, W) maps of networks by views; and the members' own."""
    of_networks = [_mean(of_one) for of_one in maps]
    return _mean(of_networks), of_networks if len(maps) > 1 else maps[0]


def _mean(maps: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(maps)).mean(0) if len(maps) > 1 else maps[0]


def at_native(whole: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A (1, C, H, W) map of probabilities at an image's (height, width), see ``Prediction``.

    Raises:
        TrainingDivergedError: one is NaN.
    """
    if not bool(torch.isfinite(whole).all()):
        raise TrainingDivergedError(
            "The network's probabilities are not finite: its weights are too large. Train with a "
            "--lr ten times smaller."
        )
    found: np.ndarray = _native(whole, size)[0].squeeze(0).cpu().numpy()
    return found


def _native(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _foregrounds(maps: Sequence[Tensor], size: tuple[int, int]) -> np.ndarray:
    """(1, C, H, W) maps -> (M, h, w) probabilities of any class, at native size.

    Each is resized as it would be by itself, and what is foreground read off afterwards, as
    ``gpsseg.evaluators.foreground`` does.
    """
    resized = torch.cat([_native(each, size) for each in maps])
    if resized.shape[1] == 1:
        return resized[:, 0].cpu().numpy()
    return (1 - resized[:, 0]).clamp(0, 1).cpu().numpy()


def probability(logits: Tensor) -> Tensor:
    """(B, C, H, W) float logits -> float32 probabilities in [0, 1], see ``Backbone.forward``."""
    return logits.float().softmax(1) if logits.shape[1] > 1 else logits.float().sigmoid()


def _flipped(batch: Batch, axes: tuple[int, ...]) -> Batch:
    return {**batch, "image": batch["image"].flip(axes)} if axes else batch
