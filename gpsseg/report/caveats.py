"""What must be said beside the scores of a page: of which network they are, and what it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpsseg.config.methods import METHOD_OF_CRITERION
from gpsseg.errors import counted
from gpsseg.evaluators.words import (
    TRAINED_ON_DRAWN,
    UNTUNED,
    mean_words,
    name_of_base,
    trained_elsewhere,
)

STOPPED = "the training was stopped before its first validation"
# Training images up to which chance was not behind the gradient, by RESULTS.md: with 20 and 100 of
# Kvasir-SEG on both backbones and of ISIC 2017 on the UNet. More were not measured.
FEW_IMAGES = 100


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


def untuned(metrics: Mapping[str, Any]) -> str:
    """That a network was scored as it comes, and whether that is a baseline; else empty.

    >>> untuned({"method": "untuned", "before_is": "pre-trained network"})
    'Nothing was trained here: it is scored as it comes.'
    >>> untuned({"method": "untuned", "before_is": "untrained decoder", "seed": 3})[51:]
    ' Its decoder has random weights (seed 3): what it finds is no baseline.'
    >>> untuned({"method": "gps"})
    ''
    """
    if metrics.get("method") != UNTUNED:
        return ""
    told = "Nothing was trained here: it is scored as it comes."
    base = name_of_base(metrics)
    if not base.startswith("untrained"):
        return told
    what = "Its decoder has" if base == "untrained decoder" else "All of it has"
    seed = f" (seed {metrics['seed']})" if "seed" in metrics else ""
    return f"{told} {what} random weights{seed}: what it finds is no baseline."


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


def chance_as_good(settings: Mapping[str, Any], images: int | None) -> str:
    """That random entries were not behind with so few training images; else empty.

    Args:
        settings: of the training, by their names.
        images: that it trained on; None where that is not known.

    >>> chance_as_good({"method": "gps"}, 14)[:61]
    'with 14 training images the gradient may choose no better tha'
    >>> chance_as_good({"method": "lora"}, 14)
    ''
    """
    own = settings.get("method") == "gps" and not settings.get("start_from")
    if (
        not (own and images and images <= FEW_IMAGES)
        or settings.get("criterion") in METHOD_OF_CRITERION
    ):
        return ""
    return (
        f"with {counted(images, 'training image')} the gradient may choose no better than chance: "
        f"with up to {FEW_IMAGES} of Kvasir-SEG random entries, in the encoder as many, were not "
        "behind it, on both backbones that were measured (RESULTS.md). --method shira needs no "
        "scoring."
    )
