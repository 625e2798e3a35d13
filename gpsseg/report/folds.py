"""The folds of a study, as its page shows them."""

from __future__ import annotations

from typing import Any

from gpsseg.report.contents import Json
from gpsseg.report.scores import score_of


def folds(metrics: Json) -> list[dict[str, Any]]:
    """Of each fold: its line of metrics.json, with its Dice and its IoU as scores.

    >>> folds({"folds": [{"fold": 1, "dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.3}]})[0]["dice"]
    Score(value=0.5, low=0.4, high=0.6)
    """
    return [
        {**fold, "dice": score_of(fold, "dice"), "iou": score_of(fold, "iou")}
        for fold in metrics.get("folds", ())
    ]
