"""Score predictions that any tool made: every case, and each label of label maps by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpsseg.console import progress, say
from gpsseg.data.case import Case, case_labels
from gpsseg.data.checks.notices import FRAMED, FULL, border_share
from gpsseg.data.formats.slicing import Slicing, find_slicing, own_plane
from gpsseg.data.formats.volumes import RAS
from gpsseg.errors import UserError, counted, few
from gpsseg.evaluators import USUAL, ClassTable, Scorer, Thresholds, label_map, registry
from gpsseg.evaluators.resize import resize_bilinear
from gpsseg.scoring.given import Predictions

ISIC_OMITTED = (
    "Its rule takes predictions of the truth's size only, and {count} of {images} differ. Export "
    "them at native size."
)


def resolve_protocols(names: Sequence[str], axes: int = 2) -> list[str]:
    """The protocols to score: ``per-image`` first, and ``volume`` for volumes.

    Args:
        names: as given; "all" stands for every protocol that scores this number of axes.
        axes: 2 or 3.

    Raises:
        UserError: no such protocol, or it does not score that number of axes.
    """
    known = registry()
    fitting = [name for name, protocol in known.items() if axes in protocol.dimensions]
    base = ["per-image", "volume"] if axes == 3 else ["per-image"]
    Scorer([name for name in names if name != "all"])  # names the nearest where one is unknown
    asked = [n for name in names for n in (fitting if name == "all" else [name])]
    wrong = [name for name in asked if name not in fitting]
    if wrong:
        raise UserError(
            f"--protocol {wrong[0]} does not score {axes}-D predictions; expected one of "
            f"{', '.join(fitting)}, or all."
        )
    return list(dict.fromkeys([*base, *asked]))


@dataclass(frozen=True)
class GivenScores:
    """What scoring a folder gave.

    Attributes:
        summary: each protocol's scores; of one that could not be used, {"omitted": why}.
        rows: one flat dict an image.
        resized: ids of the predictions that did not have their truth's size.
        scorer: holds the pooled histogram.
        classes: the scores of a data set's classes, where the predictions tell them apart.
    """

    summary: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    resized: tuple[str, ...]
    scorer: Scorer
    classes: ClassTable | None = None


def score_predictions(
    predictions: Predictions,
    protocols: Sequence[str],
    picture: Callable[[Case, np.ndarray, np.ndarray], None] | None = None,
    at: Thresholds = USUAL,
    what: str = "evaluating",
) -> GivenScores:
    """Score every case; a prediction of another size is resized bilinearly before thresholding.

    Args:
        predictions: from ``open_predictions``.
        protocols: from ``resolve_protocols``.
        picture: is called with each case, its predicted mask and its truth, both (H, W) bool; of a
            volume with the slice that shows most of the lesion.
        at: as for ``Scorer``.
        what: is done, for the progress bar.
    """
    scorer = Scorer(protocols, at, saliency=True, pool=True)
    classes = ClassTable(predictions.maps.names) if predictions.maps else None
    resized, framed = [], []
    for case in progress(predictions.cases, what, len(predictions.cases)):
        pair = predictions.read(case)
        values, truth, header = pair.values, pair.truth, pair.header
        if values.shape != truth.shape:
            resized.append(case.id)
            values = _resized(values, truth.shape)
        scorer.add(case.id, values, truth, case.group, header.spacing)
        if classes is not None and pair.classes is not None:
            classes.add(_resized_classes(pair.classes, truth.shape), case_labels(case), case.group)
        mask = values >= (128 if values.dtype == np.uint8 else 0.5)
        if not predictions.rule.labels and _is_framed(mask, truth):
            framed.append(case.id)
        if picture is not None:
            shown = (mask, truth)
            picture(case, *(shown if truth.ndim == 2 else telling_slice(*shown, header.affine)))
    if framed:
        say(
            f"note: {predictions.place}: {len(framed)} of "
            f"{counted(len(predictions.cases), 'prediction')}: "
            "foreground (the higher level) along most of the border; are the levels swapped? "
            f"({few(framed)}).",
            style="yellow",
        )
    if resized:
        say(
            f"note: {predictions.place}: {len(resized)} of "
            f"{counted(len(predictions.cases), 'prediction')} do not have their truth's size and "
            f"were resized bilinearly: {few(resized)}",
            style="yellow",
        )
    summary, rows = scorer.summary(), scorer.rows()
    if classes is not None:
        rows = [{**row, **scores} for row, scores in zip(rows, classes.rows, strict=True)]
    if resized and "isic" in summary:
        why = ISIC_OMITTED.format(count=len(resized), images=len(rows))
        summary["isic"] = {"omitted": why}
        rows = [{k: v for k, v in row.items() if not k.startswith("isic_")} for row in rows]
    return GivenScores(summary, rows, tuple(resized), scorer, classes)


def score_labels(predictions: Predictions, at: Thresholds = USUAL) -> dict[str, dict[str, Any]]:
    """Score each label of label maps by itself: label -> protocol per-image.

    Of volumes it holds the protocol "volume", too, whose distances are in mm.
    """
    found: dict[str, dict[str, Any]] = {}
    protocols = resolve_protocols([], predictions.axes)
    for label in predictions.labels:
        one = replace(
            predictions,
            rule=replace(predictions.rule, labels=(label,))
            if predictions.rule.labels
            else predictions.rule,
            true=replace(predictions.true, labels=(label,))
            if predictions.true.labels
            else predictions.true,
        )
        scored = score_predictions(one, protocols, at=at, what=f"evaluating label {label}")
        further = {name: scored.summary[name] for name in protocols[1:]}
        found[str(label)] = {**scored.summary["per-image"], **further}
    return found


def telling_slice(
    mask: np.ndarray, truth: np.ndarray, affine: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The slice of a volume, seen from its front, that shows most of the true lesion.

    Of equal ones it is the middle one; without a lesion it shows most of what was predicted. A
    volume of a single slice is seen as that slice lies.

    Args:
        mask: (X, Y, Z) bool, predicted.
        truth: (X, Y, Z) bool.
        affine: (4, 4), index -> RAS mm; None where it is not known.

    Returns:
        Both slices, (rows, columns) bool.
    """
    shape = truth.shape[::-1]
    if affine is not None:
        in_lps = RAS @ affine[:, [2, 1, 0, 3]]
        slicing = find_slicing(in_lps, own_plane(shape, in_lps) or "auto")
    else:
        along = shape.index(1) if shape.count(1) == 1 else 0
        rows, columns = (axis for axis in range(3) if axis != along)
        slicing = Slicing((along, rows, columns), ())
    found, true = (slicing.view(values.transpose(2, 1, 0)) for values in (mask, truth))
    sizes = (true if truth.any() else found).sum(axis=(1, 2))
    most = np.flatnonzero(sizes == sizes.max())
    index = most[len(most) // 2]
    return found[index], true[index]


def _resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map resized bilinearly, float64 in [0, 1]: 8-bit levels stay exactly k / 255."""
    scale = 255 if values.dtype == np.uint8 else 1
    resized = resize_bilinear(values.astype(np.float64), (shape[0], shape[1]))
    return (resized / scale).clip(0, 1)


def _resized_classes(classes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of classes at another size: each is resized bilinearly, and the largest counts."""
    if classes.shape == shape:
        return classes
    numbers = range(max(2, int(classes.max()) + 1))
    one_by_one = [(classes == number).astype(np.float64) for number in numbers]
    size = shape[0], shape[1]
    return label_map(np.stack([resize_bilinear(one, size) for one in one_by_one]))


def _is_framed(mask: np.ndarray, truth: np.ndarray) -> bool:
    """Whether a prediction is foreground along most of its border, and its truth is not."""
    return border_share(mask) > FRAMED and mask.mean() < FULL and border_share(truth) <= FRAMED
