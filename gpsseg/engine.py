"""The one training loop, the one loss, the one way to predict: every method goes through here."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from gpsseg.config import FinetuneConfig
from gpsseg.console import progress, say
from gpsseg.errors import UserError
from gpsseg.files import log_to
from gpsseg.resume import load_state, save_state

Batch = Mapping[str, Tensor]


class TrainingDivergedError(UserError):
    """The loss or a weight is no longer finite; the model holds its last good state."""


@dataclass(frozen=True)
class Machine:
    """Where and how precisely to compute.

    Attributes:
        accelerator: device, processes and gradient accumulation.
        precision: "fp32" or "bf16".
    """

    accelerator: Accelerator
    precision: str

    def autocast(self) -> AbstractContextManager[Any]:
        """The mixed-precision context; weights, sums and losses stay float32."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=enabled)

    def place(self, batch: Batch) -> dict[str, Tensor]:
        """Copy a batch to the device; images channels last, which convolutions prefer."""
        device = self.accelerator.device
        placed = {
            name: tensor.to(device, non_blocking=tensor.is_pinned())
            for name, tensor in batch.items()
        }
        placed["image"] = placed["image"].contiguous(memory_format=torch.channels_last)
        return placed


def make_machine(device: str = "auto", precision: str = "auto", accumulate: int = 1) -> Machine:
    """Choose device and precision.

    Raises:
        UserError: a CUDA device is asked for where there is none.
    """
    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got '{device}'.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: this machine has no usable CUDA device. Pass cpu.")
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    accelerator = Accelerator(cpu=device == "cpu", gradient_accumulation_steps=accumulate)
    if precision == "auto":
        precision = "bf16" if _computes_in_bf16(accelerator.device) else "fp32"
    if accelerator.device.type == "cpu":
        _keep_freed_memory()
    return Machine(accelerator, precision)


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


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether the processor has bf16 arithmetic; emulated, bf16 is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16") or able.get("arm_bf16"))


def segmentation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy plus soft IoU loss, the loss of the GPS segmentation experiments.

    Args:
        logits: (B, 1, H, W) float.
        mask: (B, 1, H, W) float of 0 and 1.

    Returns:
        Scalar: mean cross-entropy over pixels + mean over images of 1 - soft IoU.
    """
    logits = logits.float()
    if logits.shape != mask.shape:
        logits = F.interpolate(logits, mask.shape[-2:], mode="bilinear", align_corners=False)
    probability = logits.sigmoid()
    overlap = (probability * mask).sum((1, 2, 3))
    union = (probability + mask).sum((1, 2, 3)) - overlap
    soft_iou = (overlap + 1) / (union + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - soft_iou).mean()


def batch_loss(machine: Machine) -> Callable[[nn.Module, Batch], Tensor]:
    """Return ``loss(model, batch)``, as scoring and training both use it."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        batch = machine.place(batch)
        with machine.autocast():
            logits = model(batch["image"])
        return segmentation_loss(logits, batch["mask"])

    return loss


def tuning_mode(model: nn.Module) -> None:
    """Training mode, but with normalisation by the running statistics of pre-training."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


@torch.no_grad()
def predict(
    model: nn.Module, batches: Iterable[Batch], machine: Machine
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(index, probability)`` for every image of ``batches``.

    ``probability`` is float32 (H, W) in [0, 1] at the image's native size: the network's map,
    resized bilinearly (the caller thresholds it afterwards).
    """
    model.eval()
    for batch in batches:
        batch = machine.place(batch)
        with machine.autocast():
            logits = model(batch["image"])
        for i, index in enumerate(batch["index"].tolist()):
            size = (int(batch["height"][i]), int(batch["width"][i]))
            map_ = logits[i : i + 1].float().sigmoid()
            native = F.interpolate(map_, size, mode="bilinear", align_corners=False)
            yield index, native[0, 0].cpu().numpy()


