"""Which file goes with which image, by their names: the one rule for masks and predictions.

A name counts as the image's if it is equal with its sub-folder, else if it is equal, else (again
with its sub-folder first) if it is equal once words such as ``_mask`` or ``pred_`` are left out of
both, else if only a number after such a word is too much (``x_mask_1`` of a second lesion), else if
it ends in the number of nnU-Net's first channel (``x_0000``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gpsseg.data.formats.filenames import one_form
from gpsseg.errors import few

File = TypeVar("File")
PROBABILITY = r"prob|probs|probability|probabilities"
WORDS = (
    rf"(?:{PROBABILITY}|mask|masks|seg|segmentation|segmented|pred|predicted|prediction|"
    "predictions|output|result|label|labels|gt|truth|groundtruth)"
)
AFFIX = re.compile(rf"^{WORDS}[ _.-]+(?=.)|(?<=.)[ _.-]+{WORDS}$", re.IGNORECASE)
SOFT = re.compile(rf"^(?:{PROBABILITY})[ _.-]|[ _.-](?:{PROBABILITY})$", re.IGNORECASE)
NUMBERED = re.compile(rf"(?<=.)[ _.-]+{WORDS}(?P<number>[ _.-]*\(?(\d{{1,3}})\)?)$", re.IGNORECASE)
CHANNEL = re.compile(r"(?<=.)_(\d{4})$")
FIRST = "0000"


@dataclass(frozen=True)
class Matches(Generic[File]):
    """Which file is whose.

    Attributes:
        files: of every image that has one, by its id: several are parts of one mask.
        extra: files of no image.
        aside: masks that lie beside the probability map of their image and are not used.
        unclear: what cannot be told, in words.
    """

    files: Mapping[str, tuple[File, ...]]
    extra: tuple[File, ...]
    aside: tuple[File, ...]
    unclear: tuple[str, ...]


def bare(name: str) -> str:
    """A name without the usual words before and after it.

    >>> bare("pred_case-7_mask"), bare("mask"), bare("ISIC_0000001_segmentation")
    ('case-7', 'mask', 'ISIC_0000001')
    """
    while (shorter := AFFIX.sub("", name)) != name:
        name = shorter
    return name


def numbered(name: str) -> tuple[str, int] | None:
    """What a mask of one of several lesions is called without its number, and the number.

    >>> numbered("benign (4)_mask_1"), numbered("x_mask"), numbered("mask_1")
    (('benign (4)_mask', 1), None, None)
    """
    fit = NUMBERED.search(name)
    return (name[: fit.start("number")], int(fit[2])) if fit else None


def channel(name: str) -> tuple[str, str] | None:
    """A name of nnU-Net's without the number of its channel, and the number.

    >>> channel("case_007_0000"), channel("case_007")
    (('case_007', '0000'), None)
    """
    fit = CHANNEL.search(name)
    return (name[: fit.start()], fit[1]) if fit else None


def last_of(name: str) -> str:
    """The last part of a path with slashes."""
    return name.rpartition("/")[2]


def is_map(name: str) -> bool:
    """Whether a name without ending says that it is a probability map's, not a mask's.

    >>> is_map("a/x_probability"), is_map("x_mask")
    (True, False)
    """
    return bool(SOFT.search(last_of(name)))


def bare_below(name: str) -> str:
    """A path with slashes whose last part is without the usual words."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{bare(last)}"


def are_masks(names: Collection[str]) -> set[str]:
    """Those of the names in one folder that say that they are the mask of another of them.

    >>> sorted(are_masks(["a", "a_mask", "a_mask_1", "b_mask"]))
    ['a_mask', 'a_mask_1']
    """
    known = set(names)
    return {name for name in known if known & _belongs_to(name)}


def _belongs_to(name: str) -> set[str]:
    """What the image of a mask may be called; nothing for a name that is no mask's."""
    several = numbered(last_of(name))
    whole = name[: len(name) - len(last_of(name))] + several[0] if several else name
    return {bare_below(each) for each in (name, whole)} - {name}


