"""Scores by the values of columns, as per_image.csv and metrics.json have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.data.splits.columns import Labels
from gpsseg.evaluators.by_value import PREFIX, by_value


def with_labels(rows: Sequence[Mapping[str, Any]], labels: Labels) -> list[dict[str, Any]]:
    """The rows of per_image.csv with a column ``by_COLUMN`` for each that scores are shown by."""
    return [
        {**row, **{PREFIX + column: of[row["id"]] for column, of in labels.items()}} for row in rows
    ]


def by_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The part of metrics.json that scores values: "by"; nothing where none was asked for."""
    found = by_value([dict(row) for row in rows])
    return {"by": found} if found else {}
