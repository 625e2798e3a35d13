"""Read every file once before anything long begins, so that a bad one costs a second, not a run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpsseg.console import progress, say
from gpsseg.data.case import Case, case_mask, size_fault
from gpsseg.data.images import read_image
from gpsseg.errors import UserError, fault_of, few

SHOWN = 10


def check_cases(cases: Sequence[Case]) -> list[str]:
    """Decode every image and mask.

    Returns:
        Notes that are no errors: the cases whose mask is empty (they count as "no lesion").

    Raises:
        UserError: files are unreadable or sizes differ; up to 10 are named.
    """
    return [f"{mask} is all black: it counts as an image without lesion." for mask in _black(cases)]


def _black(cases: Sequence[Case]) -> list[Path]:
    """Decode every image and mask, and return the masks that are all black."""
    with ThreadPoolExecutor() as pool:
        found = list(progress(pool.map(_check, cases), "checking files", len(cases)))
    errors = [error for error, _ in found if error]
    if errors:
        raise UserError(first_of(errors))
    return [black for _, black in found if black]


def first_of(faults: Sequence[str]) -> str:
    """The first ten, one a line, and how many more there are."""
    more = f"\n... and {len(faults) - SHOWN} more." if len(faults) > SHOWN else ""
    return "\n".join(faults[:SHOWN]) + more


def say_notes(cases: Sequence[Case], anonymous: bool = False) -> None:
    """Check cases, and say in one line whose masks are black; ``anonymous`` names no file.

    Raises:
        UserError: as ``check_cases``.
    """
    if black := _black(cases):
        one = len(black) == 1
        count = "1 mask is" if one else f"{len(black)} masks are"
        they = "its image counts" if one else "their images count"
        names = "" if anonymous else f": {few(path.name for path in black)}"
        say(f"{count} all black, so {they} as without a lesion{names}.", style="yellow")


def _check(case: Case) -> tuple[str, Path | None]:
    """Return (error, mask that is all black), each empty if there is none."""
    try:
        image = read_image(case.image)
        if case.mask is None:
            return "", None
        mask = case_mask(case)
    except Exception as error:
        return fault_of(case.image, error), None
    if mask.shape != image.shape[:2]:
        return size_fault(case, mask.shape, image.shape[:2]), None
    return "", None if mask.any() else case.mask
