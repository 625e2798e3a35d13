"""Scores of the images of each value of a column: of each centre, device or sex."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from gpsseg.evaluators.summary import Row, Table
from gpsseg.reading import number_in

PREFIX = "by_"  # of the columns of per_image.csv
FEW = 5  # images, below which a mean says little


def by_value(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Mean Dice and IoU of the images of each value, with intervals, and lesions where counted.

    Args:
        rows: as `Scorer.rows`, each with the same columns that begin with `PREFIX`.

    Returns:
        Column -> in the order of its values {"value", "images", "few" (whether too few to say
        much), "dice", "dice_ci95", "iou", ..., "resampled", "units", "seeds"}; with the protocol
        `lesions` also "lesions", "found" and "false_finds".
    """
    columns = [name for name in rows[0] if name.startswith(PREFIX)] if rows else []
    return {name.removeprefix(PREFIX): _values(rows, name) for name in columns}


def _values(rows: Sequence[Row], column: str) -> list[dict[str, Any]]:
    whole = Table.of(rows)
    values = sorted({row[column] for row in rows}, key=_place)
    return [_one(value, whole.where(partial(_has, column, value))) for value in values]


def _has(column: str, value: str, row: Row) -> bool:
    return bool(row[column] == value)


def _place(value: str) -> tuple[bool, float, str]:
    """Where a value stands: numbers by size, then texts; images without one come last."""
    number = number_in(value)
    return value == "", math.inf if math.isnan(number) else number, value


def _one(value: str, table: Table) -> dict[str, Any]:
    found = {"value": value, "images": len(table.rows), "few": len(table.rows) < FEW}
    counts: dict[str, int] = {}
    if "lesions_true" in table.rows[0]:
        true, predicted, matched = (
            sum(row[f"lesions_{name}"] for row in table.rows)
            for name in ("true", "predicted", "found")
        )
        counts = {"lesions": true, "found": matched, "false_finds": predicted - matched}
    return {**found, **counts, **table.means("", ("dice", "iou"))}
