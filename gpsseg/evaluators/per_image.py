"""per_image.csv: the one way to read it, whoever shows or compares its scores."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.missing import named_in
from gpsseg.errors import UserError, few
from gpsseg.evaluators.by_value import PREFIX
from gpsseg.reading import read_table, value_in

AGAIN = "Score the images again: python -m gpsseg.evaluate"


@dataclass(frozen=True)
class ImageRow:
    """The scores of one image.

    Attributes:
        id: of the image, in one form of Unicode.
        group: that it belongs to, or None.
        cells: column -> what stands there.
    """

    id: str
    group: str | None
    cells: Mapping[str, str]

    def number(self, column: str) -> float | None:
        """A finite number; None where there is none."""
        try:
            value = float(self.cells.get(column) or "nan")
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def score(self, column: str) -> float | None:
        """A number in [0, 1]; None where there is none."""
        value = self.number(column)
        return value if value is not None and 0 <= value <= 1 else None

    @property
    def values(self) -> dict[str, Any]:
        """The row as a scorer keeps it: what was written, of its type.

        >>> ImageRow("a", None, {"id": "a", "group": "", "dice": "0.5", "pixels": "9"}).values
        {'id': 'a', 'group': None, 'dice': 0.5, 'pixels': 9}
        """
        found = {
            name: text if name.startswith(PREFIX) else value_in(text)
            for name, text in self.cells.items()
        }
        return found | {"id": self.id} | ({"group": self.group} if "group" in found else {})


def read_per_image(table: Path, columns: Sequence[str] = ()) -> tuple[list[str], list[ImageRow]]:
    """Read a table of scores.

    Args:
        table: the file.
        columns: scores that every row must have, each in [0, 1].

    Returns:
        The names of its columns, and its rows in their order.

    Raises:
        UserError: a column is missing, a score is no number in [0, 1], or an id comes twice.
    """
    names, lines = read_table(table)
    if missing := [name for name in ("id", *columns) if name not in names]:
        raise UserError(
            f"{table} has no column {missing[0]}, expected {', '.join(('id', *columns))}. Name a "
            "folder that `python -m gpsseg.evaluate` or `python -m gpsseg.finetune` wrote."
        )
    rows = [
        ImageRow(
            unicodedata.normalize("NFC", line["id"]), named_in(line.get("group", "")) or None, line
        )
        for line in lines
    ]
    seen: set[str] = set()
    for row in rows:
        if row.id in seen or any(row.score(column) is None for column in columns):
            why = "comes twice" if row.id in seen else "has no score in [0, 1]"
            raise UserError(f"{table}: {few([row.id])} {why}. {AGAIN}.")
        seen.add(row.id)
    return names, rows
