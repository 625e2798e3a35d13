"""What an evaluation says beside its protocols: by lesion size, and how calibrated it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.console import say
from gpsseg.evaluators import Histogram, by_stratum, calibration

Row = Mapping[str, Any]


def strata(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """Dice and IoU (protocol per-image) by the lesion's share of the image; see ``by_stratum``.

    Returns:
        One dict a stratum: "from" and "to" (shares of the image, 0..1), "images", "dice", "iou" and
        their 95 % intervals; None where there is no image. Images without lesion are in the first.
    """
    groups = [row["group"] for row in rows]
    known = groups if any(group is not None for group in groups) else None
    sizes = [row["truth_pixels"] / row["pixels"] for row in rows]
    scored = {
        name: by_stratum([row[name] for row in rows], sizes, groups=known, seed=seed)
        for name in ("dice", "iou")
    }
    found = []
    for dice, iou in zip(scored["dice"], scored["iou"], strict=True):
        entry: dict[str, Any] = {"from": dice.low, "to": dice.high, "images": dice.images}
        for name, stratum in (("dice", dice), ("iou", iou)):
            entry[name] = _finite(stratum.mean)
            entry[f"{name}_ci95"] = list(stratum.interval) if stratum.images else None
        found.append(entry)
    return found


def reliability(pooled: Histogram) -> dict[str, Any]:
    """ECE and reliability bins over all pixels of all images, at 8 bits; see ``calibration``."""
    found = calibration(pooled)
    count = len(found.pixels)
    bins = [
        {
            "from": i / count,
            "to": (i + 1) / count,
            "pixels": int(found.pixels[i]),
            "confidence": _finite(float(found.confidence[i])),
            "accuracy": _finite(float(found.accuracy[i])),
        }
        for i in range(count)
    ]
    return {"ece": found.ece, "pixels": int(found.pixels.sum()), "bins": bins}


def say_breakdown(metrics: Mapping[str, Any]) -> None:
    """Print strata, empty cases and ECE, a line each."""
    parts = [
        f"{100 * stratum['from']:g}-{100 * stratum['to']:g} %: {stratum['dice']:.3f} "
        f"({stratum['images']})"
        for stratum in metrics["strata"]
        if stratum["images"]
    ]
    say(f"mDice by lesion size, share of the image (images): {'   '.join(parts)}")
    counts = metrics["after"]["per-image"]
    say(
        f"empty images: {counts['empty_truth']} by the truth, {counts['empty_prediction']} by the "
        f"prediction, {counts['both_empty']} by both"
    )
    if "calibration" in metrics:
        say(f"calibration: ECE {metrics['calibration']['ece']:.4f} over all pixels")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
