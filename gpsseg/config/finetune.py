"""What `python -m gpsseg.finetune` and `gpsseg.select` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.shared import BackboneConfig, DataConfig, TrainingConfig, at_least
from gpsseg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(BackboneConfig, DataConfig, TrainingConfig):
    """Adapt a backbone to a data set, evaluate it on the test split, and write a report.

    Example: python -m gpsseg.finetune --dataset kvasir --data-root ~/data --epochs 20
    """

    method: str = "gps"
    """gps, or another way to tune to compare it with: full (every weight), decoder (that alone),
    bias, norm, lora, dora, adapter, ssf, or the selections of neuroada and shira. A decoder that
    starts from random weights trains whole beside any of them."""
    rank: int = 8
    """Of lora's and dora's updates; channels of adapter's bottleneck."""
    epochs: int = 4
    """Passes over the training images."""
    lr: float | None = None
    """Peak learning rate. Default: the backbone's. In a pre-trained decoder gps trains the values
    that it selects at a multiple of it (litemedsam, sam-*: 6 times)."""
    decoder_lr: float | None = None
    """Peak learning rate in the decoder. Default: for gps, and where the decoder starts from random
    weights, the backbone's; else --lr."""
    accumulate: int = 1
    """Batches that make one update together, by the mean gradient over their images; an epoch's
    last update takes what is left."""
    strict: bool = False
    """Stop before anything is trained if a test image is also among the training images: the same
    file, the same picture saved otherwise, a neighbouring video frame, or the same patient."""
    output: Path | None = None
    """Folder of this run; must not exist. Default: runs/<dataset>-<backbone>-<method>-<time>."""
    resume: Path | None = None
    """Run folder of a stopped run, to go on after its last finished epoch with its own settings."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        DataConfig.__post_init__(self)
        TrainingConfig.__post_init__(self)
        at_least(1, self, "epochs", "accumulate", "rank")
        for name in ("lr", "decoder_lr"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < float("inf"):
                raise UserError(f"--{name.replace('_', '-')} must be above 0, got {rate}.")


@dataclass(frozen=True, kw_only=True)
class SelectConfig(BackboneConfig, DataConfig):
    """Show what GPS would select: per layer, with counts and shares; nothing is trained.

    Example: python -m gpsseg.select --dataset kvasir --top-k 1
    """

    output: Path | None = None
    """Folder to write selection.safetensors and selection.json to. Default: print only."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        DataConfig.__post_init__(self)
