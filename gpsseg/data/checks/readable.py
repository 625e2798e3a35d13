"""Read every file once before anything long begins, so that a bad one costs a second, not a run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gpsseg.console import progress, say
from gpsseg.data.case import Case, look_at_case, size_fault
from gpsseg.data.checks import notices
from gpsseg.data.formats import greys
from gpsseg.data.formats.images import is_turned, read_stored
from gpsseg.errors import UserError, fault_of

SHOWN = 10


@dataclass(frozen=True)
class Checked:
    """What one case is like: an error, or else what its mask and its greys are like."""

    error: str = ""
    mask: notices.Seen | None = None
    greys: greys.Seen | None = None


def check_cases(cases: Sequence[Case], anonymous: bool = False) -> list[str]:
    """Decode every image and mask.

    Args:
        cases: to look at.
        anonymous: whether to leave names out of the notes.

    Returns:
        Notes that are no errors, one line each: masks that are empty (they count as "no lesion"),
        full, foreground along the border or of more than two levels, images that are turned.

    Raises:
        UserError: files are unreadable or sizes differ, or the chosen classes are in no mask; up to
            10 files are named.
    """
    return _notes(cases, _checked(cases), anonymous)


def _checked(cases: Sequence[Case]) -> list[Checked]:
    with ThreadPoolExecutor() as pool:
        found = list(progress(pool.map(_check, cases), "checking files", len(cases)))
    errors = [each.error for each in found if each.error]
    if errors:
        raise UserError(first_of(errors))
    return found


def _notes(cases: Sequence[Case], found: Sequence[Checked], anonymous: bool) -> list[str]:
    seen = [each.mask for each in found if each.mask]
    return [*_lacking_classes(cases, seen), *notices.notices(seen, anonymous)]


def _lacking_classes(cases: Sequence[Case], seen: Sequence[notices.Seen]) -> list[str]:
    """A note on chosen classes that no mask holds.

    Raises:
        UserError: no mask holds any of them.
    """
    labels = next((case.labels for case in cases if case.labels), None)
    if not labels or not seen or any(case.opinions for case in cases):
        return []
    there = {number for each in seen for number in each.classes}
    chosen = [list(labels.classes[index]) for index in labels.chosen]
    lacking = [str(value) for number, value in enumerate(chosen, 1) if number not in there]
    listed = ", ".join(lacking)
    if not there:
        raise UserError(
            f"None of {len(seen)} masks holds a class that was chosen ({listed}), expected some "
            "foreground. Correct `classes` in the data card, or choose others with --classes."
        )
    return [f"note: no mask holds the classes {listed}."] if lacking else []


def first_of(faults: Sequence[str]) -> str:
    """The first ten, one a line, and how many more there are."""
    more = f"\n... and {len(faults) - SHOWN} more." if len(faults) > SHOWN else ""
    return "\n".join(faults[:SHOWN]) + more


def say_notes(cases: Sequence[Case], anonymous: bool = False) -> list[greys.Seen | None]:
    """Check cases and print the notes; ``anonymous`` counts them and names no file.

    Returns:
        What each image of more than 8 bits holds; None for the others.

    Raises:
        UserError: as ``check_cases``.
    """
    found = _checked(cases)
    for note in _notes(cases, found, anonymous):
        say(note, style="yellow")
    return [each.greys for each in found]


def _check(case: Case) -> Checked:
    try:
        image = read_stored(case.image)
        seen = greys.look(image)
        if case.mask is None:
            return Checked(greys=seen)
        marked = look_at_case(case)
    except Exception as error:
        return Checked(fault_of(case.image, error))
    if marked.mask.shape != image.shape[:2]:
        return Checked(size_fault(case, marked.mask.shape, image.shape[:2]))
    return Checked("", notices.look(case.mask, marked, is_turned(case.image)), seen)
