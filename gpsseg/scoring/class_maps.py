"""How a folder of predictions tells a data set's classes apart: by which values, colours, channels.

A `predict.json` beside the masks, or the names of a DICOM-SEG's segments, say so; else the values
are those of the data card, or 1, 2, ... in its order, if all files together hold two or more of
them and no other. Masks of two levels and single probability maps tell nothing apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from gpsseg.config.written import PredictedFile
from gpsseg.console import say
from gpsseg.data.case import Case
from gpsseg.data.formats.channels import is_channels, read_channels
from gpsseg.data.formats.distinct import few_values, listed
from gpsseg.data.formats.filenames import PREDICTED
from gpsseg.data.formats.levels import SMALL
from gpsseg.data.formats.maps import stem
from gpsseg.data.formats.masks import Labels, holds_colours, read_labels
from gpsseg.data.formats.matching import is_map
from gpsseg.data.formats.stored import Stored, read_stored
from gpsseg.data.pairs import Pairs
from gpsseg.errors import UserError, few
from gpsseg.evaluators import label_map
from gpsseg.reading import read_object
from gpsseg.scoring.pair_checks import Reader


@dataclass(frozen=True)
class ClassMaps:
    """How they do.

    Attributes:
        names: of all classes that are scored, in the order of the truth's numbers.
        values: which stands for each in what ``read`` gives; None of a class that is not told.
        read: reads a file.
    """

    names: tuple[str, ...]
    values: tuple[int | None, ...]
    read: Reader

    @property
    def told(self) -> dict[int, int]:
        """The truth's number of each class that is told -> the value that stands for it."""
        return {n: value for n, value in enumerate(self.values, start=1) if value is not None}


@dataclass(frozen=True)
class MapContents:
    """What one file holds.

    Attributes:
        path: of the file.
        kind: "values", "colours" or "channels"; "" where it tells no classes apart.
        values: that are there.
        segments: names of a DICOM-SEG's; empty of any other file.
    """

    path: Path
    kind: str = ""
    values: frozenset[int] = frozenset()
    segments: tuple[str, ...] = ()


def own_labels(folder: Path) -> dict[str, int]:
    """Class -> number, as ``predict`` left it beside its masks; empty where there is no such file.

    Raises:
        UserError: the file is damaged, or two classes have one number.
    """
    path = folder / PREDICTED
    if not path.is_file():
        return {}
    found: dict[str, int] = dict(read_object(path, PredictedFile).get("labels", {}))
    if len(set(found.values())) < len(found) or any(number < 1 for number in found.values()):
        raise UserError(
            f"{path}: labels is {found}, expected a number from 1 on for each class, none twice. "
            "Put back the file as gpsseg wrote it."
        )
    return found


def find_classes(
    folder: Path, cases: Sequence[Case], pairs: Pairs, names: Sequence[str], option: str
) -> ClassMaps | None:
    """How a folder's files tell the classes apart, which is said; None if they do not.

    Args:
        folder: of the predictions.
        cases: the truth.
        pairs: which file is whose.
        names: of the classes that are scored, in the order of the cases' labels.
        option: what messages call the folder.

    Raises:
        UserError: the files hold values that are no class's, or name other classes.
    """
    labels = cases[0].labels if cases else None
    if labels is None or len(names) < 2:
        return None
    place = f"{option} {folder}"
    if own := own_labels(folder):
        return _named(place, own, names)
    paths = [path for case in cases for path in pairs.all_of(case)]
    with ThreadPoolExecutor() as pool:
        looks = list(pool.map(partial(_look, labels=labels, classes=1 + len(names)), paths))
    kinds = {look.kind for look in looks}
    if kinds == {"channels"}:
        say(f"note: {place}: {1 + len(names)} channels, the background first, then {_list(names)}.")
        numbers = tuple(range(1, 1 + len(names)))
        return ClassMaps(tuple(names), numbers, partial(_of_channels, classes=1 + len(names)))
    if "colours" in kinds and kinds <= {"colours", "plain"}:
        say(f"note: {place}: read by the data card's colours of {_list(names)}.")
        numbers = tuple(range(1, 1 + len(names)))
        return ClassMaps(tuple(names), numbers, partial(_of_colours, labels=labels))
    if not kinds <= {"values", "plain"}:
        return None
    if any(name in names for look in looks for name in look.segments):
        return _by_segments(place, looks, names)
    return _by_values(place, looks, labels, names)


def _named(place: str, own: Mapping[str, int], names: Sequence[str]) -> ClassMaps:
    """The classes that are scored, by the numbers that were named for them."""
    if foreign := [name for name in own if name not in names]:
        raise UserError(
            f"{place}: by {PREDICTED} it tells apart {few(own, 10)}, and "
            f"{'is' if len(foreign) == 1 else 'are'} {few(foreign, 10)} no class that is scored: "
            f"{few(names, 10)}. Name the values of these by --labels, in their order."
        )
    there = _list(f"{own[name]} is {name}" for name in names if name in own)
    say(f"note: {place}: by {PREDICTED}, {there}.{_lacking(own, names)}")
    return ClassMaps(tuple(names), tuple(own.get(name) for name in names), read_numbers)


