"""The check of every format: the other library's masks are those of `python -m gpsseg.predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.data.cards.card import Card
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prompts import Prompter
from gpsseg.errors import UserError, one_line
from gpsseg.evaluators import foreground, label_map
from gpsseg.export.format import (
    MOST_PIXELS,
    MOST_PROBABILITY,
    Answer,
    ExportedNetwork,
    Format,
    Picture,
)
from gpsseg.faults import pass_want_of_memory
from gpsseg.predict.segmenter import Segmenter
from gpsseg.runs.networks import Networks


@dataclass(frozen=True)
class LibraryAgreement:
    """How far the masks of two libraries agree.

    Attributes:
        images: how many were compared.
        pixels: of all of them.
        differ: how many of these have another mask.
        probability: the largest difference of any pixel's probability.
    """

    images: int
    pixels: int
    differ: int
    probability: float


def predicted(networks: Networks, card: Card, pictures: Sequence[Picture]) -> list[np.ndarray]:
    """The probabilities (H, W) that ``predict`` finds in float32, see ``Format.read_maps``.

    Args:
        networks: of the run, before anything is merged.
        card: of its data.
        pictures: what is segmented.
    """
    machine = make_machine("cpu", "fp32")
    segmenter = Segmenter(networks.model, machine, card, networks.config.image_size, 1)
    return [segmenter.map_of(each.pixels, _prompter(each.prompt)) for each in pictures]


def _prompter(shares: tuple[float, ...]) -> Prompter | None:
    import torch

    return (lambda batch: torch.tensor([shares])) if shares else None


def check(
    chosen: Format,
    tuned: ExportedNetwork,
    folder: Path,
    pictures: Sequence[Picture],
    expected: Sequence[np.ndarray],
) -> LibraryAgreement:
    """Let the other library segment pictures with what was written.

    Args:
        chosen: the library and its format.
        tuned: what was written.
        folder: where.
        pictures: what is segmented.
        expected: of each, as `predicted` gives them, (H, W) in [0, 1].

    Raises:
        UserError: it cannot load it, or finds other masks.
    """
    try:
        found = list(chosen.read_maps(tuned, folder, pictures))
    except UserError:
        raise
    except Exception as error:  # libraries refuse in every way there is
        pass_want_of_memory(error)
        raise UserError(
            f"--format {chosen.name}: {chosen.library} cannot read what was written "
            f"({type(error).__name__}: {one_line(str(error))[:300]}), so nothing was left. Please "
            "report this with the versions in the run's config.json."
        ) from error
    agreement = compare(found, expected)
    _refuse(chosen, agreement, found, expected)
    return agreement


def compare(found: Sequence[Answer], expected: Sequence[np.ndarray]) -> LibraryAgreement:
    """Count the pixels of all images whose masks differ; ``expected`` as `predicted`: (H, W)."""
    pairs = list(zip(found, expected, strict=True))
    differ = sum(int((_mask(ours) != its.mask).sum()) for its, ours in pairs)
    pixels = sum(_mask(each).size for each in expected)
    apart = max(float(np.abs(its.map - ours).max()) for its, ours in pairs)
    return LibraryAgreement(len(pairs), pixels, differ, apart)


def _refuse(
    chosen: Format,
    agreement: LibraryAgreement,
    found: Sequence[Answer],
    expected: Sequence[np.ndarray],
) -> None:
    pairs = zip(found, expected, strict=True)
    mean = max(float(np.abs(its.map - ours).mean()) for its, ours in pairs)
    share = agreement.differ / agreement.pixels
    if not (share <= MOST_PIXELS and mean <= MOST_PROBABILITY):  # also of what is no number
        raise UserError(
            f"--format {chosen.name}: {chosen.library} finds other masks than predict: "
            f"{100 * share:.3g} % of the pixels of {agreement.images} images differ, expected "
            f"{100 * MOST_PIXELS:g} % at most (probabilities by {mean:.2g} on average, expected "
            f"{MOST_PROBABILITY:g}). Nothing was left; pass another --format."
        )


def _mask(probability: np.ndarray) -> np.ndarray:
    return label_map(probability) if probability.ndim == 3 else foreground(probability) >= 0.5
