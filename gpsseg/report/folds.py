"""The folds of a study, as its page shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpsseg.config.folder import StudyFolder
from gpsseg.report.contents import Json
from gpsseg.report.scores import score_of


def folds(metrics: Json) -> list[dict[str, Any]]:
    """Of each fold: its line of metrics.json, its Dice and its IoU as scores, and its page.

    >>> metrics = {"folds": [{"fold": 1, "dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.3}]}
    >>> folds(metrics)[0]["dice"], folds(metrics)[0]["page"]
    (Score(value=0.5, low=0.4, high=0.6), 'fold-1/report.html')
    """
    return [
        {
            **fold,
            "dice": score_of(fold, "dice"),
            "iou": score_of(fold, "iou"),
            "page": StudyFolder(Path()).page_of(fold["fold"]),
        }
        for fold in metrics.get("folds", ())
    ]
