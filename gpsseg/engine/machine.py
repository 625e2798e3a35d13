"""Where to compute: device, precision, processes, and how memory is kept."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import os
import platform
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

from gpsseg.config.checked import DEVICE
from gpsseg.errors import UserError, counted
from gpsseg.processes import started

Batch = Mapping[str, Tensor]
MB = 2**20
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
        """Copy a batch to the device; images channels last, which convolutions prefer."""
        placed = {
            name: tensor.to(self.device, non_blocking=tensor.is_pinned())
            for name, tensor in batch.items()
        }
        placed["image"] = placed["image"].contiguous(memory_format=torch.channels_last)
        return placed


def require_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        UserError: it does not, or the text names none.
    """
    if not DEVICE.fullmatch(device):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got '{device}'.")
    if not device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        raise UserError(f"--device {device}: this machine has no usable CUDA device. Pass cpu.")
    number, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= count:
        raise UserError(
            f"--device {device}: this machine has {count} CUDA devices, counted from 0. Pass "
            f"cuda:{count - 1}."
        )


def on_gpu(device: str) -> bool:
    """Whether a device that was asked for by --device is a GPU."""
    return torch.cuda.is_available() and not device.startswith("cpu")


def processor_of(device: str) -> str:
    """What computes on a device, such as "NVIDIA H100" or "AMD EPYC 7763, 8 cores"."""
    if on_gpu(device):
        return torch.cuda.get_device_name(None if device == "auto" else device)
    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, f": {name}").partition(":")[2].strip()
    return f"{name or platform.machine()}, {counted(os.cpu_count() or 1, 'core')}"


def make_machine(device: str = "auto", precision: str = "auto") -> Machine:
    """Choose device and precision.

    Raises:
        UserError: a CUDA device is asked for where there is none; or several processes were
            started that cannot exchange anything.
    """
    require_device(device)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    processes = started()
    if processes > 1 and device == "auto" and not torch.accelerator.is_available():
        device = "cpu"  # accelerate joins processes on a CPU only if it is told to take that
    _forget_another_device(device)
    # Frozen weights are buffers, equal everywhere; what trains may include unused parameters.
    parallel = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
    waiting = InitProcessGroupKwargs(timeout=PATIENCE)
    accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[parallel, waiting])
    if accelerator.num_processes < processes:
        raise UserError(
            f"{processes} processes were started, but on {accelerator.device} they cannot work "
            "together. Start one, or pass --device cpu."
        )
    if precision == "auto":
        precision = "bf16" if _computes_in_bf16(accelerator.device) else "fp32"
    if accelerator.device.type == "cpu":
        _keep_freed_memory()
    return Machine(accelerator, accelerator.device, precision)


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

    On CUDA what the allocator handed out, on a CPU resident memory. Only Linux can begin a CPU's
    peak anew; elsewhere it is that since the process began.
    """
    if device.type != "cuda":
        return (_resident(reset) if reset else _peak_resident()) / MB
    if reset:
        torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.max_memory_allocated(device) / MB


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


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether the processor has bf16 arithmetic; emulated, bf16 is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16") or able.get("arm_bf16"))
