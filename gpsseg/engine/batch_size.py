"""`--batch-size auto`: training steps are timed with ever more images, while it is worth it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from gpsseg.config.shared import Loss
from gpsseg.device import free_bytes_of_gpu, give_back_freed
from gpsseg.engine.machine import MIB, Machine, peak_memory_mb, return_freed_memory
from gpsseg.engine.timing import steps_timed
from gpsseg.faults import is_out_of_memory
from gpsseg.memory import free_memory

MOST = 64  # images in a batch
UPDATES = 200  # of a training; with fewer the small UNet scores worse, at whatever rate
GAIN = 1.1  # of images a second, for which twice the images in a batch are worth it
ROOM = 0.8  # of free memory that a step may take
STEPS = 3  # timed, after one to warm up; the shortest counts
Tried = Sequence[tuple[int, float | None]]


def most_images(seen: int, accumulate: int, usual: int) -> int:
    """The largest batch with which a training has enough updates, or else the usual one.

    Args:
        seen: images in all epochs together.
        accumulate: batches of an update.
        usual: images in a batch by default.

    >>> most_images(4 * 700, 1, 4), most_images(4 * 700, 2, 4), most_images(4 * 20, 1, 4)
    (14, 7, 4)
    """
    return max(usual, min(MOST, seen // (UPDATES * accumulate)))


def sizes_to_try(most: int) -> list[int]:
    """1, 2, 4 and so on.

    >>> sizes_to_try(1), sizes_to_try(28), sizes_to_try(64)
    ([1], [1, 2, 4, 8, 16], [1, 2, 4, 8, 16, 32, 64])
    """
    return [2**power for power in range(most.bit_length())]


def worth_it(tried: Tried) -> int:
    """The size at which growing stops to pay.

    Args:
        tried: (images in a batch, seconds of a step, or None where memory did not suffice),
            smallest first; the first one fits.

    >>> worth_it([(1, 1.0), (2, 1.5), (4, 2.9), (8, 2.9)])  # 1.33, 1.38: less than a tenth more
    2
    >>> worth_it([(1, 1.0), (2, 1.0), (4, None)])
    2
    """
    (best, seconds), *larger = tried
    assert seconds is not None
    for size, taken in larger:
        if taken is None or size / taken < GAIN * best / seconds:
            break
        best, seconds = size, taken
    return best


def find_batch_size(sizes: Iterable[int], seconds_of: Callable[[int], float | None]) -> Tried:
    """Try sizes until one is not worth it; what was tried, see ``worth_it``."""
    tried: list[tuple[int, float | None]] = []
    for size in sizes:
        tried.append((size, seconds_of(size)))
        if worth_it(tried) != size:
            break
    return tried


def step_timer(
    model: nn.Module,
    machine: Machine,
    side: int,
    prompt: str | None,
    at_a_time: int = 1,
    loss: Loss = "bce-iou",
) -> Callable[[int], float | None]:
    """Return: images in a batch -> seconds of a training step, or None if memory would not do.

    Memory is foreseen from the size before, so that no process is ended for want of it. A step with
    one image is tried in any case, and may run out of memory.

    Args:
        model: in which all that has a gradient trains; its values stay.
        machine: where to compute.
        side: of the images in pixels.
        prompt: what the network is told.
        at_a_time: processes that share this machine's memory.
        loss: its kind.
    """
    needed = 0.0

    def seconds_of(size: int) -> float | None:
        nonlocal needed
        if needed > ROOM * _free_bytes(machine.device) / at_a_time:
            return None
        try:
            before = peak_memory_mb(machine.device, reset=True)
            seconds = _time_steps(model, machine, size, side, prompt, loss)
            needed = 2 * MIB * (peak_memory_mb(machine.device) - before)
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            seconds = None
        if seconds is None:
            gc.collect()  # what the error held
        _let_go(model, machine.device)
        return seconds

    return seconds_of


def _time_steps(
    model: nn.Module, machine: Machine, size: int, side: int, prompt: str | None, loss: Loss
) -> float:
    """The shortest of a few training steps, with a rate of 0."""
    image = torch.rand(size, 3, side, side)
    batch = {"image": image, "mask": (image[:, :1] > 0.7).float(), "index": torch.arange(size)}
    _, *seconds = steps_timed(model, machine, [batch] * (1 + STEPS), prompt, loss)
    return min(seconds)


def _let_go(model: nn.Module, device: torch.device) -> None:
    """Free what a step leaves behind, also one that ran out of memory."""
    model.zero_grad()
    give_back_freed(device)
    return_freed_memory()


def _free_bytes(device: torch.device) -> float:
    own = free_bytes_of_gpu(device)
    return free_memory()[0] if own is None else own
