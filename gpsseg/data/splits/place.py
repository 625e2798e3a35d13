"""Where a set lies on this machine, and whether it is real."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpsseg.data.cards.card import Card
from gpsseg.data.cards.layout import (
    describe_part,
    part_present,
)
from gpsseg.data.case import Case as Case
from gpsseg.errors import UserError
from gpsseg.files import bundled

SYNTHETIC = "synthetic sample"


def find_root(card: Card, data_root: Path | None) -> tuple[Path, str]:
    """Return the set's folder and "real" or "synthetic sample".

    Args:
        card: of the set.
        data_root: folder that holds the set; None takes the card's own root, or else looks into
            $GPSSEG_DATA, and where that is not set takes the bundled sample.

    Raises:
        UserError: a data root is given but the set is not in it.
    """
    data_root = data_root or card.root
    if data_root is None and os.environ.get("GPSSEG_DATA"):
        data_root = Path(os.environ["GPSSEG_DATA"]).expanduser()
    if data_root is None:
        sample = bundled("sample_data") / card.name / card.folder
        if not sample.is_dir():
            raise UserError(
                f"There is no sample of {card.name}. Pass --data-root FOLDER (or set GPSSEG_DATA), "
                f"where FOLDER holds {card.folder}/; `python -m gpsseg.datasets info {card.name}` "
                "says where to get it, and `synthesize --layout` draws one."
            )
        return sample, SYNTHETIC
    looked_in = [data_root / card.folder, data_root]
    for folder in looked_in:
        if any(parts_present(folder, split) for split in card.splits):
            return folder, SYNTHETIC if (folder / "SYNTHETIC.txt").exists() else "real"
    layout = "; or ".join(
        ", ".join(describe_part(rule) for _, rule in part_rules(split)) for split in card.splits
    )
    places = " nor ".join(str(folder) for folder in looked_in)
    raise UserError(
        f"{card.title} is neither in {places}. Expected in {card.folder}/: {layout}. "
        + _where_from(card)
    )


def _where_from(card: Card) -> str:
    """What to do where a set is not found."""
    if card.root is not None:
        return f"Were the files moved from {card.root}? Pass --data-root with their new place."
    where = card.get or f"Download it from {card.homepage}."
    sample = bundled("sample_data") / card.name
    if not sample.is_dir():
        return where
    return f"{where.rstrip('.')}, or leave out --data-root to try the synthetic sample."


def part_rules(split: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The parts of a card's split, in their order, each with its rule."""
    return [(part, split[part]) for part in ("all", "train", "val", "test") if part in split]


def parts_present(root: Path, split: Mapping[str, Any]) -> bool:
    """Whether the files of all parts of a split are below a folder."""
    if "file" in split and not (root / split["file"]).is_file():
        return False
    return all(part_present(root, rule) for _, rule in part_rules(split))
