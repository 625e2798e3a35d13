"""What an evaluation prints: each protocol's scores, scores by lesion size, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpsseg.console import say


def name_of_base(metrics: Mapping[str, Any]) -> str:
    """What scores "before" are called, where they are of a run with this metrics.json.

    An untrained decoder or network is no baseline, and is never called "before". Runs of versions
    that did not say which it is say what their network was pre-trained on.

    >>> name_of_base({"before_is": "untrained decoder"}), name_of_base({"pretraining": "SA-1B."})
    ('untrained decoder', 'before')
    >>> name_of_base({"pretraining": "Encoder: photographs. Decoder: random weights."})
    'untrained decoder'
    """
    told = str(metrics.get("before_is") or "")
    if not told:
        pretraining = str(metrics.get("pretraining") or "")
        told = "untrained network" if pretraining == "None: random weights." else ""
        told = told or ("untrained decoder" if "Decoder: random weights" in pretraining else "")
    return told if told.startswith("untrained") else "before"


def say_scores(name: str, summary: dict[str, Any], prompt: str | None = None) -> None:
    """Print mDice and mIoU with their intervals, and a prompt that somebody had to give."""
    told = f", PROMPTED: {prompt}" if prompt and " from " in prompt else ""
    score = summary["per-image"]
    (d0, d1), (i0, i1) = score["dice_ci95"], score["iou_ci95"]
    say(
        f"{name:<7} mDice {score['dice']:.3f} [{d0:.3f}, {d1:.3f}]   mIoU {score['iou']:.3f} "
        f"[{i0:.3f}, {i1:.3f}]   (per-image protocol, native size, {score['images']} images{told})",
        style="bold",
    )


def say_classes(classes: Mapping[str, Any], base: str = "before") -> None:
    """Print the scores of classes that are told apart, a line each, of the base and after."""
    for when, scores in classes.items():
        when = base if when == "before" else when
        for name, score in scores.items():
            (d0, d1), (i0, i1) = score["dice_ci95"], score["iou_ci95"]
            say(
                f"{when:<7} {name}: mDice {score['dice']:.3f} [{d0:.3f}, {d1:.3f}]   mIoU "
                f"{score['iou']:.3f} [{i0:.3f}, {i1:.3f}]   (in {score['images']} images' truth)"
            )


def say_protocols(summary: dict[str, Any]) -> None:
    """Print the other protocols' scores, a line each, with their warnings."""
    for name, scores in summary.items():
        if name == "per-image":
            continue
        if "omitted" in scores:
            say(f"{name:<14} omitted: {scores['omitted']}", style="yellow")
            continue
        values = [(key, scores[key]) for key in scores if f"{key}_ci95" in scores]
        say(f"{name:<14} {'   '.join(f'{key} {value:.3f}' for key, value in values)}")
        if "warning" in scores:
            say(f"{'':<14} warning: {scores['warning']}", style="bold yellow")


def say_breakdown(metrics: Mapping[str, Any]) -> None:
    """Print strata, empty cases and ECE, a line each."""
    parts = [
        f"{100 * stratum['low']:g}-{100 * stratum['high']:g} %: {stratum['dice']:.3f} "
        f"({stratum['images']})"
        for stratum in metrics["strata"]
    ]
    if parts:
        say(f"mDice by lesion size, share of the image (images): {'   '.join(parts)}")
    counts = metrics["after"]["per-image"]
    say(
        f"empty images: {counts['empty_truth']} by the truth, {counts['empty_prediction']} by the "
        f"prediction, {counts['both_empty']} by both"
    )
    if "calibration" in metrics:
        say(f"calibration: ECE {metrics['calibration']['ece']:.4f} over all pixels")
