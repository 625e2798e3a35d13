"""What a delta says of itself, checked; an older one's gaps are filled from its run's folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpsseg.config.fitting import Text
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import OF_SOME, known_options
from gpsseg.config.private import HIDDEN
from gpsseg.config.written import (
    AnyConfig,
    AveragedPart,
    BegunSplit,
    HashedSplit,
    ListedSplit,
    Selected,
    TrainableCounts,
)
from gpsseg.config.written_delta import DeltaScores, DeltaSettings
from gpsseg.config.written_scores import Metrics
from gpsseg.delta.opened import OpenedDelta
from gpsseg.errors import UserError, shown
from gpsseg.files import last_part
from gpsseg.reading import fitted, parse_json, read_object
from gpsseg.runs.adopted import adopted_of
from gpsseg.runs.delta_facts import scores_of
from gpsseg.runs.trained import training_of_metadata, training_of_run

TEXTS = (
    *("base", "base_hash", "dataset", "title", "data", "split_sha256", "selection_hash"),
    *("licence", "started_from"),
)
LONGEST = 1 << 20  # characters of a JSON text in the metadata
PLACES = ("backbone", "weights")

OBJECTS: Mapping[str, Any] = {
    "settings": DeltaSettings,
    "trainable": TrainableCounts,
    "scores": DeltaScores,
    "averaged": list[AveragedPart],
}
# Settings of the run that a delta from elsewhere lies in: how it is used here, not how it was made.
OF_USE = (
    *(
        "backbone",
        "weights",
        "prompt",
        "text",
        "image_size",
        "precision",
        "method",
        "rank",
        "classes",
    ),
    "separate_classes",
)


def facts_of(opened: OpenedDelta) -> dict[str, Any]:
    """What is known of a delta, by the names in docs/files.md; None where nobody says.

    Raises:
        UserError: the metadata, or a file of the run, hold what they must not.
    """
    told = _of_metadata(opened.delta.metadata, opened.path)
    more = _of_run(opened.run) if opened.run else {}
    known = {name: more.get(name) if value is None else value for name, value in told.items()}
    epochs = more.get("epochs")
    training = training_of_metadata(opened.delta.metadata)
    if training is None and opened.run:
        training = training_of_run(opened.run.path, epochs)
    known["training"] = training
    return known


def _of_metadata(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {name: metadata.get(name) for name in TEXTS}
    number = metadata.get("train_images")
    if number is not None and not re.fullmatch(r"[0-9]{1,9}", number):
        raise UserError(
            f"{path}: train_images is {shown(number)}, expected a number of images. Put back the "
            "file as gpsseg wrote it."
        )
    found["train_images"] = None if number is None else int(number)
    for name, hint in OBJECTS.items():
        text, place = metadata.get(name), f"{path}: {name}"
        if text is not None and len(text) > LONGEST:
            raise UserError(f"{place} has {len(text):,} characters, expected at most {LONGEST:,}.")
        found[name] = None if text is None else fitted(parse_json(text, place), hint, place)
    return found


def _of_run(run: RunFolder) -> dict[str, Any]:
    """The same, as far as a run's other files say so; of a delta from elsewhere its use alone."""
    config = read_object(run.config, AnyConfig)
    settings = dict(config.get("config", {}))
    if isinstance(precision := config.get("resolved", {}).get("precision"), str):
        settings["precision"] = precision
    found: dict[str, Any] = {"epochs": settings.get("epochs")}
    if not isinstance(found["epochs"], int):
        found["epochs"] = None
    names = {**settings, **{name: _name(settings.get(name)) for name in PLACES}}
    has = known_options(str(settings.get("method")))
    absent = {name for name in OF_SOME if name not in has}
    wanted = DeltaSettings.__annotations__.keys() - absent
    kept = {
        name: names[name] for name in DeltaSettings.__annotations__ if name in names.keys() & wanted
    }
    found["settings"] = fitted(kept, DeltaSettings, f"{run.config}: config")
    if adopted_of(run.path):
        return {"settings": {n: v for n, v in found["settings"].items() if n in OF_USE}}
    if run.layers.is_file():
        found["selection_hash"] = read_object(run.layers, Selected).get("hash")
    if run.split.is_file():
        split = read_object(run.split, ListedSplit) | read_object(run.split, HashedSplit)
        skipped = read_object(run.split, BegunSplit).get("skipped", ())
        left_out = sum(each["part"] == "train" for each in skipped)
        found["train_images"] = len(split["train"]) - left_out
        found |= {"split_sha256": split["sha256"], "data": split.get("data")}
    if run.metrics.is_file():
        metrics = read_object(run.metrics, Metrics)
        found |= {name: metrics.get(name) for name in ("dataset", "title", "data", "trainable")}
        found["scores"] = fitted(scores_of(metrics), DeltaScores, str(run.metrics)) or None
    return found


def _name(place: object) -> Text | None:
    """A file's or folder's name alone."""
    if not isinstance(place, str) or place == HIDDEN:
        return None
    return Text(last_part(place))