@dataclass(frozen=True)
class History:
    """How a training went.

    Attributes:
        epochs: one dict an epoch: epoch, loss, val_dice, lr, seconds (with validation), waiting
            (share of the time of its steps, from asking for the first batch on, that went into
            waiting for images).
        best_epoch: the epoch whose weights the model holds in the end; 0 before the first.
        best_dice: its mDice on the validation images.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_dice: float = -1.0

    def add(self, row: dict[str, float]) -> History:
        """Return the history with one more epoch."""
        if row["val_dice"] > self.best_dice:
            return History([*self.epochs, row], int(row["epoch"]), row["val_dice"])
        return History([*self.epochs, row], self.best_epoch, self.best_dice)


def train(
    model: nn.Module,
    batches_of: Callable[[int], DataLoader[Any]],
    validate: Callable[[], float],
    rates: Mapping[str, float],
    config: FinetuneConfig,
    machine: Machine,
    run: Path,
) -> History:
    """Train what ``rates`` names with AdamW and a cosine schedule; keep the best epoch's weights.

    Args:
        model: prepared: only the parameters named in ``rates`` require gradients.
        batches_of: epoch (from 1) -> that epoch's loader.
        validate: scores the model as it is: mDice on the validation images, in [0, 1].
        rates: parameter name -> peak learning rate.
        config: epochs, weight decay, warm-up, whether to resume.
        machine: where to compute.
        run: folder for log.jsonl (a line a step and an epoch) and state/ (the resume point).

    Raises:
        TrainingDivergedError: the loss or a weight became NaN or infinite.

    However it ends, also by Ctrl-C, the model holds the best finished epoch's weights, or the
    base's if none was finished.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = [{"params": [p], "lr": rates[name]} for name, p in trained.items()]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    steps = len(batches_of(1))
    total = math.ceil(config.epochs * steps / config.accumulate)
    factor = _cosine(total, config.warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    log, state = log_to(run / "log.jsonl"), run / "state" / "last.safetensors"
    best, history = _copy(trained), History()
    if config.resume:
        best, progress_made = load_state(state, trained, optimizer)
        history, schedule.last_epoch = History(**progress_made["history"]), progress_made["updates"]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor(schedule.last_epoch)
    ready, stepper = machine.accelerator.prepare(model, optimizer)
    loss_of, epochs = batch_loss(machine), range(len(history.epochs) + 1, config.epochs + 1)
    try:
        for epoch, step, batch, waited in progress(
            _all_steps(batches_of, epochs), "training", len(epochs) * steps
        ):
            if step == 1:
                tuning_mode(model)
                torch.manual_seed(config.seed * 100_003 + epoch)  # of dropout, if there is any
                losses, waiting, started = [], 0.0, time.perf_counter() - waited
            waiting += waited
            with machine.accelerator.accumulate(ready):
                loss = loss_of(ready, batch)
                losses.append(loss.item())
                _require_finite(loss, f"the loss is {losses[-1]}", epoch, step)
                machine.accelerator.backward(loss)
                stepper.step()
                if machine.accelerator.sync_gradients:
                    schedule.step()
                stepper.zero_grad()
            log({"event": "step", "epoch": epoch, "step": step, "loss": losses[-1]})
            if step < steps:
                continue
            for name, parameter in trained.items():
                _require_finite(parameter, f"{name} is not finite", epoch, step)
            stepping = time.perf_counter() - started
            val_dice = validate()
            row = {
                "epoch": epoch,
                "loss": sum(losses) / len(losses),
                "val_dice": val_dice,
                "lr": float(max(schedule.get_last_lr())),
                "seconds": time.perf_counter() - started,
                "waiting": waiting / stepping,
            }
            if val_dice > history.best_dice:
                best = _copy(trained)
            history = history.add(row)
            log({"event": "epoch", **row})
            say(f"epoch {epoch}/{config.epochs}: loss {row['loss']:.3f}, val mDice {val_dice:.3f}")
            progress_made = {"history": asdict(history), "updates": schedule.last_epoch}
            save_state(state, trained, best, optimizer, progress_made)
    except BaseException as error:
        log({"event": "stopped", "why": str(error) or type(error).__name__})
        raise
    finally:
        _restore(trained, best)
    return history


def _require_finite(tensor: Tensor, what: str, epoch: int, step: int) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise TrainingDivergedError(
            f"Training diverged: {what} at epoch {epoch}, step {step}. The best finished epoch is "
            "kept in the run folder's delta.safetensors. Try a --lr ten times smaller."
        )


def _all_steps(
    batches_of: Callable[[int], DataLoader[Any]], epochs: Iterable[int]
) -> Iterator[tuple[int, int, Any, float]]:
    """Yield (epoch, step from 1, batch, seconds waited for it)."""
    for epoch in epochs:
        asked = time.perf_counter()
        for step, batch in enumerate(batches_of(epoch), start=1):
            yield epoch, step, batch, time.perf_counter() - asked
            asked = time.perf_counter()


def _cosine(total: int, warmup: float) -> Callable[[int], float]:
    """Linear warm-up over a share of all steps, then half a cosine down to zero."""
    rising = max(1, round(warmup * total))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))

    return factor


def _copy(trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: copy.deepcopy(parameter.detach()) for name, parameter in trained.items()}


@torch.no_grad()
def _restore(trained: Mapping[str, nn.Parameter], state: Mapping[str, Tensor]) -> None:
    for name, parameter in trained.items():
        parameter.copy_(state[name])
