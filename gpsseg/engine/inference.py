"""The one way to predict: every score and every mask goes through here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prompts import Prompter, answer, no_prompt
from gpsseg.errors import TrainingDivergedError


@torch.no_grad()
def predict_maps(
    model: nn.Module,
    batches: Iterable[Batch],
    machine: Machine,
    prompter: Prompter = no_prompt,
    flips: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(index, probability)`` for every image of ``batches``.

    ``probability`` is float32 (H, W) in [0, 1] at the image's native size: the network's map,
    resized bilinearly (the caller thresholds it afterwards); with several classes (C, H, W), the
    background first. With ``flips`` it is the mean over the image and its three mirror images.

    Raises:
        TrainingDivergedError: a probability is NaN.
    """
    model.eval()
    mirrored = ((), (-1,), (-2,), (-2, -1)) if flips else ((),)
    for batch in batches:
        batch = machine.place(batch)
        with machine.autocast():
            views = [(axes, answer(model, _flipped(batch, axes), prompter)) for axes in mirrored]
        for i, index in enumerate(batch["index"].tolist()):
            size = (int(batch["height"][i]), int(batch["width"][i]))
            maps = [_probability(logits[i : i + 1]).flip(axes) for axes, logits in views]
            map_ = torch.stack(maps).mean(0) if flips else maps[0]
            if not bool(torch.isfinite(map_).all()):
                raise TrainingDivergedError(
                    "The network's probabilities are not finite: its weights are too large. Train "
                    "with a --lr ten times smaller."
                )
            native = F.interpolate(map_, size, mode="bilinear", align_corners=False)
            yield index, native[0].squeeze(0).cpu().numpy()


def _probability(logits: Tensor) -> Tensor:
    """(B, C, H, W) logits -> probabilities, see ``Backbone.forward``."""
    return logits.float().softmax(1) if logits.shape[1] > 1 else logits.float().sigmoid()


def _flipped(batch: Batch, axes: tuple[int, ...]) -> Batch:
    return {**batch, "image": batch["image"].flip(axes)} if axes else batch
