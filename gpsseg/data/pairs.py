"""Which prediction belongs to which truth: by name, whatever tool named the files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.data.case import Case
from gpsseg.data.maps import find_maps, relative_name, stem
from gpsseg.errors import UserError, few

PROBABILITY = r"prob|probs|probability|probabilities"
WORDS = (
    rf"(?:{PROBABILITY}|mask|masks|seg|segmentation|segmented|pred|predicted|prediction|"
    "predictions|output|result|label|labels|gt|truth|groundtruth)"
)
AFFIX = re.compile(rf"^{WORDS}[ _.-]+(?=.)|(?<=.)[ _.-]+{WORDS}$", re.IGNORECASE)
SOFT = re.compile(rf"^(?:{PROBABILITY})[ _.-]|[ _.-](?:{PROBABILITY})$", re.IGNORECASE)


@dataclass(frozen=True)
class Pairs:
    """Predictions found for cases.

    Attributes:
        files: prediction of every case, by id.
        extra: files that belong to no case.
        aside: masks that lie beside the probability map of their case and are not used.
    """

    files: Mapping[str, Path]
    extra: tuple[Path, ...]
    aside: tuple[Path, ...]


def bare(name: str) -> str:
    """A name without the usual words before and after it.

    >>> bare("pred_case-7_mask"), bare("mask"), bare("ISIC_0000001_segmentation")
    ('case-7', 'mask', 'ISIC_0000001')
    """
    while (shorter := AFFIX.sub("", name)) != name:
        name = shorter
    return name


def truth_cases(folder: Path) -> list[Case]:
    """The masks in a folder, as cases without an image (the mask's path stands in for it).

    An id is the file's stem, or its path below the folder where two stems are alike.

    Raises:
        UserError: there is none, or two differ in their ending only.
    """
    paths = find_maps(folder, "--truth")
    names = [stem(path) for path in paths]
    if len(set(names)) < len(names):
        names = [_below(path, folder) for path in paths]
    first: dict[str, Path] = {}
    for name, path in zip(names, paths, strict=True):
        if name in first:
            raise UserError(
                f"--truth holds two masks of one name, {first[name]} and {path.name}. Remove one."
            )
        first[name] = path
    return [Case(name, path, path) for name, path in first.items()]


def pair(
    folder: Path,
    cases: Sequence[Case],
    option: str = "--predictions",
    what: str = "prediction",
    own: bool = False,
    partial: bool = False,
) -> Pairs:
    """Find the prediction (or the mask) of every case.

    A name counts as the case's if it is equal with its sub-folder, else if it is equal, else (again
    with its sub-folder first) if it is equal once words such as ``_mask`` or ``pred_`` are left out
    of both.

    Args:
        folder: is searched with its sub-folders.
        cases: what needs a prediction; ids are unique.
        option: what error messages call the folder.
        what: what they call a file in it.
        own: whether the cases' images may lie in the folder too; they are no predictions.
        partial: whether cases without prediction are no error.

    Raises:
        UserError: a case has no prediction, or several, or a file fits several cases.
    """
    steps = (
        _index((case.id, case.id) for case in cases),
        _index((name, case.id) for case in cases for name in _names(case)),
        _index((_bare_below(case.id), case.id) for case in cases),
        _index((bare(name), case.id) for case in cases for name in _names(case)),
    )
    found: dict[str, list[Path]] = defaultdict(list)
    extra, unclear = [], []
    images = {case.image for case in cases} if own else set()
    for path in find_maps(folder, option):
        if path in images:
            continue
        below = _below(path, folder)
        keys = (below, stem(path), _bare_below(below), bare(stem(path)))
        fits = next((step[k] for step, k in zip(steps, keys, strict=True) if k in step), set())
        if len(fits) > 1:
            unclear.append(f"{path.relative_to(folder)} fits {few(sorted(fits))}")
        elif fits:
            found[next(iter(fits))].append(path)
        else:
            extra.append(path)
    chosen, aside = _one_each(found, folder, unclear)
    _refuse(() if partial else cases, chosen, unclear, folder, option, what)
    return Pairs(chosen, tuple(extra), tuple(aside))


def _below(path: Path, folder: Path) -> str:
    """The path below a folder without its ending, with slashes."""
    return relative_name(path.with_name(stem(path) or path.name), folder)


def _bare_below(name: str) -> str:
    """A path with slashes whose last part is without the usual words."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{bare(last)}"


def _names(case: Case) -> set[str]:
    """What a prediction of a case may be called: its id, or its mask's name."""
    last = case.id.rpartition("/")[2]
    return {last} if case.mask is None else {last, stem(case.mask)}


def _index(entries: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    index: dict[str, set[str]] = defaultdict(set)
    for name, case_id in entries:
        index[name].add(case_id)
    return dict(index)


def _one_each(
    found: Mapping[str, list[Path]], folder: Path, unclear: list[str]
) -> tuple[dict[str, Path], list[Path]]:
    """One file a case: of several, the only one that is named a probability map."""
    chosen, aside = {}, []
    for case_id, paths in found.items():
        soft = [path for path in paths if SOFT.search(stem(path))]
        if len(paths) > 1 and len(soft) != 1:
            unclear.append(f"{few(path.relative_to(folder) for path in paths)} all fit {case_id}")
            continue
        chosen[case_id] = soft[0] if len(paths) > 1 else paths[0]
        aside += [path for path in paths if path != chosen[case_id]]
    return chosen, aside


def _refuse(
    cases: Sequence[Case],
    chosen: Mapping[str, Path],
    unclear: Sequence[str],
    folder: Path,
    option: str,
    what: str,
) -> None:
    """Say which names are unclear or missing."""
    if unclear:
        raise UserError(
            f"{option} {folder}: it is unclear which file belongs to which image: "
            f"{few(unclear)}. Keep one file an image, named as its truth."
        )
    missing = [case.id for case in cases if case.id not in chosen]
    if missing:
        raise UserError(
            f"{option} {folder}: {len(missing)} of {len(cases)} images have no {what}: "
            f"{few(missing)}. Expected a file of that name, such as {few(missing[:1])}.png; words "
            "such as _mask, _pred or _probability after it are fine."
        )
