"""What `python -m gpsseg.benchmark` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.config.methods import METHOD_OPTIONS
from gpsseg.config.shared import BackboneConfig, BatchSize, Precision, TopK
from gpsseg.errors import UserError, look_up

SELECTED = ("gps", "masked")
MEASURED = (
    "floor",
    "masked",
    "selection",
    *(name for name in METHOD_OPTIONS if name not in ("neuroada", "fps")),  # as fast as gps
)
_SELECTS = Condition("--methods gps or masked", lambda c: bool(set(SELECTED) & set(c.methods)))
_SCORES = Condition(
    "--methods gps, masked or selection", lambda c: bool({*SELECTED, "selection"} & set(c.methods))
)
CONDITIONS: Conditions = {"top_k": _SELECTS, "decoder_top_k": _SCORES}


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Measure what a training step of each method costs here, in time and memory.

    Example: python -m gpsseg.benchmark --backbone litemedsam --methods floor gps full
    """

    backbone: str = BackboneConfig.backbone
    """A name from `python -m gpsseg.backbones`, or as finetune's option of this name."""
    methods: tuple[str, ...] = ("floor", "gps", "masked", "decoder", "full")
    """floor (forward and input gradients; all is frozen but what starts from random weights), gps,
    masked (GPS by dense gradients times a mask), selection (scoring as many images as a step has),
    PEFT's shira (rank 8, on every linear layer), and full, decoder, bias, norm, lora, dora, adapter
    and ssf as finetune has them."""
    random_weights: bool = False
    """Measure without the published weights, which time and memory hardly depend on."""
    top_k: tuple[int, ...] = ()
    """Values of K for gps and masked. Default: finetune's for the backbone."""
    decoder_top_k: TopK | None = None
    """K in the decoder, or `dense`. Default: as finetune's."""
    checkpoint_activations: bool = False
    """Measure with activation checkpointing, as finetune's option of this name."""
    image_size: int | None = None
    """Side of the images in pixels. Default: the backbone's own."""
    batch_size: BatchSize | None = None
    """Images per step; `auto` as finetune's. Default: the backbone's own on a CPU."""
    precision: Precision = "auto"
    """auto, fp32 or bf16."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps (an Apple GPU)."""
    steps: int = 3
    """Steps measured per process, after one to warm up."""
    rounds: int = 3
    """Processes per method; the methods take turns, and medians are reported."""
    output: Path | None = None
    """Folder for benchmark.json; must not exist. Default: print only."""

    def __post_init__(self) -> None:
        check_types(self)
        for method in self.methods:
            look_up(method, dict.fromkeys(MEASURED), "method")
        for name in ("methods", "top_k"):
            values = getattr(self, name)
            if (name == "methods" and not values) or len(set(values)) < len(values):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} needs one or more different values, got {values}.")
        refuse_idle(self, CONDITIONS)
