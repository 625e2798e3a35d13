"""Multi-class scores: from probabilities to label maps, and per class, macro and micro."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError
from gpsseg.evaluators.counts import Array
from gpsseg.evaluators.overlap import dice, iou
from gpsseg.evaluators.summary import Row, Table

CI = ("", "_ci95")
VARIED = ("resampled", "units", "seeds", "ungrouped", "no_interval")


def foreground(probability: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Probability that a pixel is of any class: (H, W) as it is, of (C, H, W) 1 - the first.

    Args:
        probability: (H, W) or (C, H, W) float in [0, 1], the background first.

    Returns:
        (H, W) in [0, 1], of the same dtype.

    >>> foreground(np.array([[[0.4]], [[0.35]], [[0.25]]])).tolist()
    [[0.6]]
    """
    return probability if probability.ndim == 2 else (1 - probability[0]).clip(0, 1)


def label_map(probability: npt.NDArray[Any], threshold: float = 0.5) -> npt.NDArray[np.uint8]:
    """(C, H, W) probabilities, the background first -> uint8 (H, W) labels 0..C - 1.

    A pixel is foreground by the same threshold as with one class; its label is then the most
    probable class.

    Args:
        probability: (C, H, W) float in [0, 1].
        threshold: in [0, 1]; what reaches it is foreground.

    >>> label_map(np.array([[[0.4, 0.6]], [[0.35, 0.4]], [[0.25, 0.0]]])).tolist()
    [[1, 0]]
    """
    best = 1 + probability[1:].argmax(axis=0)
    return np.where(foreground(probability) >= threshold, best, 0).astype(np.uint8)


@dataclass(frozen=True)
class ClassTable:
    """Collects the scores of each class, image by image.

    Attributes:
        names: of the labels 1, 2, ...
        rows: one an image: "dice_NAME" and "iou_NAME"; a class absent from both maps scores 1,
            absent from one 0.
        groups: of the images.
        present: of each image, (classes,) bool: which are in its truth.
    """

    names: Sequence[str]
    rows: list[Row] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    present: list[npt.NDArray[np.bool_]] = field(default_factory=list)

    def add(self, prediction: Array, truth: Array, group: str | None = None) -> None:
        """Score one image's integer labels.

        Args:
            prediction: (H, W), or (D, H, W) of a volume: 0 is background, n is ``names[n - 1]``.
            truth: the same shape.
            group: what the image shares with others (patient, sequence).

        Raises:
            UserError: see `label_counts`.
        """
        tp, fp, fn = label_counts(prediction, truth, 1 + len(self.names))[1:].T
        scores = {"dice": dice(tp, fp, fn), "iou": iou(tp, fp, fn)}
        self.rows.append(
            {
                f"{score}_{name}": float(value)
                for score, values in scores.items()
                for name, value in zip(self.names, values, strict=True)
            }
        )
        self.groups.append(group)
        self.present.append(tp + fn > 0)

    def joined(self, parts: Sequence[ClassTable]) -> ClassTable:
        """The table of all images of ``parts``, in their order."""
        return ClassTable(
            self.names,
            [row for other in parts for row in other.rows],
            [group for other in parts for group in other.groups],
            [seen for other in parts for seen in other.present],
        )

    @property
    def macro_dice(self) -> float:
        """Mean Dice over classes and images."""
        return float(np.mean([row[f"dice_{name}"] for row in self.rows for name in self.names]))

    def summary(self) -> dict[str, Any]:
        """Class -> means over images with 95 % intervals, and how many images' truth shows it."""
        groups = None if all(group is None for group in self.groups) else self.groups
        shown = np.sum(self.present, axis=0)
        images = {name: int(count) for name, count in zip(self.names, shown, strict=True)}
        return class_summary(Table(self.rows, groups), images)


def class_summary(table: Table, images: Mapping[str, int]) -> dict[str, Any]:
    """Class -> means over images with 95 % intervals, and how many images' truth shows it.

    Args:
        table: rows with "dice_NAME" and "iou_NAME" of each class.
        images: class -> how many images' truth shows it.
    """
    means = table.means("", [f"{score}_{name}" for name in images for score in ("dice", "iou")])
    return {
        name: {
            **{f"{s}{ci}": means[f"{s}_{name}{ci}"] for s in ("dice", "iou") for ci in CI},
            **{fact: means[fact] for fact in VARIED if fact in means},
            "images": count,
        }
        for name, count in images.items()
    }


def label_counts(prediction: Array, truth: Array, classes: int) -> npt.NDArray[np.int64]:
    """Count each class of one image or volume, in one pass.

    Args:
        prediction: (...) integer labels, 0..classes - 1.
        truth: integer labels too, of the same shape.
        classes: how many, background included.

    Returns:
        (classes, 3) int64: TP, FP, FN of every class. Keep this row and drop the maps.

    Raises:
        UserError: shapes differ, or a label is no integer or out of range.
    """
    if prediction.shape != truth.shape:
        raise UserError(
            f"Got a prediction of shape {prediction.shape} for a truth of {truth.shape}, expected "
            "the same. Resize the label map with nearest-neighbour interpolation."
        )
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f"Got a {name} of dtype {labels.dtype}, expected integer labels.")
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            raise UserError(
                f"Got labels {labels.min()} to {labels.max()} in the {name}, expected 0 to "
                f"{classes - 1}. Map the labels to classes first."
            )
    pairs = truth.astype(np.int64).ravel() * classes + prediction.ravel()
    table = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    tp = table.diagonal()
    return np.stack([tp, table.sum(axis=0) - tp, table.sum(axis=1) - tp], axis=1)
