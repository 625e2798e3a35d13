"""Read every file once before anything long begins, so that a bad one costs a second, not a run."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from gpsseg.console import progress, say
from gpsseg.data.case import Case, look_at_case, size_fault
from gpsseg.data.checks import notices
from gpsseg.data.formats import greys
from gpsseg.data.formats.headers import is_turned
from gpsseg.data.formats.images import as_rgb, read_picture
from gpsseg.errors import UserError, counted, few
from gpsseg.faults import fault_of, file_error, is_machines
from gpsseg.files import last_part
from gpsseg.processes import shared_out, together

MOST_TOLD = 10
LARGE = 4 * 2**20  # pixels from which on pictures are prepared one at a time
# Called before a case's files are read; what comes back is given the image, uint8 (H, W, 3), and
# its foreground, bool (H, W), None without a mask.
Keeper = Callable[[Case], Callable[[np.ndarray, np.ndarray | None], None]]
PATH = re.compile(r"\S*[/\\]\S*")  # of a file, in a sentence on it


@dataclass(frozen=True)
class Checked:
    """What one case is like: an error, or else what its mask and its greys are like."""

    error: str = ""
    mask: notices.MaskFacts | None = None
    greys: greys.Depth | None = None


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


def _checked(
    cases: Sequence[Case], skip: bool = False, keeper: Keeper | None = None
) -> list[Checked]:
    found = together(lambda: _look_at(shared_out(cases), keeper))
    errors = [(c.id, each.error) for c, each in zip(cases, found, strict=True) if each.error]
    if errors and not skip:
        raise UserError(*first_of(errors).split("\n"))
    return found


def _look_at(cases: Sequence[Case], keeper: Keeper | None) -> list[Checked]:
    check = functools.partial(_check, keeper=keeper, alone=Lock())
    with ThreadPoolExecutor() as pool:
        return list(progress(pool.map(check, cases), "checking files", len(cases)))


def _notes(cases: Sequence[Case], found: Sequence[Checked], anonymous: bool) -> list[str]:
    seen = [each.mask for each in found if each.mask]
    return [*_lacking_classes(cases, seen), *notices.notices(seen, anonymous)]


def _lacking_classes(cases: Sequence[Case], seen: Sequence[notices.MaskFacts]) -> list[str]:
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


def first_of(faults: Sequence[tuple[str, str]]) -> str:
    """What is wrong with files, a line for each kind of fault: the first, and which are like it.

    Args:
        faults: name and fault of each.

    >>> print(first_of([("a", "d/a.png has 3 levels."), ("b", "d/b.png has 4 levels.")]))
    d/a.png has 3 levels.
    The same is wrong with 1 more: b.png.
    """
    kinds: dict[str, list[tuple[str, str, str]]] = {}
    for name, fault in faults:
        path = PATH.search(fault)
        file = path[0].rstrip(".,:;") if path and " " not in name else name
        kinds.setdefault(_kind_of(name, fault), []).append((name, file, fault))
    lines = []
    for same in list(kinds.values())[:MOST_TOLD]:
        lines.append(same[0][2])
        files = list(dict.fromkeys(file for _, file, _ in same))
        all_of_one = len(files) == 1  # as where one mask is given to all images
        others = [name for name, _, _ in same[1:]] if all_of_one else map(last_part, files[1:])
        if rest := list(others):
            lines.append(f"The same is wrong with {len(rest)} more: {few(rest, MOST_TOLD - 1)}.")
    if len(kinds) > MOST_TOLD:
        lines.append(f"... and {counted(len(kinds) - MOST_TOLD, 'other fault')}.")
    return "\n".join(lines)


def _kind_of(name: str, fault: str) -> str:
    """What is wrong, without the file and the numbers: paths, values and lists of these."""
    plain = PATH.sub("#", fault.replace(name, "#") if " " in name else fault)
    plain = re.sub(r"(under )?-?\d+(\.\d+)?(e-?\d+)?", "#", plain)
    return re.sub(r"# \(#\s?%\)(, # \(#\s?%\))*( and # more)?", "#", plain)


def say_notes(
    cases: Sequence[Case],
    anonymous: bool = False,
    skip: bool = False,
    keeper: Keeper | None = None,
) -> list[Checked]:
    """Check cases and print the notes; ``anonymous`` counts them and names no file.

    A ``keeper`` is given what was decoded of the sound ones, so that it need not be decoded again.

    Returns:
        What each is like. With ``skip`` also of those that cannot be used, by their ``error``.

    Raises:
        UserError: as ``check_cases``.
    """
    found = _checked(cases, skip, keeper)
    sound = [(case, each) for case, each in zip(cases, found, strict=True) if not each.error]
    for note in _notes([case for case, _ in sound], [each for _, each in sound], anonymous):
        say(note, style="yellow")
    return found


def _check(case: Case, keeper: Keeper | None, alone: Lock) -> Checked:
    keep = keeper(case) if keeper else None
    try:
        image = read_picture(case.image)
        seen = greys.depth_of(image)
        marked = None if case.mask is None else look_at_case(case)
    except Exception as error:
        if is_machines(error):  # else a sound image were left out, today and on this machine
            raise file_error(case.image, error) from None
        return Checked(fault_of(case.image, error))
    if marked is not None and marked.mask.shape != image.shape[:2]:
        return Checked(size_fault(case, marked.mask.shape, image.shape[:2]))
    if keep is not None and image.dtype == np.uint8:  # others are shown by what all of them hold
        with alone if image.size > 3 * LARGE else contextlib.nullcontext():
            keep(as_rgb(image, None, case.image), None if marked is None else marked.mask)
    if case.mask is None or marked is None:
        return Checked(greys=seen)
    return Checked("", notices.mask_facts(case.mask, marked, is_turned(case.image)), seen)
