"""Gradient-based Parameter Selection, in the paper's order: score, select, sparsify, delta."""

from gpsseg.gps.average import average, doubts_of, weights_of
from gpsseg.gps.candidates import Candidates, candidates_of, merged_selection
from gpsseg.gps.contrastive import supervised_contrastive_loss
from gpsseg.gps.criteria import CRITERIA
from gpsseg.gps.delta import AppliedDelta, Delta, extract, model_hash
from gpsseg.gps.mix import Mixed, chosen_first
from gpsseg.gps.neurons import neuron_biases, neuron_weights
from gpsseg.gps.rounding import within_rounding
from gpsseg.gps.score import Scores, running_scores, score, unscored
from gpsseg.gps.select import Selection, check_top_k, overlap, select
from gpsseg.gps.sparse import merge, sparsify, with_dense_gradient
from gpsseg.gps.stable import SumsOnTheWay, divisions, of_the_same_sums
from gpsseg.gps.swap import Turns, apply_all
from gpsseg.gps.union import Union, selected_in
from gpsseg.gps.usage import (
    Channels,
    chance_of_overlap,
    channels_of,
    share_of_scores,
    with_score,
)

__all__ = [
    "CRITERIA",
    "AppliedDelta",
    "Candidates",
    "Channels",
    "Delta",
    "Mixed",
    "Scores",
    "Selection",
    "SumsOnTheWay",
    "Turns",
    "Union",
    "apply_all",
    "average",
    "candidates_of",
    "chance_of_overlap",
    "channels_of",
    "check_top_k",
    "chosen_first",
    "divisions",
    "doubts_of",
    "extract",
    "merge",
    "merged_selection",
    "model_hash",
    "neuron_biases",
    "neuron_weights",
    "of_the_same_sums",
    "overlap",
    "running_scores",
    "score",
    "select",
    "selected_in",
    "share_of_scores",
    "sparsify",
    "supervised_contrastive_loss",
    "unscored",
    "weights_of",
    "with_dense_gradient",
    "with_score",
    "within_rounding",
]
