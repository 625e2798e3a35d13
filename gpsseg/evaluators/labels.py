"""Multi-class scores from integer label maps: per class, macro and micro."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError
from gpsseg.evaluators.counts import Array
from gpsseg.evaluators.overlap import Floats, dice, iou


@dataclass(frozen=True)
class LabelScores:
    """Dice and IoU of a data set with several classes.

    Attributes:
        dice: (classes,) mean over images; a class absent from both maps of an image scores 1
            there, absent from one 0.
        iou: (classes,) likewise.
        macro_dice: mean of `dice` over classes.
        macro_iou: mean of `iou` over classes.
        micro_dice: Dice of the counts summed over images and classes.
        micro_iou: IoU of the same.
    """

    dice: Floats
    iou: Floats
    macro_dice: float
    macro_iou: float
    micro_dice: float
    micro_iou: float


def label_counts(prediction: Array, truth: Array, classes: int) -> npt.NDArray[np.int64]:
    """Count each class of one image or volume, in one pass.

    Args:
        prediction: (...) integer labels, 0..classes - 1.
        truth: the same shape.
        classes: how many, background included.

    Returns:
        (classes, 3) int64: TP, FP, FN of every class. Keep this row and drop the maps.

    Raises:
        UserError: shapes differ or a label is out of range.
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


def label_scores(counts: npt.ArrayLike, background: int | None = 0) -> LabelScores:
    """Score a data set.

    Args:
        counts: (images, classes, 3), `label_counts` of every image.
        background: a class to leave out; None scores all.

    Raises:
        UserError: no image.
    """
    table = np.asarray(counts)
    if table.ndim != 3 or len(table) == 0:
        raise UserError(f"Got counts of shape {table.shape}, expected (images, classes, 3).")
    if background is not None:
        table = np.delete(table, background, axis=1)
    tp, fp, fn = np.moveaxis(table, 2, 0)
    dices, ious = dice(tp, fp, fn).mean(axis=0), iou(tp, fp, fn).mean(axis=0)
    total = table.sum(axis=(0, 1))
    return LabelScores(
        dice=dices,
        iou=ious,
        macro_dice=float(dices.mean()),
        macro_iou=float(ious.mean()),
        micro_dice=float(dice(*total)),
        micro_iou=float(iou(*total)),
    )
