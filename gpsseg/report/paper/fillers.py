"""All that can be said of a folder, by name, for checklists and for the paragraph of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpsseg.report.paper import (
    said_of_clinic,
    said_of_data,
    said_of_loss,
    said_of_method,
    said_of_prompts,
    said_of_scores,
    said_of_training,
)
from gpsseg.report.paper.facts import Filler, FolderFacts, Sentence
from gpsseg.report.paper.table import marks

FILLERS: Mapping[str, Filler] = {
    filler.__name__: filler
    for filler in (
        said_of_data.synthetic,
        said_of_data.data_source,
        said_of_data.licence,
        said_of_data.partitions,
        said_of_data.validation_share,
        said_of_data.groups,
        said_of_data.leaks,
        said_of_data.left_out,
        said_of_data.tested,
        said_of_data.preparation,
        said_of_data.scored_size,
        said_of_data.augmentation,
        said_of_prompts.prompts,
        said_of_data.sizes,
        said_of_data.independence,
        said_of_training.network,
        said_of_training.pretraining,
        said_of_training.seed,
        said_of_method.method,
        said_of_method.selection_images,
        said_of_method.trained_share,
        said_of_training.optimisation,
        said_of_loss.loss,
        said_of_training.epoch_kept,
        said_of_training.ended_early,
        said_of_training.ensemble,
        said_of_training.software,
        said_of_training.hardware,
        said_of_training.repeat,
        said_of_training.delta,
        said_of_scores.protocols,
        said_of_scores.headline_protocol,
        said_of_scores.scores,
        said_of_scores.classes,
        said_of_scores.warnings,
        said_of_scores.intervals,
        said_of_scores.paired,
        said_of_scores.by_size,
        said_of_scores.calibration,
        said_of_clinic.diagnosis,
        said_of_clinic.finds,
        said_of_clinic.lesions,
        said_of_clinic.agreement,
        said_of_clinic.by_column,
        said_of_clinic.uncertainty,
        said_of_scores.worst,
        said_of_scores.across_folds,
        said_of_scores.internal,
        said_of_scores.external,
        said_of_scores.output,
    )
}
METHODS = (
    *("synthetic", "data_source", "partitions", "validation_share", "groups", "leaks"),
    *("left_out", "preparation", "network", "pretraining", "method", "selection_images"),
    *(
        "trained_share",
        "optimisation",
        "loss",
        "augmentation",
        "epoch_kept",
        "ended_early",
        "seed",
        "ensemble",
        "prompts",
    ),
    *("headline_protocol", "intervals", "hardware", "software"),
)
RESULTS = (
    *(
        "scores",
        "classes",
        "across_folds",
        "by_size",
        "by_column",
        "calibration",
        "lesions",
        "diagnosis",
    ),
    *("agreement", "finds", "uncertainty", "warnings"),
)


OF_SCORES = ("worst", "paired")  # beside the results
SAMPLE = "SYNTHETIC SAMPLE"  # what is not of scores bears this label alone


def say_all(facts: FolderFacts, names: Sequence[str]) -> list[Sentence]:
    """What the fillers of these names say; those that find nothing are left out."""
    found = (FILLERS[name](facts) for name in names)
    return [said for said in found if said]


def say_apart(facts: FolderFacts, names: Sequence[str]) -> list[Sentence]:
    """The same for items that are copied one by one: each bears the labels of its scores."""
    labels = [mark.partition(":")[0] for mark in marks(facts)]
    labels = [label for label in labels if label.isupper()]
    found = []
    for name in names:
        of_scores = name in RESULTS or name in OF_SCORES
        kept = [label for label in labels if of_scores or label == SAMPLE]
        for said in say_all(facts, [name]):
            new = [label for label in kept if label not in said.text]
            found.append(replace(said, text=": ".join([*new, said.text])))
    return found
