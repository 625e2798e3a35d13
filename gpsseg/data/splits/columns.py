"""The values of a table's columns that scores are shown by: centres, devices, quarters of ages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gpsseg.config.missing import named_in
from gpsseg.data.case import Case
from gpsseg.data.splits.drawn import Split
from gpsseg.errors import UserError, few, nearest
from gpsseg.reading import number_in
from gpsseg.veil import hashed

MOST = 20  # values of a column
MOST_NUMBERS = 8  # above which numbers are taken in quarters
DIGITS = 8  # of a hashed value
OF_THE_IMAGE = ("id", "image", "mask", "split")
Labels = Mapping[str, Mapping[str, str]]


def labels_by(columns: Sequence[str], split: Split, salt: str | None) -> Labels:
    """The value of each column for each case of a split, as it is written.

    Numbers of more than eight values are taken in quarters of all of the split's images, so that
    a quarter is the same whichever of them are scored; words for none, such as NA, are none there.
    With a salt, values are hashed, and a quarter does not say from where to where it goes. A case
    without a value has the value "".

    Args:
        columns: as the user named them, in capitals or not; "group" is each case's group.
        split: whose cases have them.
        salt: of a nameless run, whose groups are hashed already; None shows values as they are.

    Returns:
        Column -> id -> value.

    Raises:
        UserError: no case has such a column, several do, or it has too many values.
    """
    cases = (*split.train, *split.val, *split.test)
    facts = {case.id: _facts(case) for case in cases}
    known = dict.fromkeys(name for of_one in facts.values() for name in of_one)
    found = {}
    for asked in dict.fromkeys(name.strip() for name in columns):
        column = _named(asked, list(known))
        values = {name: of_one.get(column, "") for name, of_one in facts.items()}
        alone = sum(name.lower() == column.lower() for name in known) == 1
        shown = column.lower() if alone else column
        found[shown] = _labelled(shown, values, salt)
    return found


def _named(asked: str, known: Sequence[str]) -> str:
    """The column that is asked for: the very name, or the one that differs in capitals alone.

    Raises:
        UserError: there is none, or there are several.
    """
    alike = [name for name in known if name.lower() == asked.lower()]
    if asked in known or len(alike) == 1:
        return asked if asked in known else alike[0]
    if alike:
        raise UserError(
            f"--by {asked}: several columns have this name, but for their capitals: "
            f"{few(alike, 10)}. Write it as the table does."
        )
    has = f"They have: {few(known, 10)}." if known else "They have none."
    if asked.lower() in OF_THE_IMAGE:
        raise UserError(
            f"--by {asked}: {', '.join(OF_THE_IMAGE[:-1])} and {OF_THE_IMAGE[-1]} tell of no kind "
            f"of image. Name another column. {has}"
        )
    near = nearest(asked.lower(), [name.lower() for name in known])
    raise UserError(
        f"--by {asked}: these images have no such column.{near} {has} "
        "Columns come from --table, or from what a data set's card knows."
    )


def _facts(case: Case) -> dict[str, str]:
    group = {"group": case.group} if case.group is not None else {}
    return {**dict(case.facts), **group}


def _labelled(column: str, values: Mapping[str, str], salt: str | None) -> dict[str, str]:
    """Values as they are shown."""
    different = {value for value in values.values() if value}
    numbers = {value: number_in(value) for value in different}
    words = sorted(value for value in different if not math.isfinite(numbers[value]))
    if len(different) - len(words) > MOST_NUMBERS and not any(map(named_in, words)):
        given = {name: "" if value in words else value for name, value in values.items()}
        return _quarters(given, numbers, salt)
    if len(different) > MOST:
        mostly = salt is None and len(words) < len(different) / 2
        mixed = f" No numbers are: {few(words)}." if mostly and words else ""
        raise UserError(
            f"--by {column}: got {len(different)} different values, expected at most {MOST} (of "
            f"numbers any, which are taken in quarters).{mixed} Name a column with fewer."
        )
    if salt is None or column == "group":
        return dict(values)
    return {
        name: value and hashed(f"{column} {value}", salt)[:DIGITS] for name, value in values.items()
    }


def _quarters(
    values: Mapping[str, str], numbers: Mapping[str, float], salt: str | None
) -> dict[str, str]:
    """The quarter of all images that each number is in: "1: up to 45", "2: above 45 up to 57"."""
    given = [numbers[value] for value in values.values() if value]
    ends = np.unique(np.quantile(given, (0.25, 0.5, 0.75), method="lower"))
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
    above = "" if low is None else f"above {low:.15g}"
    return " ".join(filter(None, [above, "" if high is None else f"up to {high:.15g}"]))