def one_channel_names(names: Collection[str], masks: Collection[str]) -> dict[str, str]:
    """Images in nnU-Net's way: name -> the case's name, of those that are a case's first channel.

    Further channels have the case's name "". An image that has a mask of its own name, or whose
    case is an image itself or has no first channel, is none.

    Args:
        names: of images, with their sub-folders.
        masks: of what may be masks.
    """
    stems = {bare(last_of(name)) for name in masks}
    known, found = set(names), {}
    for name in known:
        fit = channel(name)
        if fit is None or bare(last_of(name)) in stems or fit[0] in known:
            continue
        if last_of(fit[0]) in stems and f"{fit[0]}_{FIRST}" in known:
            found[name] = fit[0] if fit[1] == FIRST else ""
    return found


def match(
    wanted: Sequence[tuple[str, Collection[str]]],
    given: Sequence[tuple[File, str]],
    masks_first: bool = False,
) -> Matches[File]:
    """Find the files of every image; see this file's heading for the rules.

    Args:
        wanted: (id, further names) of every image; an id may have slashes.
        given: (file, its path below their folder, without ending, with slashes).
        masks_first: whether a mask goes before the probability map beside it, and not after it.
    """
    ids = [name for name, _ in wanted]
    plain = (
        _index((name, name) for name in ids),
        _index((name, one) for one, names in wanted for name in (last_of(one), *names)),
        _index((bare_below(name), name) for name in ids),
        _index((bare(name), one) for one, names in wanted for name in (last_of(one), *names)),
    )
    found: dict[str, list[tuple[File, str, int | None]]] = defaultdict(list)
    extra: list[File] = []
    unclear: list[str] = []
    for file, below in given:
        fits, number = _fits(plain, below), None
        if not fits and (several := numbered(last_of(below))):
            number = several[1]
            shorter = below[: len(below) - len(last_of(below))] + several[0]
            fits = _fits(plain, shorter)
        if not fits and (fit := channel(below)) and fit[1] == FIRST:
            fits = _fits(plain, fit[0])
        if len(fits) > 1:
            unclear.append(f"{_shown(file, below)} fits {few(sorted(fits))}")
        elif fits:
            found[next(iter(fits))].append((file, below, number))
        else:
            extra.append(file)
    chosen, aside = {}, []
    for one, files in found.items():
        kept = _kept(files, masks_first)
        if not kept:
            unclear.append(f"{few(_shown(file, below) for file, below, _ in files)} all fit {one}")
            continue
        chosen[one] = kept
        aside += [file for file, _, _ in files if file not in kept]
    return Matches(chosen, tuple(extra), tuple(aside), tuple(unclear))


def _fits(plain: Sequence[Mapping[str, set[str]]], below: str) -> set[str]:
    """The ids that a name fits, by the first rule that finds one."""
    keys = (below, last_of(below), bare_below(below), bare(last_of(below)))
    return next((step[k] for step, k in zip(plain, keys, strict=True) if k in step), set())


def _kept(
    files: Sequence[tuple[File, str, int | None]], masks_first: bool = False
) -> tuple[File, ...]:
    """Of the files that fit one image: the only one, the parts, or the map (or the mask beside it).

    None where that is unclear.
    """
    if len(files) == 1:
        return (files[0][0],)
    parts = [(number, below, file) for file, below, number in files if number is not None]
    if not parts:
        soft = [file for file, below, _ in files if is_map(below)]
        hard = [file for file, below, _ in files if not is_map(below)]
        if masks_first and soft:
            return tuple(hard) if len(hard) == 1 else ()
        return tuple(soft) if len(soft) == 1 else ()
    forms = {_form(below, number is not None) for _, below, number in files}
    numbers = [number for _, _, number in files]
    if len(forms) > 1 or len(set(numbers)) < len(numbers):
        return ()
    whole = [file for file, _, number in files if number is None]
    return (*whole, *(file for _, _, file in sorted(parts, key=lambda part: part[0])))


def _form(below: str, has_number: bool) -> str:
    """A name in small letters, without its number if it has one."""
    several = numbered(last_of(below)) if has_number else None
    return (below[: len(below) - len(last_of(below))] + several[0] if several else below).lower()


def _shown(file: object, below: str) -> str:
    """What messages call a file: its path below the folder with its ending."""
    name, last = one_form(Path(str(getattr(file, "path", file))).name), last_of(below)
    return f"{below}{name[len(last) :]}" if name.startswith(last) else below


def _index(entries: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    index: dict[str, set[str]] = defaultdict(set)
    for name, one in entries:
        index[name].add(one)
    return dict(index)
