"""Read every file once before anything long begins, so that a bad one costs a second, not a run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gpsseg.console import progress, say
from gpsseg.data.case import Case, case_mask, size_fault
from gpsseg.data.images import read_image
from gpsseg.errors import UserError, fault_of

SHOWN = 10


def check_cases(cases: Sequence[Case]) -> list[str]:
    """Decode every image and mask.

    Returns:
        Notes that are no errors: the cases whose mask is empty (they count as "no lesion").

    Raises:
        UserError: files are unreadable or sizes differ; up to 10 are named.
    """
    with ThreadPoolExecutor() as pool:
        found = list(progress(pool.map(_check, cases), "checking files", len(cases)))
    errors = [error for error, _ in found if error]
    if errors:
        raise UserError(first_of(errors))
    return [note for _, note in found if note]


def first_of(faults: Sequence[str]) -> str:
    """The first ten, one a line, and how many more there are."""
    more = f"\n... and {len(faults) - SHOWN} more." if len(faults) > SHOWN else ""
    return "\n".join(faults[:SHOWN]) + more


def say_notes(cases: Sequence[Case], anonymous: bool = False) -> None:
    """Check cases and print the notes; ``anonymous`` counts them and names no file.

    Raises:
        UserError: as ``check_cases``.
    """
    notes = check_cases(cases)
    if anonymous and notes:
        notes = [f"{len(notes)} masks are all black: they count as images without lesion."]
    for note in notes:
        say(note, style="yellow")


def _check(case: Case) -> tuple[str, str]:
    """Return (error, note), each empty if there is none."""
    try:
        image = read_image(case.image)
        if case.mask is None:
            return "", ""
        mask = case_mask(case)
    except Exception as error:
        return fault_of(case.image, error), ""
    if mask.shape != image.shape[:2]:
        return size_fault(case, mask.shape, image.shape[:2]), ""
    return (
        "",
        "" if mask.any() else f"{case.mask} is all black: it counts as an image without lesion.",
    )
