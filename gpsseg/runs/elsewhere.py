"""A run's network on other images than its own: with whose settings these are found and split."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, TypeVar

from gpsseg.config.finetune import FinetuneConfig

Config = TypeVar("Config", bound=FinetuneConfig)


def settings_on(
    trained: Config,
    dataset: str | None,
    data_root: Path | None = None,
    split: str | None = None,
    on_bad_image: Literal["error", "skip"] | None = None,
) -> Config:
    """The settings of a run with another data set, or another split of its own, in its own's place.

    Of another set all classes are foreground, and are not told apart.

    Args:
        trained: of the run.
        dataset: the other set; None for the run's own.
        data_root: where it lies; None takes the run's for its own set.
        split: of it; None takes the run's for its own set.
        on_bad_image: None takes the run's.
    """
    has_own = trained.images or trained.table
    same = dataset is None or (dataset == trained.dataset and not has_own)
    return dataclasses.replace(
        trained,
        images=trained.images if same else None,
        masks=trained.masks if same else None,
        table=trained.table if same else None,
        title=trained.title if same else None,
        dataset=dataset or trained.dataset,
        on_bad_image=on_bad_image or trained.on_bad_image,
        data_root=data_root or (trained.data_root if same else None),
        split=split or (trained.split if same else None),
        classes=trained.classes if same else (),
        separate_classes=trained.separate_classes and same,
        train_size=trained.train_size if same and not split else None,
    )
