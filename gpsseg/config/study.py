"""What `python -m gpsseg.study` can be asked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import StudyFolder
from gpsseg.errors import UserError

# What may differ when a stopped study is taken up; the others are the settings of its folds.
FREE = {
    *("processes", "output", "resume", "title", "workers", "cache"),
    *("device", "checkpoint_activations", "strict", "tracker"),
}


@dataclass(frozen=True, kw_only=True)
class StudyConfig(FinetuneConfig):
    """Cross-validate: every image is tested once, by a network that saw neither it nor its group.

    The images are dealt into folds, whole groups (patients, sequences) at a time and even in lesion
    size. For each fold a network is tuned on the others as by finetune, with any of its options,
    and tested on it; validation images come out of the others. The scores of all folds together
    are those of all images. A stopped study goes on where it was when it is started again with the
    same options.

    Example: python -m gpsseg.study --table cases.csv --folds 5 --epochs 20 --output study
    """

    output: Path = dataclasses.field()  # without finetune's default
    """Folder of the study: report.html, metrics.json, per_image.csv, and a run for each fold."""
    folds: int = 5
    """How many parts, each tested once."""
    folds_of: Literal["all", "train"] = "all"
    """Of all images of the set's split; or of its training list (with its validation images), so
    that its test images stay aside."""
    processes: int | None = None
    """Folds at a time. Default: as many as memory has room for after the first, at most one per
    processor core; 1 with CUDA. The cores are shared among them, unless OMP_NUM_THREADS says how
    many threads each fold has."""
    resume: Path | None = None
    """Not of a study, which goes on by itself when it is started again with the same options."""

    def __post_init__(self) -> None:
        if self.resume is not None:
            raise UserError(
                f"--resume {self.resume} is for one run. A study goes on where it was when it is "
                "started again with the same options and --output. Leave it out."
            )
        if self.time_limit is not None:
            raise UserError(
                f"--time-limit {self.time_limit} is for one run: a study's folds would train for "
                "different numbers of epochs. Pass --epochs, which all of them have."
            )
        FinetuneConfig.__post_init__(self)
        if self.start_from is not None:
            raise UserError(
                f"--start-from {self.start_from} is for one run: what a fold starts from may have "
                "seen the images that it is tested on. Leave it out, so that each fold selects."
            )

    def of_fold(self, fold: int) -> FinetuneConfig:
        """The settings of the run of a fold (from 1)."""
        folder = StudyFolder(self.output)
        shared: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(FinetuneConfig)
        }
        own = {"split": str(folder.split_of(fold)), "output": folder.run_of(fold).path}
        return FinetuneConfig(**shared | own)
