"""What a comparison's learning curves say, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpsseg.errors import counted

Curve = Mapping[str, Any]
CHECKED = 160  # training images up to which the intervals were checked, see docs/choose.md


def curve_lines(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each method's curve, then what these rest on; none of one training size.

    Methods that have none for the same reason share a sentence.
    """
    curves = result.get("curves", [])
    methods: dict[str, list[str]] = {}
    for curve in curves:
        methods.setdefault(f"{_expectation(curve)}{_failed(curve)}", []).append(curve["method"])
    lines = [f"Learning curve of {', '.join(names)}: {text}." for text, names in methods.items()]
    told = [curve for curve in curves if "next" in curve]
    if told:
        settings = result["settings"]
        rates = (
            " and a learning rate picked at each size" if len(settings["lr_factors"]) > 1 else ""
        )
        beyond = max(curve["next"]["train_size"] for curve in told) > CHECKED
        far = f" Such intervals were checked up to {CHECKED} images only, see docs/choose.md."
        lines.append(
            f"80 % intervals for the mean over {counted(told[0]['seeds'], 'seed')} on these test "
            "images, by an inverse power law fitted to all sizes; gains are over the mean at the "
            f"largest. They hold for these settings: {_epochs(settings)} (more "
            f"images are also more training steps){rates}.{far if beyond else ''}"
        )
    return lines


def _epochs(settings: Mapping[str, Any]) -> str:
    """For how long was trained.

    >>> _epochs({"epochs": 200, "patience": 5}), _epochs({"epochs": 1})
    ('at most 200 epochs, fewer where patience 5 ended a training', '1 epoch')
    """
    epochs, patience = counted(settings["epochs"], "epoch"), settings.get("patience")
    if patience is None:
        return epochs
    return f"at most {epochs}, fewer where patience {patience} ended a training"


def _expectation(curve: Curve) -> str:
    """What the next doubling brings, or why that cannot be said."""
    if "why" in curve:
        return f"none, as {curve['why']}"
    there = curve["next"]
    sizes, ends = (there["from"], there["train_size"]), _range(there["dice_ci80"], ".3f")
    low, high = (round(end, 3) for end in there["gain_ci80"])  # what is said agrees with what shows
    if high <= 0:
        return (
            f"from {sizes[0]} to {sizes[1]} training images expect no gain of 0.001 mDice or more "
            f"({ends})"
        )
    gain = f"{_range((low, high), '+.3f')} mDice"
    if low <= 0:
        return (
            f"the data do not say whether {sizes[1]} training images are better than {sizes[0]}: "
            f"{gain}"
        )
    return f"from {sizes[0]} to {sizes[1]} training images expect {gain} ({ends})"


def _range(ends: Iterable[float], form: str) -> str:
    """Both ends of an interval, without the minus of a zero."""
    return " to ".join(format(round(end, 3) + 0.0, form) for end in ends)


def _failed(curve: Curve) -> str:
    """Trainings that went wrong and stand in the curve as they are."""
    names = {"diverged": "diverged", "untrained": "stopped before a validation"}
    counts = [f"{counted(curve[key], 'run')} {name}" for key, name in names.items() if curve[key]]
    return f" ({' and '.join(counts)}; counted as is)" if counts else ""
