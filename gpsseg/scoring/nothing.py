"""A word that finds nothing: that is an answer, and perhaps the wrong word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.console import say
from gpsseg.errors import counted

Rows = Sequence[Mapping[str, Any]]


def empty_answers(rows: Rows) -> int:
    """In how many images nothing was found."""
    return sum(not row["prediction_pixels"] for row in rows)


def finding_nothing(word: str, rows: Mapping[str, Rows]) -> dict[str, Any]:
    """Say so if a word found nothing in any image; metrics.json has it as "found_nothing".

    Args:
        word: that the network was asked by.
        rows: "before" and "after" -> those of per_image.csv.
    """
    found = [name for name, its in rows.items() if its and empty_answers(its) == len(its)]
    for name in found:
        images = counted(len(rows[name]), "image")
        say(
            f'note: the word "{word}" found nothing in {len(rows[name])} of {images} ({name})',
            style="yellow",
        )
    return {"found_nothing": found} if found else {}
