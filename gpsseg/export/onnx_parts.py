"""Encoder and decoder apart, as annotation tools want SAM and its kin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch.export import ExportedProgram

from gpsseg.backbones import Backbone
from gpsseg.export.format import Tuned


@dataclass(frozen=True)
class Part:
    """One of the two files.

    Attributes:
        program: makes the graph.
        inputs, outputs: their names.
    """

    program: Callable[[], ExportedProgram]
    inputs: Sequence[str]
    outputs: Sequence[str]


def parts_fault(tuned: Tuned) -> str:
    """Why there are no parts; empty where there are."""
    return "soon"


def parts_of(model: Backbone, side: int) -> tuple[Part, Part]:
    """Encoder and decoder."""
    raise NotImplementedError


def usage(tuned: Tuned, encoder: str, decoder: str) -> str:
    """A paragraph of the model card."""
    return ""
