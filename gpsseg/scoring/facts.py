"""What metrics.json says of the images, whoever segmented them."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpsseg.data.cards.card import Card
from gpsseg.data.splits.split import Split


def data_facts(card: Card, split: Split) -> dict[str, Any]:
    """The part of metrics.json that says which images were scored."""
    skipped = [dataclasses.asdict(each) for each in split.skipped]
    return {
        "data": split.data,
        "dataset": card.name,
        "title": card.title,
        "citation": card.citation,
        "homepage": card.homepage,
        "licence": card.licence,
        "split": {"name": split.name, "sha256": split.sha256},
        **({"skipped": skipped} if skipped else {}),
    }
