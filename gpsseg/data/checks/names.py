"""What file names say of which images belong together: patient12_003, seq3_frame045, 7/12.png."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gpsseg.data.case import Case

SPLIT = re.compile(r"[^0-9A-Za-z\u00c0-\uffff]+")
PERSON = "patient|pat|pt|subject|subj|sub|person|pid|mrn"
SCENE = "sequence|seq|video|vid|clip|movie|case|study|exam|series|lesion|eye|slide|wsi"
FRAME = (
    "frame|frm|fr|image|img|im|slice|sl|view|page|shot|patch|tile|crop|aug|rot|copy|no|nr|"
    "f|s|z|t|i|n|v|x"
)
# Words that number something else than patients: what they count belongs together in no way.
GENERIC = frozenset(
    (*("fold", "part", "batch", "set", "split", "train", "training", "test", "val", "validation"),
     *("class", "grade", "stage", "v", "version", "data", "dataset", "isic", "ham", "dsc", "dscn"))
)  # fmt: skip
DATE = re.compile(r"(?:19|20)\d\d[01]\d[0-3]\d")


def same_names(cases: Sequence[Case]) -> dict[str, str]:
    """Which cases are named after one patient or sequence, id -> its name.

    A name counts where it is one of several, and where two images or more have it: ISIC_0000001
    and IMG_0001 say nothing, as every image is called so.
    """
    said = {case.id: name for case in cases if (name := name_of(case))}
    counts = Counter(said.values())
    if len(counts) < 2:
        return {}
    return {case_id: name for case_id, name in said.items() if counts[name] > 1}


def name_of(case: Case) -> str:
    """The patient or sequence that a case's id, file or folder tells, or an empty string."""
    stems, folder = (case.id.rpartition("/")[2], case.image.stem), case.image.parent.name
    if named := next(filter(None, map(_person, (*stems, folder))), ""):
        return named
    if re.fullmatch(rf"(?:{SCENE}|[A-Za-z]{{1,2}})?[ _-]?\d+", folder) and not _is_date(folder):
        return folder.lower()
    return next(filter(None, (head_and_number(stem)[0] for stem in stems)), "")


def _person(name: str) -> str:
    """A word such as `patient` with its number, first of people, then of scenes."""
    for words in (PERSON, SCENE):
        found = re.search(rf"(?<![A-Za-z])({words})[ _.-]*0*(\d+)(?!\d)", name, re.IGNORECASE)
        if found:
            return f"{found[1].lower()}{found[2]}"
    return ""


def head_and_number(stem: str) -> tuple[str, int | None]:
    """What comes before a running number, where it tells one scene from another, and the number.

    >>> head_and_number("A12_frame045"), head_and_number("12-3"), head_and_number("IMG_0001")
    (('a12', 45), ('12', 3), ('', 1))
    >>> head_and_number("20240131_101500"), head_and_number("fold1_003"), head_and_number("cju0q2")
    (('', 101500), ('', 3), ('', None))
    """
    parts = [part for part in SPLIT.split(stem) if part]
    if not parts:
        return "", None
    last = re.fullmatch(rf"(?:{FRAME})?(\d+)", parts[-1], re.IGNORECASE)
    if not last:
        return "", None
    head = parts[:-1]
    while head and re.fullmatch(FRAME, head[-1], re.IGNORECASE):
        head.pop()
    telling = [part for part in head if re.search(r"\d", part) and not _is_date(part)]
    telling = [part for part in telling if re.sub(r"\d", "", part).lower() not in GENERIC]
    return "_".join(head).lower() if telling else "", int(last[1])


def next_to(cases: Sequence[Case]) -> list[tuple[int, int]]:
    """Pairs of indices of cases whose numbers follow one another, of one name and folder."""
    places: dict[tuple[str, str, int], int] = {}
    for index, case in enumerate(cases):
        fit = re.fullmatch(r"(.*?)(\d{1,9})", case.image.stem)
        if fit:
            places.setdefault((str(case.image.parent), fit[1], int(fit[2])), index)
    return [
        (index, places[folder, head, number + 1])
        for (folder, head, number), index in places.items()
        if (folder, head, number + 1) in places
    ]


def _is_date(text: str) -> bool:
    return bool(DATE.fullmatch(text))
