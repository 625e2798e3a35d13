"""Agreement of sizes: how far the predicted area or volume lies from the true one.

Bland and Altman, Lancet 1986: of the differences (predicted - true) the mean is the bias, and 95 %
of them lie within bias ± 1.96 standard deviations, the limits of agreement, where they are normal.
Whether differences grow with size is the slope of their regression on the true size, which is the
reference (Krouwer, Statistics in Medicine 27:778-780, 2008): on the mean of both, predictions that
scatter seem to grow with lesions that are all alike. All of it is a function of sums over images,
so that the one jackknife gives the intervals, over groups where there are any.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from gpsseg.evaluators.overlap import ratio
from gpsseg.evaluators.statistics import ROUNDING, Estimate, Floats, estimates
from gpsseg.evaluators.summary import Table

FEWEST = 3  # images beside the largest group, for limits of agreement
NORMAL = 1.96


def agreement(table: Table, scale: Floats, unit: str) -> dict[str, Any]:
    """Bias and limits of agreement of the sizes of all images that have one.

    Args:
        table: rows with "truth_pixels" and "prediction_pixels"; those where both are 0 agree on
            nothing and are left out.
        scale: (rows,) the unit's amount in a pixel.
        unit: what sizes are in.

    Returns:
        "unit", "images" and, each with its interval, "bias", "lower" and "upper" limits, and
        "slope" with "grows": whether its interval leaves out 0. Without "lower" and "slope", "why".
    """
    sizes = table.columns("", ("truth_pixels", "prediction_pixels")) * scale[:, None]
    chosen = np.flatnonzero(sizes.any(1))
    groups = None if table.groups is None else [table.groups[i] for i in chosen]
    found: dict[str, Any] = {"unit": unit, "images": len(chosen)}
    if not len(chosen):
        return found | {"why": "no image has a size"}
    true, predicted = sizes[chosen].T
    difference = predicted - true
    largest = max(Counter(group for group in groups or () if group is not None).values(), default=1)
    few = len(chosen) - largest < FEWEST
    about = float(difference.mean()), float(true.mean())  # sums of squares lose digits far from 0
    x, y = true - about[1], difference - about[0]
    columns = np.stack([y, y**2, x, x**2, x * y], axis=1)
    scores = estimates(columns, lambda sums: _scores(sums, about[0], few), groups)
    for name, estimate in scores.items():
        found |= {name: estimate.value, f"{name}_ci95": _interval(estimate)}
    grows = {}
    if "slope" in found:
        low, high = found["slope_ci95"] or [found["slope"]] * 2  # none: all on one line
        grows = {"grows": bool(low > ROUNDING or high < -ROUNDING)}
    bias = scores["bias"]
    over = dict(bias.varied)
    if found["bias_ci95"] is None:
        alike = f"all {bias.units} {bias.resampled}s alike: no interval"
        over["no_interval"] = alike if bias.interval else bias.why
    why = {"why": "limits of agreement need more images, or more groups"} if few else {}
    return found | grows | over | why


def _interval(estimate: Estimate) -> list[float] | None:
    """An estimate's interval; none where all differences are one and the same, such as 0."""
    ends = estimate.ci95()
    return ends if ends and ends[0] < ends[1] else None


def _scores(sums: Floats, bias: float, few: bool) -> dict[str, Floats]:
    """Scores of the sums of y, y², x, x², xy and of the number of images.

    Args:
        sums: (n, 6), y and x being differences and true sizes less their means.
        bias: the mean that was taken from the differences.
        few: whether there are too few images for more than the bias.
    """
    y, yy, x, xx, xy, images = sums.T
    found = {"bias": bias + y / images}
    if few:
        return found
    spread = NORMAL * np.sqrt((yy - y * y / images).clip(0) / (images - 1))
    varied = xx - x * x / images
    varied = np.where(varied > ROUNDING * xx, varied, 0.0)  # of sizes that are all alike 0
    slope = ratio(xy - x * y / images, varied, 0.0)
    limits = {"lower": found["bias"] - spread, "upper": found["bias"] + spread}
    return found | limits | {"slope": slope}
