"""A run's network on other images than its own: whose these are, and how they are found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, TypeVar

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.resuming import same
from gpsseg.config.shared import SourceConfig

Config = TypeVar("Config", bound=FinetuneConfig)


def is_own_set(trained: SourceConfig, dataset: str | None) -> bool:
    """Whether a data set, however its path is spelled, is the one that was tuned for.

    One's own images (``images`` or ``table``) are no named set.

    Args:
        trained: of a run or a comparison.
        dataset: what was asked for; None for the run's own.
    """
    if dataset is None:
        return True
    return not (trained.images or trained.table) and same("dataset", dataset, trained.dataset)


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
    own = is_own_set(trained, dataset)
    return dataclasses.replace(
        trained,
        images=trained.images if own else None,
        masks=trained.masks if own else None,
        table=trained.table if own else None,
        title=trained.title if own else None,
        dataset=dataset or trained.dataset,
        on_bad_image=on_bad_image or trained.on_bad_image,
        data_root=data_root or (trained.data_root if own else None),
        split=split or (trained.split if own else None),
        classes=trained.classes if own else (),
        separate_classes=trained.separate_classes and own,
        train_size=trained.train_size if own and not split else None,
    )
