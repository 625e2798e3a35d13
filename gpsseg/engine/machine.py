"""Where to compute: device, precision, processes, and how memory is kept."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor

from gpsseg.config.checked import check_device
from gpsseg.device import (
    GPUS,
    computes_in_bf16,
    count_of,
    gpu_name,
    gpu_peak,
    image_layout,
    joins_processes,
    knows_bf16,
    take,
)
from gpsseg.errors import UserError, counted
from gpsseg.processes import started
from gpsseg.processor import processor

Batch = Mapping[str, Tensor]
MIB = 2**20
# One process may have long files when the others are done; one that ends is noticed at once.
PATIENCE = datetime.timedelta(hours=3)


@dataclass(frozen=True)
class Machine:
    """Where and how precisely to compute.

    Attributes:
        accelerator: the processes.
        device: where tensors go.
        precision: "fp32" or "bf16".
    """

    accelerator: Accelerator
    device: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager[Any]:
        """The mixed-precision context; weights, sums and losses stay float32."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @property
    def part(self) -> tuple[int, int]:
        """Which of the processes this is (from 0), and how many there are."""
        return self.accelerator.process_index, self.accelerator.num_processes

    def mean(self, value: float, weight: int) -> float:
        """The weighted mean of all processes' values.

        It is not finite, in every process, if one of the values is not.
        """
        if self.part[1] == 1:
            return value
        sums = torch.tensor([value * weight, weight], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        return float(sums[0] / sums[1])

    def total(self, count: int) -> int:
        """The sum of all processes' counts."""
        if self.part[1] == 1:
            return count
        total = torch.tensor(count, device=self.device)
        torch.distributed.all_reduce(total)
        return int(total)

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, which are of one shape and type, in that type.

        It is added up in float64, so that the order hardly matters.
        """
        if self.part[1] == 1:
            return tensor
        total = tensor.detach().to(self.device, torch.float64, copy=True)
        torch.distributed.all_reduce(total)
        return total.to(tensor.dtype)

    def share_of(self, batch_size: int) -> int:
        """Images that this process takes at once, of a batch of all processes."""
        return -(-batch_size // self.part[1])

    def place(self, batch: Batch) -> dict[str, Tensor]:
        """Copy a batch to the device; images as convolutions prefer them there."""
        placed = {
            name: tensor.to(self.device, non_blocking=tensor.is_pinned())
            for name, tensor in batch.items()
        }
        placed["image"] = placed["image"].contiguous(memory_format=image_layout(self.device))
        return placed


def require_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        UserError: it does not, or the text names none.
    """
    check_device(device)
    kind, _, number = device.partition(":")
    if kind not in GPUS:
        return
    count = count_of(kind)
    if not count:
        raise UserError(f"--device {device}: this machine has no usable {GPUS[kind]}. Pass cpu.")
    if int(number or 0) >= count:
        raise UserError(
            f"--device {device}: this machine has {counted(count, GPUS[kind])}, counted from 0. "
            f"Pass {kind}:{count - 1}."
        )


def processor_of(device: str) -> str:
    """What computes on a device, such as "NVIDIA H100", "Apple M4" or "AMD EPYC 7763, 8 cores"."""
    if gpu := gpu_name(device):
        return gpu
    return processor()


def make_machine(device: str = "auto", precision: str = "auto") -> Machine:
    """Choose device and precision.

    Raises:
        UserError: a GPU is asked for where there is none of its kind, or a precision that it does
            not know; or several processes were started that cannot exchange anything.
    """
    require_device(device)
    take(device)
    processes = started()
    if processes > 1 and device != "cpu" and not joins_processes():
        if device != "auto":
            raise _apart(processes, device)
        device = "cpu"  # accelerate joins processes on a CPU only if it is told to take that
    _forget_another_device(device)
    # Frozen weights are buffers, equal everywhere; what trains may include unused parameters.
    parallel = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
    waiting = InitProcessGroupKwargs(timeout=PATIENCE)
    accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[parallel, waiting])
    if accelerator.num_processes < processes:
        raise _apart(processes, accelerator.device)
    if precision == "auto":
        precision = "bf16" if computes_in_bf16(accelerator.device) else "fp32"
    if precision == "bf16" and not knows_bf16(accelerator.device):
        raise UserError("--precision bf16: Apple's GPUs know it from macOS 14 on. Pass fp32.")
    if accelerator.device.type == "cpu":
        _keep_freed_memory()
    return Machine(accelerator, accelerator.device, precision)


def _apart(processes: int, device: str | torch.device) -> UserError:
    return UserError(
        f"{processes} processes were started, but on {device} they cannot work together. Start "
        "one, or pass --device cpu."
    )


def join_processes(device: str) -> None:
    """Let the processes that were started for one job find one another, before they do anything.

    Raises:
        UserError: see ``make_machine``; of one process too, where it has no such device.
    """
    require_device(device)
    if started() > 1:
        make_machine(device)


def _forget_another_device(device: str) -> None:
    """Let this process compute on the CPU after a GPU, or on a GPU after the CPU.

    Accelerate keeps its first choice, and has no public way to make another.
    """
    kept = PartialState._shared_state.get("_cpu")
    if kept is not None and kept != (device == "cpu"):
        AcceleratorState._reset_state(reset_partial_state=True)


def peak_memory_mb(device: torch.device, reset: bool = False) -> float:
    """Peak memory of this process in MiB; with ``reset`` what it holds now, which begins anew.

    Of a GPU see ``gpu_peak``, on a CPU resident memory. Only Linux can begin a CPU's peak anew;
    elsewhere it is that since the process began.
    """
    peak = gpu_peak(device, reset)
    if peak is None:
        peak = _resident(reset) if reset else _peak_resident()
    return peak / MIB


def _resident(reset: bool) -> int:
    """Bytes that are resident now; with ``reset`` Linux takes them as the peak."""
    if reset:
        with contextlib.suppress(OSError):  # some containers lock it
            Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss)


def _peak_resident() -> int:
    """The most bytes that were resident at a time, as each system tells it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # bytes there, KiB elsewhere


def _keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of returning it to the system after every layer.

    By default each large activation is a fresh mapping whose pages the kernel zeroes one by one;
    that took almost half of a LiteMedSAM step. Where there is no glibc, nothing changes.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of <malloc.h>
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def return_freed_memory() -> None:
    """Let the system have what was freed, after something far larger than a step."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
