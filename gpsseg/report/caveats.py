"""Of which network the scores of a page are, where that is not one trained network's one look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpsseg.evaluators.words import TRAINED_ON_DRAWN, mean_words, trained_elsewhere

STOPPED = "the training was stopped before its first validation"


def averaged(metrics: Mapping[str, Any]) -> str:
    """Over what the scored probabilities are a mean, as a sentence; empty where they are not.

    >>> averaged({"ensemble": {"networks": 5, "flips": False}})
    "All scores of this page are of the mean of 5 networks' probabilities, not of one network's."
    >>> averaged({})
    ''
    """
    found = metrics.get("ensemble")
    if not found:
        return ""
    one = "one network's" if found["networks"] > 1 else "the network's one look at the image"
    return f"All scores of this page are of {mean_words(metrics, ' probabilities')}, not of {one}."


def trained_on_drawn(metrics: Mapping[str, Any]) -> str:
    """That a network which saw drawn images only was tested on real ones; else empty.

    >>> trained_on_drawn({"trained_on_data": "synthetic sample", "data": "real"})[:31]
    'the training images were drawn '
    """
    drawn = [str(metrics.get(key)).startswith("synthetic") for key in ("trained_on_data", "data")]
    return TRAINED_ON_DRAWN if drawn == [True, False] else ""


def adopted(metrics: Mapping[str, Any]) -> str:
    """That the weights are of trainings elsewhere, and not of the run whose settings they have."""
    return trained_elsewhere(metrics["adopted"]) if metrics.get("adopted") else ""


def untrained(metrics: Mapping[str, Any]) -> str:
    """Whose training ended before a validation, and what the scores then are; else empty.

    >>> untrained({"untrained": True, "folds": [{"fold": 1}, {"fold": 2, "untrained": True}]})[:55]
    'of fold 2 the training was stopped before its first val'
    """
    if not metrics.get("untrained"):
        return ""
    if folds := metrics.get("folds"):
        names = ", ".join(str(each["fold"]) for each in folds if each.get("untrained"))
        scored = "the scores of its images are of the network from before it"
        return f"of fold {names} {STOPPED}; {scored}"
    if metrics.get("ensemble", {}).get("networks", 1) > 1:
        told = f" ({metrics['training']})" if metrics.get("training") else ""
        mean = mean_words(metrics)
        return f"of a fold {STOPPED}{told}; {mean} holds the network from before it"
    return f"{STOPPED}; these scores are of the network from before it"
