"""A score of metrics.json with its interval, what it is over, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpsseg.evaluators.words import varied_text
from gpsseg.report.contents import Json

VARIED = ("resampled", "units", "seeds", "ungrouped", "no_interval")
NAMES = {
    "dice_with_lesion": "mDice, images with a lesion",
    "s_measure": "S-measure",
    "e_measure": "E-measure",
    "weighted_f": "weighted F",
    "mae": "MAE",
    "jaccard_thresholded": "Jaccard (below 0.65: 0)",
    "hd95": "HD95",
    "assd": "ASSD",
    "nsd": "NSD",
}
OF_PROTOCOL = {
    "clinical": {
        "sensitivity": "Sensitivity, pixels of a lesion",
        "specificity": "Specificity, pixels beside lesions",
        "precision": "Precision, predicted pixels",
        "false_find_share": "Images without a lesion on which something is predicted",
        "false_lesions_per_image": "False lesions on an image without one",
    },
    "lesions": {
        "sensitivity": "Sensitivity: found of all lesions",
        "precision": "Precision: found of all predicted lesions",
        "f1": "F1 (recognition quality)",
        "sq": "Segmentation quality: mean IoU of those found",
        "pq": "Panoptic quality",
        "false_finds_per_image": "False finds an image",
    },
}


@dataclass(frozen=True)
class Score:
    """A score over the test images with its 95 % interval, where there is one.

    Attributes:
        value: of it.
        low: end of its interval, or None.
        high: the other end.
        over: "images", where it is not over all of them, and what its interval lets vary.
    """

    value: float
    low: float | None = None
    high: float | None = None
    over: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def varied(self) -> str:
        """What its interval is over; empty where there is none or nobody says."""
        known = self.low is not None and "resampled" in self.over
        return varied_text(self.over) if known else ""


def score_of(summary: Json, key: str) -> Score | None:
    """A score of a summary, with its interval where it has one.

    >>> summary = {"dice": 0.5, "images": 9, "f1": 0.3, "f1_over": {"images": 2}}
    >>> score_of(summary, "dice").over, score_of(summary, "f1").over
    ({}, {'images': 2})
    """
    if summary.get(key) is None:
        return None
    low, high = summary.get(f"{key}_ci95") or (None, None)
    return Score(summary[key], low, high, _over(summary, key))


def _over(summary: Json, key: str) -> Json:
    """Of a score of its own images these; of any other what all of the summary's share."""
    if key == "dice_with_lesion" and "images_with_lesion" in summary:
        return {**summary.get("with_lesion", {}), "images": summary["images_with_lesion"]}
    shared = {name: summary[name] for name in VARIED if name in summary}
    own: Json = summary.get(f"{key}_over", shared)
    return own


def name_of_score(protocol: str, key: str, summary: Json) -> str:
    """A score's name, with the unit of a distance or the tolerance of NSD where they are known."""
    name = OF_PROTOCOL.get(protocol, {}).get(key) or NAMES.get(key, key)
    if key in ("hd95", "assd") and "unit" in summary:
        return f"{name} ({summary['unit']})"
    if key == "nsd" and "tolerance" in summary:
        return f"{name} at {summary['tolerance']:g} {summary.get('tolerance_unit', '')}".rstrip()
    return name
