"""Cases -> batches: read, resize, augment, stack."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from gpsseg.data.cache import Folder, entry_name, pipeline_key
from gpsseg.data.cards.card import Card, build_transform
from gpsseg.data.case import Case
from gpsseg.data.dealt import Batches, Dealt, Shuffled
from gpsseg.data.held import Held
from gpsseg.data.steps import as_plain, fixed_steps, refuse_size, step_fault, to_8_bits
from gpsseg.data.transforms import ReadCased
from gpsseg.device import has_cuda
from gpsseg.errors import UserError
from gpsseg.processes import processes_here


class CaseDataset(Dataset[dict[str, Any]]):
    """Cases, prepared by a data card: decoded and resized once, then kept on disk.

    What the card's load steps make of a case, up to the first random one, is rounded to 8 bits
    (image) and one bit (mask; a class's number where they are told apart). It is rounded with and
    without a cache, so that both give the same batches bit for bit; a kept image of S x S pixels
    takes 4 S^2 bytes.

    Random steps draw from ``(seed, epoch, index)`` alone: they do not depend on the number of
    workers, and any epoch can be repeated.

    Args:
        cases: what to read.
        card: whose transforms to apply.
        image_size: side of the square output in pixels.
        augment: whether to apply the card's random transforms.
        seed: of the random transforms.
        epoch: theirs, too.
        cache: folder for prepared images, see ``cache_folder``, or memory; None keeps nothing. A
            folder may be shared by any number of data sets, runs and processes.
        epochs: how many are read, from ``epoch`` on: of N cases, index N is the first of the next.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        card: Card,
        image_size: int,
        augment: bool = False,
        seed: int = 0,
        epoch: int = 0,
        cache: Path | Held | None = None,
        epochs: int = 1,
    ):
        self.data, self.transform = cases, build_transform(card, "load", image_size)
        self.fixed = fixed_steps(self.transform)
        self.kept = Folder(cache) if isinstance(cache, Path) else cache
        self.epochs = epochs
        self.pipeline = pipeline_key(card, image_size)
        self.augment = build_transform(card, "augment", image_size) if augment else None
        self.card, self.side, self.seed, self.epoch = card.name, image_size, seed, epoch

    def __len__(self) -> int:
        """Cases of an epoch."""
        return len(self.data)

    def set_data(self, data: Sequence[Case]) -> None:
        """Read other cases. The kept ones stay: they hold for as long as their files do."""
        self.data = data

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one case: "image", "mask" (if there is one), "height", "width" and "index"."""
        later, index = divmod(index, len(self.data))
        if later >= self.epochs:
            raise IndexError(index)
        data = self.prepared(self.data[index])
        entropy = np.random.SeedSequence([self.seed, self.epoch + later, index])
        seed = int(entropy.generate_state(1)[0])
        self.transform.set_random_state(seed=seed)
        data = self._changed(self._from_random, "load", data, index)
        if self.augment is not None:
            self.augment.set_random_state(seed=seed)
            data = self._changed(self.augment, "augment", data, index)
        keys = ("image", "mask", "height", "width")
        plain = {key: as_plain(data[key]) for key in keys if key in data}
        return {**plain, "index": index}

    def prepared(self, case: Case) -> dict[str, Any]:
        """Return a case after the load steps before the first random one, from the cache if there.

        MONAI's PersistentDataset writes to another disk and copies, and stops at a file cut short.
        """
        name = self._entry(case)
        kept = self.kept.read(name) if self.kept and name else None
        if kept is None:
            kept = self._load(case)
            self._write(case, name, kept)
        height, width = kept.pop("size").tolist()
        image, mask = torch.from_numpy(kept["image"]).float() / 255, kept.get("mask")
        found = {"image": image, "height": height, "width": width}
        return found if mask is None else {**found, "mask": torch.from_numpy(mask).float()}

    def keeping(self, case: Case) -> Callable[[np.ndarray, np.ndarray | None], None]:
        """Before a case's files are read: what to give their pixels to, to be kept prepared.

        So who reads them first, for whatever reason, spares the others the decoding. What cannot
        be prepared is left to who needs it, and says why.

        Returns:
            A function of the image, uint8 (H, W, 3) RGB, and its foreground, bool (H, W).
        """
        name = self._entry(case)

        def keep(image: np.ndarray, mask: np.ndarray | None) -> None:
            first = next(iter(self.transform.transforms), None)
            if self.kept and name and self.kept.wants(name) and isinstance(first, ReadCased):
                several = case.labels is not None and case.labels.separate
                plain = case.mask is not None and not several  # of several classes it is read again
                with contextlib.suppress(UserError, MemoryError, OSError):
                    read = {"image": image, "mask": mask} if plain else {"image": image}
                    self._write(case, name, self._load(case, read))

        return keep

    def _write(self, case: Case, name: str | None, kept: dict[str, np.ndarray]) -> None:
        if self.kept and name and name == self._entry(case):  # not changed while it was read
            self.kept.write(name, kept)

    def _entry(self, case: Case) -> str | None:
        """The name by which the case as it is now is kept; None if it is not to be kept."""
        return entry_name(case, self.pipeline) if self.kept else None

    def _load(self, case: Case, read: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """What is kept of a case, of which "image" and "mask" may have been read before."""
        several = case.labels is not None and case.labels.separate
        try:
            names = ("image", "mask", "opinions", "labels", "greys", "joined")
            facts = {name: getattr(case, name) for name in names} | dict(read or {})
            loaded = self.transform(facts, end=self.fixed, threading=True)
            return to_8_bits(loaded, self.card, case.image.name, several)
        except Exception as error:  # MONAI wraps whatever goes wrong in one of its steps
            raise step_fault(error, self.card, "load", case.image.name) from None

    def _from_random(self, data: dict[str, Any]) -> Any:
        """Apply the load steps from the first random one on."""
        return data if self.fixed is None else self.transform(data, start=self.fixed)

    def _changed(self, steps: Any, stage: str, data: dict[str, Any], index: int) -> dict[str, Any]:
        """Apply the steps that are random, and those after them."""
        try:
            changed: dict[str, Any] = steps(data)
        except Exception as error:
            raise step_fault(error, self.card, stage, self.data[index].image.name) from None
        refuse_size(changed, self.side, self.card, stage)
        return changed


def default_workers() -> int:
    """Half the cores of this process's share, at most 8, where CUDA computes; otherwise none.

    Without a GPU the network keeps the cores busy, and a fork holds on to its parent's memory.
    """
    if not has_cuda():
        return 0
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # a container or a cluster may lend fewer than there are
        cores = len(os.sched_getaffinity(0))
    return min(8, cores // 2 // processes_here())


def make_loader(
    dataset: CaseDataset,
    batch_size: int,
    workers: int | None,
    shuffle: bool = False,
    part: tuple[int, int] = (0, 1),
    only: Sequence[int] | None = None,
) -> Batches:
    """Return batches of ``dataset``; a shuffled order depends on its seed and epoch alone.

    Of several epochs one comes after the other: the workers go on to the next one meanwhile.

    Of several processes each gets its ``part`` (which it is, of how many) of one order of all
    images, see ``Dealt``; ``only`` names the positions to read, where it is not shuffled.

    Each batch holds "image" (B, 3, S, S) float32 in [0, 1], "mask" (B, 1, S, S) float32 of 0 and 1
    (or of the numbers of classes that are told apart), and (B,) int64 "height", "width" (native,
    pixels) and "index". With CUDA they lie in pinned memory.
    """
    workers = default_workers() if workers is None else workers
    first, images = dataset.seed * 100_003 + dataset.epoch, len(dataset)
    generator = torch.Generator().manual_seed(first)
    order: Sampler[int] | Sequence[int] = range(images) if only is None else only
    later: Sequence[Sampler[int]] = ()
    if shuffle:
        order, *later = (
            Shuffled(images, first + epoch, epoch * images) for epoch in range(dataset.epochs)
        )
    return Batches(
        dataset,
        Dealt(order, batch_size, part, later),
        num_workers=workers,
        generator=generator,
        pin_memory=has_cuda(),
    )
