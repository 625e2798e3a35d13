"""Gradient-based Parameter Selection, in the paper's order: score, select, sparsify, delta."""

from gpsseg.gps.average import average, doubts_of, weights_of
from gpsseg.gps.candidates import Candidates, candidates_of, merged_selection
from gpsseg.gps.contrastive import supervised_contrastive_loss
from gpsseg.gps.criteria import CRITERIA
from gpsseg.gps.delta import AppliedDelta, Delta, extract, model_hash
from gpsseg.gps.mix import Mixed
from gpsseg.gps.neurons import neuron_biases, neuron_weights
from gpsseg.gps.score import Scores, running_scores, score, unscored
from gpsseg.gps.select import Selection, check_top_k, overlap, select, within_rounding
from gpsseg.gps.sparse import merge, sparsify, with_dense_gradient
from gpsseg.gps.swap import Turns, apply_all

__all__ = [
    "CRITERIA",
    "AppliedDelta",
    "Candidates",
    "Delta",
    "Mixed",
    "Scores",
    "Selection",
    "Turns",
    "apply_all",
    "average",
    "candidates_of",
    "check_top_k",
    "doubts_of",
    "extract",
    "merge",
    "merged_selection",
    "model_hash",
    "neuron_biases",
    "neuron_weights",
    "overlap",
    "running_scores",
    "score",
    "select",
    "sparsify",
    "supervised_contrastive_loss",
    "unscored",
    "weights_of",
    "with_dense_gradient",
    "within_rounding",
]