def _by_segments(place: str, looks: Sequence[MapContents], names: Sequence[str]) -> ClassMaps:
    """The classes by the names of segments, which are each file's own, as are their numbers.

    Raises:
        UserError: files of another kind, which name nothing, are among them.
    """
    if nameless := [
        look.path.name for look in looks if look.kind == "values" and not look.segments
    ]:
        raise UserError(
            f"{place}: the segments of some files are called as classes are, and "
            f"{few(nameless)} cannot say what its values are, expected one kind of file. Save all "
            "as DICOM-SEG, or put them into folders of their own."
        )
    held = dict.fromkeys(name for look in looks for name in look.segments)
    there = _list(name for name in names if name in held)
    say(f"note: {place}: by its segments' names: {there}.{_lacking(held, names)}")
    if foreign := [name for name in held if name not in names]:
        say(
            f"note: {place}: the segments {few(foreign, 10)} are no class that is scored, and "
            "count as background.",
            style="yellow",
        )
    numbers = {name: number for number, name in enumerate(names, start=1)}
    return ClassMaps(tuple(names), tuple(numbers.values()), partial(_of_segments, numbers=numbers))


def _lacking(told: Collection[str], names: Sequence[str]) -> str:
    """What to say of classes that are scored and that no file can hold; empty where none is."""
    lacking = [name for name in names if name not in told]
    return f" It has no {few(lacking, 10)}, which counts as not found." if lacking else ""


def _by_values(
    place: str, looks: Sequence[MapContents], labels: Labels, names: Sequence[str]
) -> ClassMaps | None:
    """The classes by the values that all files hold together."""
    held = {value for look in looks for value in look.values} - {0}
    if len(held) < 2:
        return None
    chosen = [labels.classes[index] for index in labels.chosen]
    card = tuple(value[0] for value in chosen if len(value) == 1)
    every = {value for each in labels.classes for value in each if len(each) == 1}
    numbers = tuple(range(1, 1 + len(names)))
    if len(card) == len(names) and held <= every:
        values, source = card, "the data card's values"
    elif held <= set(numbers):
        values, source = numbers, "numbers in the data card's order"
    elif max(held) >= SMALL and len(held & {*(card or numbers), *numbers}) < 2:
        return None  # greys, which may be votes
    else:
        known = [f"{v} {name}" for v, name in zip(card or numbers, names, strict=True)]
        foreign = sorted(held - every - set(numbers)) or sorted(held - {*(card or numbers)})
        raise UserError(
            f"{place}: the files hold {listed(foreign)}, no class of the data card, whose values "
            f"are {_list(known)}. Name the values of these classes by --labels, in their order; "
            "all others are background then."
        )
    told = _list(f"{v} is {name}" for v, name in zip(values, names, strict=True))
    say(f"note: {place}: label maps, by {source}: {told}. Each class is scored by itself, too.")
    return ClassMaps(tuple(names), values, read_numbers)


def read_numbers(path: Path) -> Stored:
    """A file as stored, a palette by its numbers."""
    return read_stored(path, numbers=True)


def _look(path: Path, labels: Labels, classes: int) -> MapContents:
    """Look at one file; what cannot be read tells nothing, and is refused where all are checked."""
    if is_map(stem(path)) and not is_channels(path):
        return MapContents(path)
    try:
        if is_channels(path):
            return MapContents(path, "channels")
        if holds_colours(path, labels):
            return MapContents(path, "colours")
        stored = read_numbers(path)
    except UserError:
        return MapContents(path)
    found = None if stored.lossy else few_values(stored.values)
    if found is None or any(value != int(value) for value in found):
        return MapContents(path)
    segments = tuple(stored.part.names.values()) if stored.part is not None else ()
    values = frozenset(int(value) for value in found)
    return MapContents(path, "plain" if values <= {0} else "values", values, segments)


def _of_colours(path: Path, labels: Labels) -> Stored:
    return Stored(read_labels(path, labels))


def _of_segments(path: Path, numbers: Mapping[str, int]) -> Stored:
    """A DICOM-SEG by the classes' numbers, whatever its segments' are; others as stored."""
    stored = read_numbers(path)
    if stored.part is None:
        return stored

    def numbered(values: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
        found = np.zeros(values.shape, np.uint16)
        for own, name in names.items():
            found[values == own] = numbers.get(name, 0)
        return found

    names = stored.part.names
    part = replace(stored.part, values=numbered(stored.part.values, names))
    return replace(stored, values=numbered(stored.values, names), part=part)


def _of_channels(path: Path, classes: int) -> Stored:
    return Stored(label_map(read_channels(path, classes)))


def _list(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))
