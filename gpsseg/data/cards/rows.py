"""The rows of a table, CSV or Parquet, as text, each with where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

from gpsseg.errors import UserError, few, nearest, shown
from gpsseg.reading import csv_rows, once_each, read_text

Row = dict[str, str]


def placed_rows(path: Path) -> list[tuple[str, Row]]:
    """The rows of a table, each with where it stands: of a CSV the line, as spreadsheets count.

    Raises:
        UserError: it cannot be read, or names a column twice.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return in_order(_parquet(path))
    return [(f"line {number}", row) for number, row in _csv(path)]


def in_order(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Rows of what has no lines, each with its number."""
    return [(f"row {number}", row) for number, row in enumerate(rows, 1)]


def require(rows: Sequence[Row], columns: Iterable[str], path: Path) -> None:
    """Refuse a table without one of some columns.

    Raises:
        UserError: it lacks one; the nearest is suggested.
    """
    have = list(rows[0]) if rows else []
    for column in columns:
        if rows and column not in have:
            raise UserError(
                f"{path} has no column {column}.{nearest(column, have)} It has: {few(have, 10)}."
            )


def _csv(path: Path) -> list[tuple[int, Row]]:
    """The rows, each with the number of its line in the file."""
    whole = read_text(path)
    text = whole.lstrip("\n")
    head, _, rest = text.partition("\n")
    if head.strip().lower().startswith("sep="):  # Excel's word to itself
        text, head = rest, rest.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    lines = list(csv_rows(text, path, delimiter, strict=False))
    above = whole.count("\n") - text.count("\n")
    names = once_each([name.strip() for name in lines[0][1]], path) if lines else []
    for number, line in lines[1:]:
        if any(cell.strip() for cell in line[len(names) :]):
            raise UserError(
                f"{path}, line {above + number}: {len(line)} cells, expected {len(names)} as in "
                f"its first line. Put a cell that holds a {shown(delimiter)} into quotes, or take "
                "out what is too much."
            )
    rows = [
        (
            above + number,
            {n: cell.strip() for n, cell in zip_longest(names, line[: len(names)], fillvalue="")},
        )
        for number, line in lines[1:]
    ]
    while rows and not any(rows[-1][1].values()):
        rows.pop()
    return rows


def _parquet(path: Path) -> list[Row]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{path} is a Parquet table, and reading it needs pyarrow: pip install pyarrow."
        ) from None
    try:
        names = [str(name).strip() for name in parquet.read_schema(path).names]
        double = len({*names}) < len(names)  # which cannot be read
        rows = [] if double else parquet.read_table(path).to_pylist()
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(
            f"{path} cannot be read as a Parquet table ({shown(str(error))})."
        ) from None
    once_each(names, path)
    return [
        {k.strip(): "" if v is None else str(v).strip() for k, v in row.items()} for row in rows
    ]
