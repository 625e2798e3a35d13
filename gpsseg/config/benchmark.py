"""What `python -m gpsseg.benchmark` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.shared import Precision, TopK, at_least


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Measure what a training step of each method costs here, in time and memory.

    Example: python -m gpsseg.benchmark --backbone litemedsam --methods floor gps full
    """

    backbone: str = "unet-efficientnet-lite0"
    """A name from `python -m gpsseg.backbones`, or as finetune's option of this name."""
    methods: tuple[str, ...] = ("floor", "gps", "masked", "decoder", "full")
    """floor (forward and input gradients, all frozen), gps, masked (GPS by dense gradients times a
    mask), PEFT's shira (rank 8, on every linear layer), and full, decoder, bias, norm, lora, dora,
    adapter and ssf as finetune has them."""
    random_weights: bool = False
    """Measure without the published weights, which time and memory hardly depend on."""
    top_k: tuple[int, ...] = (1,)
    """Values of K for gps and masked."""
    decoder_top_k: TopK | None = None
    """K in the decoder, or `dense`. Default: as finetune's."""
    checkpoint_activations: bool = False
    """Measure with activation checkpointing, as finetune's option of this name."""
    image_size: int | None = None
    """Side of the images in pixels. Default: the backbone's own."""
    batch_size: int | None = None
    """Images per step. Default: the backbone's own."""
    precision: Precision = "auto"
    """auto, fp32 or bf16."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    steps: int = 3
    """Steps measured per process, after one to warm up."""
    rounds: int = 3
    """Processes per method; the methods take turns, and medians are reported."""
    output: Path | None = None
    """Folder for benchmark.json; must not exist. Default: print only."""

    def __post_init__(self) -> None:
        at_least(1, self, "image_size", "batch_size", "steps", "rounds")
