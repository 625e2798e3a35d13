"""Group rules of a data card: which cases show one patient, one lesion or one video sequence."""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.data.cards.rows import placed_rows, require
from gpsseg.data.cards.tables import facts_of
from gpsseg.data.case import Case, grouped
from gpsseg.data.formats.filenames import matching, one_form
from gpsseg.errors import UserError, few, shown, told


def with_groups(cases: Sequence[Case], rule: Mapping[str, Any] | None, root: Path) -> list[Case]:
    """Give cases their group by a card's rule; a case that it says nothing of keeps its own.

    Args:
        cases: without or with groups.
        rule: {"id": regular expression that fits the whole id; its first bracket is the group},
            the same with "ranges": [[first, last], ...] in which that number falls, or
            {"csv": file, "key": column of ids, "value": column of groups}.
        root: the set's folder, where a CSV is looked for.

    Raises:
        UserError: the CSV is not there or lacks a column.
    """
    if rule is None:
        return list(cases)
    if "csv" in rule:
        rows = _table(rule, root)
        return [_as_told(case, rows.get(one_form(case.id)), rule) for case in cases]
    group_of = _from_id(rule)
    return [grouped(case, group_of(case.id) or "") for case in cases]


def _as_told(case: Case, row: Mapping[str, str] | None, rule: Mapping[str, Any]) -> Case:
    """A case with the group and the facts of its row."""
    if row is None:
        return case
    facts = facts_of(dict(row), (rule["key"], rule["value"]))
    return grouped(dataclasses.replace(case, facts=(*case.facts, *facts)), row[rule["value"]])


def _from_id(rule: Mapping[str, Any]) -> Callable[[str], str | None]:
    fits, ranges = re.compile(str(rule["id"])), rule.get("ranges")

    def group_of(name: str) -> str | None:
        fit = fits.fullmatch(name)
        if not fit or ranges is None:
            return fit[1] if fit else None
        digits = fit[1] or ""
        if not re.fullmatch(r"[0-9]{1,18}", digits):
            raise UserError(
                f"group: of {name} the bracket in {told(rule['id'])} is {shown(digits)}, "
                "expected a number to look up in `ranges`. Write \\d+ into the bracket, or leave "
                "out `ranges`."
            )
        number = int(digits)
        place = bisect_right([first for first, _ in ranges], number) - 1
        if place < 0 or number > ranges[place][1]:
            return None
        return f"{ranges[place][0]}-{ranges[place][1]}"

    return group_of


def _table(rule: Mapping[str, Any], root: Path) -> dict[str, dict[str, str]]:
    """The rows of a card's CSV by the ids of its cases.

    Raises:
        UserError: it is not there, lacks a column, or gives one id two groups.
    """
    files = sorted(path for path in matching(root, rule["csv"]) if path.is_file())
    if not files:
        raise UserError(
            f"{root / rule['csv']} is not there; it says which images belong together, so that no "
            "patient is on both sides of a split. Put it beside the images."
        )
    path, key, value = files[0], rule["key"], rule["value"]
    placed = placed_rows(path)
    require([row for _, row in placed], (key, value), path)
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for place, row in placed:
        before, its = found.setdefault(one_form(row[key]), (place, row))
        if its[value] != row[value]:
            raise UserError(
                f"{path}: {before} and {place} are both of {few([row[key]])} and differ in "
                f"{value}. Leave one out."
            )
        found[one_form(row[key])] = (before, row)
    return {name: row for name, (_, row) in found.items()}
