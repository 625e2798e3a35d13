"""Cases -> batches: read, resize, augment, stack."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import PersistentDataset
from torch.utils.data import Sampler

from gpsseg.data.cache import Folder, entry_name, pipeline_key
from gpsseg.data.cards.card import Card, build_transform
from gpsseg.data.case import Case
from gpsseg.data.dealt import Batches, Dealt, Shuffled
from gpsseg.data.held import Held
from gpsseg.data.transforms import ReadCased
from gpsseg.device import has_cuda
from gpsseg.errors import UserError
from gpsseg.faults import is_out_of_memory
from gpsseg.processes import processes_here


class CaseDataset(PersistentDataset):
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
        super().__init__(cases, build_transform(card, "load", image_size), None)
        self.kept = Folder(cache) if isinstance(cache, Path) else cache
        self.epochs = epochs
        self.pipeline = pipeline_key(card, image_size)
        self.augment = build_transform(card, "augment", image_size) if augment else None
        self.card, self.side, self.seed, self.epoch = card.name, image_size, seed, epoch

    def set_data(self, data: Sequence[Case]) -> None:
        """Read other cases. The kept ones stay: they hold for as long as their files do."""
        self.data = data

    def _transform(self, index: int) -> dict[str, Any]:
        """Return one case: "image", "mask" (if there is one), "height", "width" and "index"."""
        later, index = divmod(index, len(self.data))
        if later >= self.epochs:
            raise IndexError(index)
        data = self._cachecheck(self.data[index])
        entropy = np.random.SeedSequence([self.seed, self.epoch + later, index])
        seed = int(entropy.generate_state(1)[0])
        self.transform.set_random_state(seed=seed)
        data = self._changed(self._post_transform, "load", data, index)
        if self.augment is not None:
            self.augment.set_random_state(seed=seed)
            data = self._changed(self.augment, "augment", data, index)
        keys = ("image", "mask", "height", "width")
        plain = {key: _plain(data[key]) for key in keys if key in data}
        return {**plain, "index": index}

    def _cachecheck(self, case: Case) -> dict[str, Any]:
        """Return a case after the load steps that are not random, from the cache if it is there.

        MONAI's own way writes to another disk and copies, and stops at a file cut short.
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
            return _to_8_bits(self._pre_transform(facts), self.card, case.image.name, several)
        except Exception as error:  # MONAI wraps whatever goes wrong in one of its steps
            raise _step_fault(error, self.card, "load", case.image.name) from None

    def _changed(self, steps: Any, stage: str, data: dict[str, Any], index: int) -> dict[str, Any]:
        """Apply the steps that are random, and those after them."""
        try:
            changed: dict[str, Any] = steps(data)
        except Exception as error:
            raise _step_fault(error, self.card, stage, self.data[index].image.name) from None
        _refuse_size(changed, self.side, self.card, stage)
        return changed


def _step_fault(error: Exception, card: str, stage: str, name: str) -> Exception:
    """What to say of a card's steps that fail on a case: the innermost reason."""
    if is_out_of_memory(error):  # no step's fault
        return MemoryError(name)
    while not isinstance(error, UserError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, UserError):
        return error
    why = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
    return UserError(
        f"Data card {card}: its {stage} steps fail on {name} ({why}). Correct them; "
        "pipelines/transforms/rgb.yaml is an example."
    )


def _refuse_size(data: Any, side: int, card: str, stage: str) -> None:
    """Refuse steps that make pictures of another size than the network's.

    Raises:
        UserError: so they do, or they lose the image.
    """
    image = data.get("image") if isinstance(data, Mapping) else None
    got = tuple(getattr(image, "shape", ()))
    masked = data.get("mask") if got and isinstance(data, Mapping) else None
    mask = got[-2:] if masked is None else tuple(getattr(masked, "shape", ()))[-2:]
    if got != (3, side, side) or mask != (side, side):
        raise UserError(
            f"Data card {card}: its {stage} steps give an image of shape {got} and a mask of "
            f"{mask}, expected {(3, side, side)} and {(side, side)}. Let them keep the size; load "
            "ends with Resized to [@image_size, @image_size]."
        )


def _to_8_bits(
    data: Mapping[str, Any], card: str, name: str, several: bool = False
) -> dict[str, np.ndarray]:
    """Make what is kept: "image" uint8, "mask" bool (if there is one), "size" int64 (2,).

    A mask of ``several`` classes is uint8.

    Raises:
        UserError: the load steps mix the labels of several classes; or the image is far from the
            range 0 to 1 that the networks are promised; what an interpolation adds to either end
            is cut off.
    """
    image = np.asarray(_plain(data["image"]), np.float32)
    low, high = float(image.min()), float(image.max())
    if not (low > -0.5 and high < 1.5):
        raise UserError(
            f"Data card {card}: after its load steps the pixels of {name} hold "
            f"values from {low:.3g} to {high:.3g}, expected 0 to 1. Leave out the step that "
            "scales them; every network does its own."
        )
    kept = {"image": np.rint(image.clip(0, 1) * 255).astype(np.uint8)}
    if "mask" in data:
        mask = np.asarray(_plain(data["mask"]))
        kept["mask"] = mask.astype(np.uint8) if several else mask >= 0.5
        if several and (kept["mask"] != mask).any():
            raise UserError(
                f"Data card {card}: its load steps mix the labels of {name}'s classes. Resize the "
                "mask with the mode nearest-exact."
            )
    return {**kept, "size": np.array([data["height"], data["width"]], np.int64)}


def prepare_picture(pixels: np.ndarray, load: Any, card: str) -> dict[str, Any]:
    """Prepare a picture that is no file, as ``CaseDataset`` prepares an image.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        load: the card's load steps, from ``build_transform``.
        card: its name.

    Returns:
        "image" (3, S, S) float32 in [0, 1], and "height", "width": the native size in pixels.

    Raises:
        UserError: the card's steps fail on it.
    """
    try:
        kept = _to_8_bits(load({"image": pixels}), card, "a picture")
    except Exception as error:
        raise _step_fault(error, card, "load", "a picture") from None
    height, width = kept["size"].tolist()
    image = torch.from_numpy(kept["image"]).float() / 255
    return {"image": image, "height": height, "width": width}


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


def _plain(value: Any) -> Any:
    """MONAI's tensors carry a history; batches are plain tensors."""
    return value.as_tensor() if hasattr(value, "as_tensor") else value
