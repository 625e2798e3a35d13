"""Read a case's truth and predictions together, and check that these fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from gpsseg.data.case import Case, look_at_case
from gpsseg.data.checks.notices import MaskFacts, mask_facts
from gpsseg.data.formats.levels import Marked
from gpsseg.data.formats.maps import stem
from gpsseg.data.formats.masks import joined, refuse_sizes
from gpsseg.data.formats.matching import is_map
from gpsseg.data.formats.readings import Rule, Survey, survey
from gpsseg.data.formats.stored import Stored, elsewhere, on_one_grid, read_stored, size_text
from gpsseg.errors import UserError
from gpsseg.faults import fault_of, naming

Files = list[tuple[Path, Stored]]
Reader = Callable[[Path], Stored]


@dataclass(frozen=True)
class PairCheck:
    """What checking one case found.

    Attributes:
        fault: what is wrong, in a sentence; empty where nothing is.
        surveys: of each file of the prediction.
        truths: of each file of the truth, where the labels are chosen.
        axes: 2 for images, 3 for volumes.
        moved: whether a prediction's header disagrees with the truth's.
        truth: what the truth's mask is like.
    """

    fault: str = ""
    surveys: tuple[Survey, ...] = ()
    truths: tuple[Survey, ...] = ()
    axes: int = 0
    moved: bool = False
    truth: MaskFacts | None = None


def read_pair(
    case: Case, paths: Sequence[Path], numbers: bool, read: Reader | None = None
) -> tuple[Files, Files]:
    """The files of a case's truth and of its prediction, on one grid.

    Of a data card's maps of classes, and of annotators' votes, the truth has no files here.

    Args:
        case: whose truth it is.
        paths: of the prediction.
        numbers: whether palettes are read by their numbers, as maps of classes are, and not by
            their colours.
        read: reads a prediction's files, where they are read otherwise than the truth's.

    Raises:
        UserError: one cannot be read, or does not lie on the voxels of the others.
    """
    assert case.mask is not None
    own = case.labels is None and (case.joined or not case.opinions)
    masks = [case.mask, *case.opinions] if own else []
    first, names = len(masks), [*masks, *paths]
    usual = partial(read_stored, numbers=numbers)
    files = []
    for i, path in enumerate(names):
        with naming(path):
            stored_as = read if read is not None and i >= first else usual
            files.append((path, stored_as(path)))
    stored = on_one_grid(files)
    both = list(zip(names, stored, strict=True))
    return both[:first], both[first:]


def truth_of(case: Case, files: Files, rule: Rule) -> tuple[Marked, Stored]:
    """A case's truth, and its header; several masks of one image are joined.

    Raises:
        UserError: as ``Rule.look``; or they differ in size or place.
    """
    if not files:
        marked = look_at_case(case)
        return marked, Stored(marked.mask)
    paths, header = [path for path, _ in files], files[0][1]
    refuse_sizes(paths, [stored.values for _, stored in files], votes=False)
    for path, stored in files[1:]:
        if elsewhere(header, stored):
            raise UserError(
                f"{path} lies elsewhere than {paths[0]}, by their headers: the masks of one image "
                "are joined and must have one affine. Export them again, on their image's grid."
            )
    return joined(paths, [rule.look(stored, path) for path, stored in files], votes=False), header


def check_pair(
    case: Case, paths: Sequence[Path], labels: tuple[int, ...], read: Reader | None = None
) -> PairCheck:
    """Read one prediction with its truth; whatever is wrong with them is a fault."""
    assert case.mask is not None
    try:
        truth, predicted = read_pair(case, paths, bool(labels), read)
        truths = tuple(survey(path, stored, labels) for path, stored in truth) if labels else ()
        rule = Rule() if all(each.plain for each in truths) else Rule(labels)
        marked, header = truth_of(case, truth, rule)
    except Exception as error:
        return PairCheck(fault_of(case.mask, error))
    surveys = []
    for path, stored in predicted:
        try:
            surveys.append(_survey(path, stored, labels))
        except Exception as error:
            return PairCheck(fault_of(path, error))
        if fault := _misfit(case, path, stored, header):
            return PairCheck(fault)
    moved = any(elsewhere(stored, header) for _, stored in predicted)
    seen = mask_facts(case.mask, marked)
    return PairCheck("", tuple(surveys), truths, header.values.ndim, moved, seen)


def _survey(path: Path, stored: Stored, labels: tuple[int, ...]) -> Survey:
    """Look at a prediction: what is called a probability map holds no labels."""
    if labels and is_map(stem(path)):
        return replace(survey(path, stored), soft=True)
    return survey(path, stored, labels)


def _misfit(case: Case, path: Path, stored: Stored, header: Stored) -> str:
    """Why a prediction does not fit its truth, in a sentence; empty where it does."""
    got, expected = stored.values.shape, header.values.shape
    sizes = f"{path} is {size_text(got)} and its truth {case.mask} is {size_text(expected)}"
    if len(got) != len(expected) or (len(got) == 3 and got != expected):
        return f"{sizes}; volumes must have their truth's grid. Resample it first."
    if got != expected and got == expected[::-1]:
        return f"{sizes} (height x width): turned by 90 degrees? Transpose the prediction."
    if not _same_way_up(stored, header):
        return (
            f"{path} and {case.mask} have their axes in different directions, by their headers. "
            "Save the prediction with its image's affine."
        )
    return ""


def _same_way_up(one: Stored, other: Stored) -> bool:
    """Whether two headers agree where the axes point; other formats do not say."""
    if one.affine is None or other.affine is None:
        return True
    from nibabel import aff2axcodes

    return bool(aff2axcodes(one.affine) == aff2axcodes(other.affine))


def largest(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Parts (...) of a prediction as one: what marks most, float64 where the kinds differ.

    A part may be a mask and another one a probability map.
    """
    if len({each.dtype for each in maps}) == 1:
        return np.asarray(np.maximum.reduce(list(maps)))
    scaled = [each / (255 if each.dtype == np.uint8 else 1) for each in maps]
    return np.asarray(np.maximum.reduce(scaled))
