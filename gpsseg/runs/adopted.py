"""A delta from elsewhere, most often a mean of several, with the settings of a run that is here.

Its folder has the settings, the split and the data card of that run, which did not train it. Of a
mean the delta itself says so too, where it was copied or pulled without its adopted.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.gps.average import images_in, parts_in
from gpsseg.gps.tensorfile import metadata_of


@dataclass(frozen=True)
class Adopted:
    """What such a delta tells of itself.

    Attributes:
        trainings: how many deltas it is the mean of; 1 of one that is no mean.
        images: how many were trained on, all together; None where one did not say so.
        dataset: their set's name, where all say the same.
        data: real or synthetic sample, likewise; a synthetic sample among them makes it one.
    """

    trainings: int
    images: int | None
    dataset: str | None
    data: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """The part of metrics.json that says so."""
        return {"trainings": self.trainings, "train_images": self.images}


def adopted_of(run: Path) -> Adopted | None:
    """What a run's delta tells, where the run did not train it; None where it did.

    Raises:
        UserError: what it says of that is damaged.
    """
    delta = RunFolder(run).delta
    metadata = metadata_of(delta)
    told = metadata.get("dataset"), metadata.get("data")
    if "averaged" not in metadata:
        known = images_in(metadata)
        return Adopted(1, known, *told) if RunFolder(run).adopted.is_file() else None
    parts = parts_in(metadata, str(delta))
    counts = [part["train_images"] for part in parts]
    images = sum(filter(None, counts)) if all(counts) else None
    return Adopted(len(parts), images, *told)
