"""Kinds of GPU: whatever is CUDA's or Apple's (MPS) alone stands here and nowhere else.

It imports torch, so the files beside it, which are light, do not import it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from gpsseg.errors import size_text

GPUS = {"cuda": "CUDA device", "mps": "Apple GPU"}  # torch's names -> what errors call them


def count_of(kind: str) -> int:
    """How many GPUs of a kind of ``GPUS`` this machine has that torch can use."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_gpu(device: str) -> bool:
    """Whether ``--device`` means a GPU here, as "auto" does where there is one."""
    return not device.startswith("cpu") and any(map(count_of, GPUS))


def in_bf16(kind: str) -> bool:
    """Whether autocast to bfloat16 is on for a kind of device; some, as "meta", have none."""
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return False
    return torch.get_autocast_dtype(kind) == torch.bfloat16


def has_cuda() -> bool:
    """Whether a CUDA device may read memory that is pinned, while workers read ahead.

    Neither pays with Apple's GPU: it shares the processor's memory, and on macOS each worker begins
    with importing torch, in every epoch.
    """
    return torch.cuda.is_available()


def joins_processes() -> bool:
    """Whether several processes can work together on the GPUs here: not on Apple's."""
    return torch.accelerator.is_available() and not count_of("mps")


def take(device: str) -> None:
    """Let this process compute on the CUDA device that has this number, if it has one."""
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)


def gpu_name(device: str) -> str | None:
    """What the maker calls the GPU that ``--device`` means; None where it means none."""
    if not has_gpu(device):
        return None
    if count_of("mps"):
        named = getattr(torch.backends.mps, "get_name", None)  # of newer torch
        return named() if named else GPUS["mps"]
    return torch.cuda.get_device_name(None if device == "auto" else device)


def gpus() -> list[str]:
    """Every GPU that torch can use here: name, memory and kind, whether it computes in bf16."""
    if count_of("mps"):
        return [f"{gpu_name('auto')} (shares the processor's memory)"]
    found = (torch.cuda.get_device_properties(number) for number in range(count_of("cuda")))
    able = "" if computes_in_bf16(torch.device("cuda")) else "no "
    return [
        f"{gpu.name}, {size_text(gpu.total_memory)}, compute capability "
        f"{gpu.major}.{gpu.minor}, {able}bf16"
        for gpu in (found if count_of("cuda") else ())
    ]


def built_for() -> str:
    """What torch was built for, such as "CUDA 13.0", and which processor's instructions it uses."""
    kinds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    built = [f"{kind} {version}" for kind, version in kinds.items() if version]
    if torch.backends.mps.is_built():
        built.append("Apple's GPUs")
    return (
        f"{' and '.join(built) or 'the CPU alone'}; CPU: {torch.backends.cpu.get_cpu_capability()}"
    )


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the processor has bf16 arithmetic; emulated, bf16 is slower than fp32.

    Of Apple's GPUs it is not known to be faster, so that they take it only when they are told to.
    """
    if device.type == "mps":
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16") or able.get("arm_bf16"))


def knows_bf16(device: torch.device) -> bool:
    """Whether bf16 can be computed at all, emulated or not: on Apple's GPUs from macOS 14."""
    return device.type != "mps" or torch.backends.mps.is_macos_or_newer(14, 0)


def image_layout(device: torch.device) -> torch.memory_format:
    """How images lie in memory: channels last, which convolutions prefer.

    On Apple's GPUs channels first: with channels last torch had, up to the middle of 2026, wrong
    convolutions there, and a backward pass of batch normalisation that failed.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def drawn_again() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Two contexts, of which the second draws at random what the first did: for ``checkpoint``.

    It does so by itself, but not on Apple's GPUs (torch 2.14): there each dropout would be another
    when activations are computed again, and the gradients wrong.
    """
    return nullcontext(), _Redrawn() if count_of("mps") else nullcontext()


class _Redrawn:
    """Draws on Apple's GPU within, any number of times, are those that follow its making."""

    def __init__(self) -> None:
        self._state = torch.mps.get_rng_state()

    def __enter__(self) -> None:
        self._outside = torch.mps.get_rng_state()
        torch.mps.set_rng_state(self._state)

    def __exit__(self, *_: object) -> None:
        torch.mps.set_rng_state(self._outside)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; a processor has done it already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def gpu_peak(device: torch.device, reset: bool) -> int | None:
    """The most bytes of a GPU's memory that this process took at a time; None of a processor.

    With ``reset`` what it holds now, from which the peak begins anew. On CUDA what the allocator
    handed out. Apple's tells no peak: it is all that the allocator took from the system, and it
    keeps what is freed, until that is given back here.
    """
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        if reset:
            torch.mps.empty_cache()
        return torch.mps.driver_allocated_memory()
    return None


def fused_updates(device: torch.device) -> bool | None:
    """Whether an optimiser is to update all at once: on CUDA; None leaves it to torch.

    On CUDA an update is one kernel a group, where else it is a dozen. On a CPU that kernel rounds
    otherwise than torch's plain update, and results are to stay what they are.
    """
    return True if device.type == "cuda" else None


def draws_kept(device: torch.device) -> AbstractContextManager[Any]:
    """A context after which random numbers go on as if nothing had been drawn in it."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def random_state(device: torch.device) -> torch.Tensor:
    """(n,) uint8 from which networks on a device draw; others as soon as something was drawn."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.get_rng_state()


def free_bytes_of_gpu(device: torch.device) -> float | None:
    """What this process could take of a GPU's own memory now; None where it has none."""
    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def give_back_freed(device: torch.device) -> None:
    """Let other processes have the GPU memory that was freed here."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
