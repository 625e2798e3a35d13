"""Batches dealt to several processes: as many for each, and none of an image twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from gpsseg.errors import UserError

Order = Sampler[int] | Sequence[int]
LENT = "lent"  # a batch's key that says: none of its images counts here


class Shuffled(Sampler[int]):
    """The positions of one epoch in an order that its seed alone decides.

    Args:
        images: of an epoch.
        seed: of the order.
        first: position of the first image: those of several epochs are counted on.
    """

    def __init__(self, images: int, seed: int, first: int = 0):
        self.images, self.seed, self.first = images, seed, first

    def __len__(self) -> int:
        """Images of the epoch."""
        return self.images

    def __iter__(self) -> Iterator[int]:
        """Yield each position once."""
        generator = torch.Generator().manual_seed(self.seed)
        # A loader of its own drew this number for each epoch; the orders stay what they were.
        torch.empty((), dtype=torch.int64).random_(generator=generator)
        order = torch.randperm(self.images, generator=generator)
        yield from (order + self.first).tolist()


class Dealt(Sampler[list[int]]):
    """Positions of one process's batches: the images of each step, dealt evenly to all processes.

    So the steps are the same whatever the number of processes. A process that none is left for is
    lent one of another's, so that all take as many steps.

    Args:
        order: of all images.
        batch_size: images of all processes together in a step.
        part: (which process this is, how many there are).
        then: the orders of further epochs, each of as many images; no step is of two epochs.
    """

    def __init__(
        self,
        order: Order,
        batch_size: int,
        part: tuple[int, int] = (0, 1),
        then: Sequence[Order] = (),
    ):
        self.orders, self.part = (order, *then), part
        self.images: int = len(order)  # type: ignore[arg-type]  # all of our orders have one
        self.step = batch_size
        self.steps = -(-self.images // batch_size)

    def __len__(self) -> int:
        """Steps of all epochs, the same in every process."""
        return self.steps * len(self.orders)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the positions of each step."""
        for order in self.orders:
            positions = iter(order)
            while together := list(itertools.islice(positions, self.step)):
                yield together[self._own(len(together))] or together[:1]

    def is_lent(self, step: int) -> bool:
        """Whether the images of a step (from 0) are another process's."""
        before = step % self.steps * self.step
        own = self._own(min(self.step, self.images - before))
        return own.start == own.stop

    def _own(self, images: int) -> slice:
        """This process's share of a step's images: sizes differ by one at most."""
        process, processes = self.part
        return slice(process * images // processes, (process + 1) * images // processes)


class Batches(DataLoader[dict[str, Any]]):
    """A loader that reports a user's mistake found in a worker process in that mistake's words.

    Args:
        dataset: what to read.
        dealt: the positions of its batches. Of a batch that is lent "lent" is true.
        more: as for ``DataLoader``.
    """

    def __init__(self, dataset: Dataset[dict[str, Any]], dealt: Dealt, **more: Any):
        super().__init__(dataset, batch_sampler=dealt, **more)
        self.dealt = dealt

    def __iter__(self) -> Any:
        """Yield batches."""
        try:
            for step, batch in enumerate(super().__iter__()):
                lent = self.dealt.is_lent(step)
                if lent:
                    batch[LENT] = torch.ones(len(batch["image"]), dtype=torch.bool)
                yield batch
        except UserError as error:  # a worker's comes with its traceback in front of the text
            raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None
