"""The values of a table's columns that scores are shown by: centres, devices, quarters of ages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gpsseg.data.case import Case
from gpsseg.data.splits.drawn import Split
from gpsseg.errors import UserError, few, nearest
from gpsseg.veil import hashed

MOST = 20  # values of a column
MOST_NUMBERS = 8  # above which numbers are taken in quarters
DIGITS = 8  # of a hashed value
Labels = Mapping[str, Mapping[str, str]]


def labels_by(columns: Sequence[str], split: Split, salt: str | None) -> Labels:
    """The value of each column for each case of a split, as it is written.

    Numbers of more than eight values are taken in quarters of all of the split's images, so that
    a quarter is the same whichever of them are scored. With a salt, values are hashed, and a
    quarter does not say from where to where it goes. A case without a value has the value "".

    Args:
        columns: as the user named them; "group" is each case's group.
        split: whose cases have them.
        salt: of a nameless run, whose groups are hashed already; None shows values as they are.

    Returns:
        Column -> id -> value.

    Raises:
        UserError: no case has such a column, or it has too many values.
    """
    cases = (*split.train, *split.val, *split.test)
    facts = {case.id: _facts(case) for case in cases}
    known = dict.fromkeys(name for of_one in facts.values() for name in of_one)
    found = {}
    for column in dict.fromkeys(name.strip().lower() for name in columns):
        if column not in known:
            has = f"They have: {few(known, 10)}." if known else "They have none."
            raise UserError(
                f"--by {column}: these images have no such column.{nearest(column, known)} {has} "
                "Columns come from --table, or from what a data set's card knows."
            )
        values = {name: of_one.get(column, "") for name, of_one in facts.items()}
        found[column] = _labelled(column, values, salt)
    return found


def _facts(case: Case) -> dict[str, str]:
    group = {"group": case.group} if case.group is not None else {}
    return {**dict(case.facts), **group}


def _labelled(column: str, values: Mapping[str, str], salt: str | None) -> dict[str, str]:
    """Values as they are shown."""
    different = {value for value in values.values() if value}
    numbers = {value: _number(value) for value in different}
    if len(different) > MOST_NUMBERS and all(map(math.isfinite, numbers.values())):
        return _quarters(values, numbers, salt)
    if len(different) > MOST:
        raise UserError(
            f"--by {column}: got {len(different)} different values, expected at most {MOST} (of "
            "numbers any, which are taken in quarters). Name a column with fewer."
        )
    if salt is None or column == "group":
        return dict(values)
    return {
        name: value and hashed(f"{column} {value}", salt)[:DIGITS] for name, value in values.items()
    }


def _number(value: str) -> float:
    """The number that a cell holds; not a number where it holds none."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _quarters(
    values: Mapping[str, str], numbers: Mapping[str, float], salt: str | None
) -> dict[str, str]:
    """The quarter of all images that each number is in: "1: up to 45", "2: above 45 up to 57"."""
    given = [numbers[value] for value in values.values() if value]
    ends = np.unique(np.quantile(given, (0.25, 0.5, 0.75)))
    names = [f"{place}" for place in range(1, len(ends) + 2)]
    if salt is None:
        low, high = [None, *ends], [*ends, None]
        names = [
            f"{name}: {_range(*pair)}"
            for name, pair in zip(names, zip(low, high, strict=True), strict=True)
        ]
    return {
        name: names[int(np.searchsorted(ends, numbers[value]))] if value else ""
        for name, value in values.items()
    }


def _range(low: float | None, high: float | None) -> str:
    above = "" if low is None else f"above {low:g}"
    return " ".join(filter(None, [above, "" if high is None else f"up to {high:g}"]))
