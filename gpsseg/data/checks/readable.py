"""Read every file once before anything long begins, so that a bad one costs a second, not a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gpsseg.console import progress, say
from gpsseg.data.case import Case, look_at_case, size_fault
from gpsseg.data.checks import notices
from gpsseg.data.formats import greys
from gpsseg.data.formats.headers import is_turned
from gpsseg.data.formats.images import read_picture
from gpsseg.errors import UserError, counted, few
from gpsseg.faults import fault_of, file_error, is_machines
from gpsseg.processes import shared_out, together

SHOWN = 10
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


def _checked(cases: Sequence[Case], skip: bool = False) -> list[Checked]:
    found = together(lambda: _look_at(shared_out(cases)))
    errors = [(c.id, each.error) for c, each in zip(cases, found, strict=True) if each.error]
    if errors and not skip:
        raise UserError(*first_of(errors).split("\n"))
    return found


def _look_at(cases: Sequence[Case]) -> list[Checked]:
    with ThreadPoolExecutor() as pool:
        return list(progress(pool.map(_check, cases), "checking files", len(cases)))


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
    kinds: dict[str, list[str]] = {}
    for name, fault in faults:
        path = PATH.search(fault)
        file = re.split(r"[/\\]", path[0])[-1] if path and " " not in name else name
        kinds.setdefault(_kind_of(name, fault), []).extend((file, fault))
    lines = []
    for same in list(kinds.values())[:SHOWN]:
        lines.append(same[1])
        if rest := same[2::2]:
            lines.append(f"The same is wrong with {len(rest)} more: {few(rest, SHOWN - 1)}.")
    if len(kinds) > SHOWN:
        lines.append(f"... and {counted(len(kinds) - SHOWN, 'other fault')}.")
    return "\n".join(lines)


def _kind_of(name: str, fault: str) -> str:
    """What is wrong, without the file and the numbers: paths, values and lists of these."""
    plain = PATH.sub("#", fault.replace(name, "#") if " " in name else fault)
    plain = re.sub(r"(under )?-?\d+(\.\d+)?(e-?\d+)?", "#", plain)
    return re.sub(r"# \(#\s?%\)(, # \(#\s?%\))*( and # more)?", "#", plain)


def say_notes(cases: Sequence[Case], anonymous: bool = False, skip: bool = False) -> list[Checked]:
    """Check cases and print the notes; ``anonymous`` counts them and names no file.

    Returns:
        What each is like. With ``skip`` also of those that cannot be used, by their ``error``.

    Raises:
        UserError: as ``check_cases``.
    """
    found = _checked(cases, skip)
    sound = [(case, each) for case, each in zip(cases, found, strict=True) if not each.error]
    for note in _notes([case for case, _ in sound], [each for _, each in sound], anonymous):
        say(note, style="yellow")
    return found


def _check(case: Case) -> Checked:
    try:
        image = read_picture(case.image)
        seen = greys.depth_of(image)
        if case.mask is None:
            return Checked(greys=seen)
        marked = look_at_case(case)
    except Exception as error:
        if is_machines(error):  # else a sound image were left out, today and on this machine
            raise file_error(case.image, error) from None
        return Checked(fault_of(case.image, error))
    if marked.mask.shape != image.shape[:2]:
        return Checked(size_fault(case, marked.mask.shape, image.shape[:2]))
    return Checked("", notices.mask_facts(case.mask, marked, is_turned(case.image)), seen)
