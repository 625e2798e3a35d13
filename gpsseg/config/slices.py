"""What `python -m gpsseg.slices` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpsseg.config.checked import check_types
from gpsseg.config.predict import check_window
from gpsseg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SlicesConfig:
    """Cut volumes and their masks into PNG slices to train on, upright, with a table of them.

    Volumes are NIfTI, NRRD, MHA or DICOM series. In the table, cases.csv, the slices of one volume
    are one group, so that no split parts them.

    Example: python -m gpsseg.slices --images ct/ --masks segmentations/ --output cut
    --window 40 400

    Example: python -m gpsseg.slices --table Task03_Liver/dataset.json --labels 1 2 --output cut
    """

    images: Path | None = None
    """Folder of the volumes."""
    masks: Path | None = None
    """Folder of their masks, on the same grid; paired by name (x_seg.nii.gz will do for x.nrrd)."""
    table: Path | None = None
    """Or: MSD's or MONAI's dataset.json, or a CSV or Parquet of volumes, as for finetune."""
    labels: tuple[int, ...] = ()
    """Which values are foreground, of masks of several classes. Default: masks have two levels."""
    output: Path
    """Folder for images/, masks/ and cases.csv; must not exist or be empty."""
    axis: Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    """Which slices. auto: as they were stored."""
    window: tuple[float, float] | None = None
    """Centre and width of the greys. Default: the file's own (of CT, what most series have, for all
    of them), or else the 0.5 and 99.5 percentiles. A run that is trained on these slices remembers
    it, and predict takes it too."""
    skip_empty: bool = False
    """Leave out slices whose mask is empty."""

    def __post_init__(self) -> None:
        check_types(self)
        if (self.images is None) != (self.masks is None) or bool(self.images) == bool(self.table):
            raise UserError("Pass --images and --masks, or else --table: the volumes to cut.")
        check_window(self.window)
