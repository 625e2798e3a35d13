"""Read every file once before anything long begins, so that a bad one costs a second, not a run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gpsseg.console import progress, say
from gpsseg.data.case import Case, case_mask, size_fault
from gpsseg.data.greys import Seen, look
from gpsseg.data.images import read_stored
from gpsseg.errors import UserError, fault_of

SHOWN = 10


@dataclass(frozen=True)
class Checked:
    """What one case is like: an error or a note, each empty if there is none, and its greys."""

    error: str = ""
    note: str = ""
    seen: Seen | None = None


def check_cases(cases: Sequence[Case]) -> list[str]:
    """Decode every image and mask.

    Returns:
        Notes that are no errors: the cases whose mask is empty (they count as "no lesion").

    Raises:
        UserError: files are unreadable or sizes differ; up to 10 are named.
    """
    return [found.note for found in _checked(cases) if found.note]


def _checked(cases: Sequence[Case]) -> list[Checked]:
    with ThreadPoolExecutor() as pool:
        found = list(progress(pool.map(_check, cases), "checking files", len(cases)))
    errors = [each.error for each in found if each.error]
    if errors:
        raise UserError(first_of(errors))
    return found


def first_of(faults: Sequence[str]) -> str:
    """The first ten, one a line, and how many more there are."""
    more = f"\n... and {len(faults) - SHOWN} more." if len(faults) > SHOWN else ""
    return "\n".join(faults[:SHOWN]) + more


def say_notes(cases: Sequence[Case], anonymous: bool = False) -> list[Seen | None]:
    """Check cases and print the notes; ``anonymous`` counts them and names no file.

    Returns:
        What each image of more than 8 bits holds; None for the others.

    Raises:
        UserError: as ``check_cases``.
    """
    found = _checked(cases)
    notes = [each.note for each in found if each.note]
    if anonymous and notes:
        notes = [f"{len(notes)} masks are all black: they count as images without lesion."]
    for note in notes:
        say(note, style="yellow")
    return [each.seen for each in found]


def _check(case: Case) -> Checked:
    try:
        image = read_stored(case.image)
        seen = look(image)
        if case.mask is None:
            return Checked(seen=seen)
        mask = case_mask(case)
    except Exception as error:
        return Checked(fault_of(case.image, error))
    if mask.shape != image.shape[:2]:
        return Checked(size_fault(case, mask.shape, image.shape[:2]))
    note = "" if mask.any() else f"{case.mask} is all black: it counts as an image without lesion."
    return Checked(note=note, seen=seen)
