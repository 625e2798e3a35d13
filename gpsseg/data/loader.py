"""Cases -> batches: read, resize, augment, stack."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from gpsseg.data.cards import Card, build_transform
from gpsseg.data.cases import Case
from gpsseg.errors import UserError


class CaseDataset(Dataset[dict[str, Any]]):
    """Cases, prepared by a data card.

    Augmentation draws from ``(seed, epoch, index)`` alone: it does not depend on the number of
    workers, and any epoch can be repeated.

    Args:
        cases: what to read.
        card: whose transforms to apply.
        image_size: side of the square output in pixels.
        augment: whether to apply the card's random transforms.
        seed, epoch: of the random transforms.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        card: Card,
        image_size: int,
        augment: bool = False,
        seed: int = 0,
        epoch: int = 0,
    ):
        self.cases = cases
        self.load = build_transform(card, "load", image_size)
        self.augment = build_transform(card, "augment", image_size) if augment else None
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one case: "image", "mask" (if there is one), "height", "width" and "index"."""
        case = self.cases[index]
        try:
            data = self.load({"image": case.image, "mask": case.mask})
        except RuntimeError as error:  # MONAI wraps whatever goes wrong in one of its steps
            if isinstance(error.__cause__, UserError):
                raise error.__cause__ from None
            raise
        if self.augment is not None:
            entropy = np.random.SeedSequence([self.seed, self.epoch, index])
            self.augment.set_random_state(seed=int(entropy.generate_state(1)[0]))
            data = self.augment(data)
        keys = ("image", "mask", "height", "width")
        plain = {key: _plain(data[key]) for key in keys if key in data}
        return {**plain, "index": index}


class Batches(DataLoader[dict[str, Any]]):
    """A loader that reports a user's mistake found in a worker process in that mistake's words."""

    def __iter__(self) -> Any:
        """Yield batches."""
        try:
            yield from super().__iter__()
        except UserError as error:  # a worker's comes with its traceback in front of the text
            raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None


def make_loader(
    dataset: CaseDataset, batch_size: int, workers: int | None, shuffle: bool = False
) -> Batches:
    """Return batches of ``dataset``; a shuffled order depends on its seed and epoch alone.

    Each batch holds "image" (B, 3, S, S) float32 in [0, 1], "mask" (B, 1, S, S) float32 of 0 and 1,
    and (B,) int64 "height", "width" (native, pixels) and "index".
    """
    if workers is None:
        # Without a GPU the cores are busy anyway, and a fork would hold on to the parent's memory.
        workers = min(4, (os.cpu_count() or 2) // 2) if torch.cuda.is_available() else 0
    generator = torch.Generator().manual_seed(dataset.seed * 100_003 + dataset.epoch)
    return Batches(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        generator=generator,
        pin_memory=torch.cuda.is_available(),
    )


def _plain(value: Any) -> Any:
    """MONAI's tensors carry a history; batches are plain tensors."""
    return value.as_tensor() if hasattr(value, "as_tensor") else value
