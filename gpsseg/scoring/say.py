"""What an evaluation prints: each protocol's scores, scores by lesion size, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.config.told import mark
from gpsseg.console import say
from gpsseg.errors import counted
from gpsseg.evaluators.uncertainty import most_uncertain
from gpsseg.evaluators.words import (
    coverage_words,
    interval_text,
    interval_words,
    members_words,
    name_of_base,
    tells_of_errors,
    worth_words,
)

MOST_DOUBTFUL = 5
MOST_VALUES = 20  # lines of a column; each patient may be a value


def say_scores(name: str, summary: dict[str, Any], prompt: str | None = None) -> None:
    """Print mDice and mIoU with their intervals, and what the network was told, if anything."""
    told = f", {mark(prompt)}" if mark(prompt) else ""
    score = summary["per-image"]
    say(
        f"{name:<7} mDice {score['dice']:.3f} {interval_text(score['dice_ci95'])}   mIoU "
        f"{score['iou']:.3f} {interval_text(score['iou_ci95'])}   (per-image protocol, native "
        f"size, {counted(score['images'], 'image')}{told}; {interval_words(score)})",
        style="bold",
    )
    if "dice_with_lesion" in score:
        say(
            f"{'':<7} on the {counted(score['images_with_lesion'], 'image')} with a lesion "
            f"mDice {score['dice_with_lesion']:.3f} "
            f"{interval_text(score['dice_with_lesion_ci95'])}; something was found "
            f"on {score['false_finds']} of {score['empty_truth']} without "
            f"({interval_words(score['with_lesion'])})",
            style="bold",
        )
    elif score.get("false_finds") is not None and score["empty_truth"] == score["images"]:
        say(
            f"{'':<7} none of these images has a lesion; something was found on "
            f"{score['false_finds']}",
            style="bold",
        )


def say_before_and_after(metrics: Mapping[str, Any]) -> None:
    """Print what a training changed: a line of the base, and one of the result."""
    base = name_of_base(metrics)
    say_scores(base, metrics["before"], metrics["prompt"])
    say_scores("after".ljust(len(base)), metrics["after"], metrics["prompt"])
    say_classes(metrics.get("classes", {}), base)
    say_values(metrics)


def say_classes(classes: Mapping[str, Any], base: str = "before") -> None:
    """Print the scores of classes that are told apart, a line each, of the base and after."""
    for when, scores in classes.items():
        when = base if when == "before" else when
        for name, score in scores.items():
            say(
                f"{when:<7} {name}: mDice {score['dice']:.3f} {interval_text(score['dice_ci95'])}"
                f"   mIoU {score['iou']:.3f} {interval_text(score['iou_ci95'])}   (in "
                f"the truth of {counted(score['images'], 'image')})"
            )


def say_values(metrics: Mapping[str, Any]) -> None:
    """Print the scores of the images of each value of a column of --by, a line each."""
    for column, values in metrics.get("by", {}).items():
        for one in values[:MOST_VALUES]:
            lesions = ""
            if "lesions" in one:
                found = f"{one['found']} of {counted(one['lesions'], 'lesion')} found"
                lesions = f", {found}, {counted(one['false_finds'], 'false find')}"
            say(
                f"{column} {one['value'] or 'not given'}: mDice {one['dice']:.3f} "
                f"{interval_text(one['dice_ci95'])}   mIoU {one['iou']:.3f} "
                f"{interval_text(one['iou_ci95'])}   ({counted(one['images'], 'image')}"
                f"{', too few to say much' if one['few'] else ''}{lesions})"
            )
        if more := len(values[MOST_VALUES:]):
            say(f"{column}: {counted(more, 'more value')} in the report")


def say_labels(labels: Mapping[str, Any]) -> None:
    """Print the scores of labels, a line each, and that those before are of all together."""
    if labels:
        say(f"{'':<7} That is all labels together, as one foreground. Each by itself:")
    for name, score in labels.items():
        say(
            f"label {name}: mean Dice {score['dice']:.3f} {interval_text(score['dice_ci95'])}, IoU "
            f"{score['iou']:.3f} {interval_text(score['iou_ci95'])}"
        )
        if "volume" in score:
            say_protocols({"volume": score["volume"]})


def say_protocols(summary: dict[str, Any]) -> None:
    """Print the other protocols' scores, a line each, with their warnings."""
    for name, scores in summary.items():
        if name == "per-image":
            continue
        if "omitted" in scores:
            say(f"{name:<14} omitted: {scores['omitted']}", style="yellow")
            continue
        shown = [
            f"{key} {scores[key]:.3f}{_unit(key, scores)}"
            for key in scores
            if f"{key}_ci95" in scores
        ]
        say(f"{name:<14} {'   '.join(shown)}")
        if "rule" in scores:
            say(f"{'':<14} {scores['rule']}")
        if "warning" in scores:
            say(f"{'':<14} warning: {scores['warning']}", style="bold yellow")


def say_doubt(metrics: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print whether the members' disagreement tells of errors, and where it is largest."""
    found = metrics.get("uncertainty")
    if not found:
        return
    what = members_words(found)
    say(f"uncertainty: how little the masks of {what} agree; scored is the mean of them")
    say(f"{worth_words(found)}", style="bold")
    say(coverage_words(found).capitalize())
    numbers = {row["id"]: row["uncertainty"] for row in rows if tells_of_errors(found)}
    if first := most_uncertain(numbers, MOST_DOUBTFUL):
        say(f"look at these first: {', '.join(f'{name} ({numbers[name]:.2f})' for name in first)}")


def _unit(score: str, scores: Mapping[str, Any]) -> str:
    """What to say after a score: the unit of a distance, the tolerance of NSD; else nothing."""
    if score in ("hd95", "assd") and "unit" in scores:
        return f" {scores['unit']}"
    if score == "nsd" and "tolerance" in scores:
        return f" (at {scores['tolerance']:g} {scores['tolerance_unit']})"
    return ""


def say_breakdown(metrics: Mapping[str, Any]) -> None:
    """Print scores by columns, strata, empty cases and ECE, a line each."""
    say_values(metrics)
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
        found = metrics["calibration"]
        ends = interval_text(found["ece_ci95"], ".4f")
        say(f"calibration: ECE {found['ece']:.4f} {ends} over all pixels")
