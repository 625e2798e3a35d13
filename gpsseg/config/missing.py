"""Words that stand for no value in a table: R writes NA, pandas nan, a person a dash."""

from __future__ import annotations

NONE = frozenset(
    (*("na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "nat", "none", "null", "nil"),
     *("unknown", "missing", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "?", "."))
)  # fmt: skip


def named_in(cell: str) -> str:
    """What a cell names, without blanks around it; empty where it is empty or a word for none.

    >>> named_in(" p1 "), named_in("N/A"), named_in(" "), named_in("Nana")
    ('p1', '', '', 'Nana')
    """
    name = cell.strip()
    return "" if name.casefold() in NONE else name
