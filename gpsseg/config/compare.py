"""What `python -m gpsseg.compare` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.shared import BackboneConfig, PreparationConfig, TrainingConfig, at_least
from gpsseg.errors import UserError

# What may differ when a stopped comparison is taken up; the others are the settings of its runs.
FREE = {
    "methods",
    "train_sizes",
    "seeds",
    "lr_factors",
    "trial_seeds",
    "baseline",
    "processes",
    "output",
}


@dataclass(frozen=True, kw_only=True)
class CompareConfig(BackboneConfig, PreparationConfig, TrainingConfig):
    """Compare ways to tune on one data set, each at the learning rate that suits it.

    Every method gets the same trials: its default learning rates times each of --lr-factors, with
    the first of --seeds. The best mDice on the *validation* images picks the factor; the other
    seeds follow, and these runs alone are tested. A stopped comparison goes on where it was
    when it is started again with the same options; more methods, seeds or sizes may be added.

    Example: python -m gpsseg.compare --dataset kvasir --data-root ~/data --output comparison
    --backbone unet-efficientnet-lite0 --methods gps gps:top_k=8 full decoder --train-sizes 20 100
    """

    output: Path
    """Folder of the comparison: compare.json, .md, .csv and .html, and cells/ with its runs."""
    methods: tuple[str, ...] = ("gps", "full", "decoder", "lora")
    """Methods as finetune's --method, perhaps with options of finetune:
    NAME:OPTION=VALUE,OPTION=VALUE, such as gps:top_k=8,criterion=fisher or lora:rank=1."""
    train_sizes: tuple[int, ...] = ()
    """Numbers of training images, each a seeded subset. Default: all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of subset, validation images, order and new layers."""
    lr_factors: tuple[float, ...] = (0.3, 1.0, 3.0)
    """The trials: factors of the method's default learning rates."""
    trial_seeds: int = 1
    """How many of the seeds, from the first on, make the trials. Few training images pick badly by
    one: a rate that works with these may fail with others."""
    epochs: int = 12
    """Passes over the training images, for every method."""
    baseline: str = "full"
    """The method of --methods that the others are tested against, image by image."""
    processes: int | None = None
    """Runs at a time. Default: as many as memory has room for after the first, at most one per
    processor core; 1 with CUDA."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        PreparationConfig.__post_init__(self)
        TrainingConfig.__post_init__(self)
        at_least(1, self, "epochs", "processes", "trial_seeds")
        for name in ("methods", "seeds", "lr_factors"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} needs one or more different values, got {values}.")
        if self.trial_seeds > len(self.seeds):
            raise UserError(
                f"--trial-seeds must be at most the number of --seeds, {len(self.seeds)}, "
                f"got {self.trial_seeds}."
            )
        if min(self.lr_factors) <= 0:
            raise UserError(f"--lr-factors must be above 0, got {min(self.lr_factors)}.")
        if min((*self.seeds, 0)) < 0 or min((*self.train_sizes, 1)) < 1:
            raise UserError("--seeds must be 0 or more, and --train-sizes 1 or more.")
