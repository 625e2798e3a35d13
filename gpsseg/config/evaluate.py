"""What `python -m gpsseg.evaluate` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.shared import at_least
from gpsseg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score a finished run, or any tool's predictions, under named protocols.

    Masks and probability maps may be PNG (8 or 16 bits), TIFF, .npy, NIfTI, NRRD or MHA; they are
    paired with the truth by name, and words such as _mask or _pred in it do not matter.

    Example: python -m gpsseg.evaluate --run runs/kvasir-litemedsam-gps-... --dataset isic2017

    Example: python -m gpsseg.evaluate --predictions my_masks --dataset kvasir --data-root ~/data

    Example: python -m gpsseg.evaluate --predictions mine --truth masks --against theirs
    """

    run: Path | None = None
    """Folder of a finished run; its network predicts the test split."""
    predictions: Path | None = None
    """Or: folder of masks or probability maps that any tool made; --dataset or --truth says of
    what. Sub-folders are searched too."""
    truth: Path | None = None
    """Folder of the true masks, for --predictions on images that are in no data card."""
    dataset: str | None = None
    """A data set, whose test split is scored. Default: the one the run was trained on."""
    data_root: Path | None = None
    """Folder that holds the real data set. Default: the run's, or $GPSSEG_DATA."""
    split: str | None = None
    """One of the data set's splits by name, or a split file; its test part is scored. Default: the
    run's, or the set's best."""
    anonymous_ids: bool = False
    """Write hashes instead of image names into the results. A run that was made so stays so."""
    protocol: tuple[str, ...] = ("per-image", "micro")
    """per-image (always scored), micro, pranet, isic, medsam-adapter, boundary (distances), volume
    (3-D), gps-repo (to reproduce that script only); or all."""
    against: tuple[Path, ...] = ()
    """Compare image by image with these: run folders, folders that this command wrote, or folders
    of predictions. P-values of several are adjusted together (Holm)."""
    batch_size: int | None = None
    """Images per forward pass. Default: the run's."""
    prompts: Path | None = None
    """CSV (image, x0, y0, x1, y1 or image, x, y) or JSON ({"image": [...]}) with a box or point in
    pixels for every image, for a run trained with --prompt box or point. Default: the truth's."""
    strict: bool = False
    """Stop before anything is scored if a test image is also among the run's training images, or if
    those are no longer there to compare with."""
    untrained: bool = False
    """Also score a run that was stopped before its first validation; its scores are labelled."""
    output: Path | None = None
    """Folder to write to; must not exist. Default: <run>/evaluate-<dataset>-<time>, or
    runs/evaluate-<name>-<time>."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size")
        if (self.run is None) == (self.predictions is None):
            raise UserError(
                f"Got {'neither' if self.run is None else 'both'} of --run and --predictions, "
                "expected one: --run RUN for a run of gpsseg, or --predictions FOLDER for masks "
                "that any tool made."
            )
        if self.predictions and (self.dataset is None) == (self.truth is None):
            raise UserError(
                f"Got {'neither' if self.truth is None else 'both'} of --dataset and --truth, "
                "expected one beside --predictions: --dataset NAME, or --truth FOLDER with the "
                "true masks."
            )
        if self.prompts and not self.run:
            raise UserError("--prompts goes with --run: predictions are scored as they are.")
        if self.untrained and not self.run:
            raise UserError("--untrained goes with --run: predictions are scored as they are.")
        if self.run and self.truth:
            raise UserError(
                "--truth goes with --predictions; a run is scored on a data set. Pass --dataset, "
                "or write masks with `python -m gpsseg.predict` and score these."
            )
        for name in ("data_root", "split"):
            if self.truth and getattr(self, name):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} goes with --dataset, not with --truth. Leave one out.")
        if not self.protocol:
            raise UserError("--protocol needs a name, such as per-image, or all.")
