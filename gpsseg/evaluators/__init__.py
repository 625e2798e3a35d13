"""Evaluation protocols for medical segmentation: counts -> scores -> named rules -> statistics."""

from gpsseg.evaluators.calibration import Calibration, calibration, joined_bins
from gpsseg.evaluators.counts import Counts, Histogram, count_pixels, histogram, quantise
from gpsseg.evaluators.labels import (
    ClassTable,
    class_summary,
    foreground,
    label_counts,
    label_map,
)
from gpsseg.evaluators.overlap import dice, iou
from gpsseg.evaluators.protocols import Kept, Protocol, Scorer, protocol_named, registry
from gpsseg.evaluators.statistics import Estimate, holm, mean_estimate, paired_comparison
from gpsseg.evaluators.summary import Stratum, Table, by_stratum
from gpsseg.evaluators.surface import (
    SurfaceDistances,
    average_distance,
    boundary_scores,
    hausdorff95,
    surface_dice,
    surface_distances,
)
from gpsseg.evaluators.thresholds import USUAL, Thresholds

__all__ = [
    "USUAL",
    "Calibration",
    "ClassTable",
    "Counts",
    "Estimate",
    "Histogram",
    "Kept",
    "Protocol",
    "Scorer",
    "Stratum",
    "SurfaceDistances",
    "Table",
    "Thresholds",
    "average_distance",
    "boundary_scores",
    "by_stratum",
    "calibration",
    "class_summary",
    "count_pixels",
    "dice",
    "foreground",
    "hausdorff95",
    "histogram",
    "holm",
    "iou",
    "joined_bins",
    "label_counts",
    "label_map",
    "mean_estimate",
    "paired_comparison",
    "protocol_named",
    "quantise",
    "registry",
    "surface_dice",
    "surface_distances",
]
