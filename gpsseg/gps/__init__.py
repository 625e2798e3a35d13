"""Gradient-based Parameter Selection, in the paper's order: score, select, sparsify, delta."""

from gpsseg.gps.delta import AppliedDelta, Delta, extract, model_hash
from gpsseg.gps.neurons import neuron_biases, neuron_weights
from gpsseg.gps.score import Scores, score
from gpsseg.gps.select import Selection, check_top_k, select
from gpsseg.gps.sparse import merge, sparsify

__all__ = [
    "AppliedDelta",
    "Delta",
    "Scores",
    "Selection",
    "check_top_k",
    "extract",
    "merge",
    "model_hash",
    "neuron_biases",
    "neuron_weights",
    "score",
    "select",
    "sparsify",
]
