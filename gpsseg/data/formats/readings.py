"""How the files of a folder of predictions are read: as masks, as truth is, or as probability maps.

One file cannot tell: an 8-bit map that finds almost nothing holds 0 and 1 only, and so does a mask.
So all files of one type of number decide. Fractions, or more than 16 values in one file, are
probability maps, and every file keeps the scale of the folder; else each is a mask, read by the
rule of ``gpsseg.data.formats.levels``. A JPEG's values do not count, if they lie near few levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpsseg.data.formats.distinct import few_values, listed
from gpsseg.data.formats.levels import (
    NEAR,
    SMALL,
    Marked,
    by_labels,
    checked,
    grounds_of,
    is_shaded,
    levels_of,
    mark,
)
from gpsseg.data.formats.masks import foreground_of
from gpsseg.data.formats.stored import Stored
from gpsseg.errors import UserError, counted, few

FULL = (1, 255, 65535)  # what whole numbers may mean by "certainly foreground"
VOTES = 4  # levels from 0 on that may be votes; three are classes, or two votes: nobody can tell


@dataclass(frozen=True)
class Survey:
    """What one look at a file tells.

    Attributes:
        path: of the file.
        kind: name of the dtype.
        top: largest value.
        values: the distinct values; None where there are more than 16, but for maps of classes.
        levels: those that are levels; empty where there are more than 16 values, or of a JPEG.
        soft: whether it is a probability map for certain.
        plain: whether it is a mask for certain: of one bit, 0 and 255, or JPEG.
    """

    path: Path
    kind: str
    top: float
    values: tuple[float, ...] | None
    levels: tuple[float, ...] = ()
    soft: bool = False
    plain: bool = False


@dataclass(frozen=True)
class Rule:
    """How the files of one folder are read.

    Attributes:
        labels: which values are foreground, of maps of classes; empty for masks and maps.
        grounds: values that are background in the masks of two levels, and never foreground.
        scales: what "certainly foreground" is, of each dtype of probability maps.
    """

    labels: tuple[int, ...] = ()
    grounds: frozenset[float] = frozenset()
    scales: Mapping[str, int] = field(default_factory=dict)

    def look(self, stored: Stored, path: Path) -> Marked:
        """A file's foreground.

        Raises:
            UserError: as ``masks.foreground_of``.
        """
        return foreground_of(stored, path, self.labels, self.grounds)

    def read(self, stored: Stored, path: Path) -> np.ndarray:
        """A file as bool, or a probability map as float in [0, 1] or uint8 0..255; (...) as stored.

        Raises:
            UserError: as ``look``.
        """
        scale = None if self.labels else self.scales.get(stored.values.dtype.name)
        return self.look(stored, path).mask if scale is None else to_map(stored.values, scale)


def survey(path: Path, stored: Stored, labels: Sequence[int] = ()) -> Survey:
    """Look at one file.

    Args:
        path: of the file.
        stored: what it holds.
        labels: the values that are foreground, where it may be a map of classes.

    Raises:
        UserError: probabilities lie outside [0, 1], or whole numbers below 0; or of a map of
            classes: there are fractions.
    """
    values, kind = stored.values, stored.values.dtype.name
    if values.dtype == bool:
        there = few_values(values) or ()
        return Survey(path, kind, float(values.max()), there, there, plain=True)
    if labels and stored.lossy:
        return Survey(path, kind, float(values.max()), (), plain=True)
    if labels:
        held = by_labels(values, labels, path).held
        plain = _is_no_map(held, labels)
        return Survey(path, kind, float(values.max()), tuple(sorted(held)), plain=plain)
    values = checked(values, path, negative=True)
    parts = values.dtype.kind == "f" and bool((values != np.rint(values)).any())
    distinct = few_values(values)
    _refuse_range(path, values, parts, distinct)
    if stored.lossy:
        soft = is_shaded(values)
        if not soft:
            mark(values, path, lossy=True)
        return Survey(path, kind, float(values.max()), distinct, soft=soft, plain=not soft)
    soft = parts or distinct is None
    levels = () if soft else levels_of(values)
    return Survey(path, kind, float(values.max()), distinct, levels, soft)


def _is_no_map(held: frozenset[float], labels: Sequence[int]) -> bool:
    """Whether a file beside maps of classes is a mask: 0 and 255, or 0 and 1 beside greys."""
    greys = min(labels) >= SMALL
    return (held <= {0, 255} and 255 not in labels) or (held <= {0, 1} and greys)


def _refuse_range(
    path: Path, values: np.ndarray, parts: bool, there: tuple[float, ...] | None
) -> None:
    """Refuse what is neither a mask nor a map of probabilities."""
    low, top = values.min(), values.max()
    slack = NEAR if parts else 0  # what rounding leaves of 0 and 1
    most = 1 + slack if parts else FULL[-1]
    if low < -slack or (top > most and (parts or there is None or len(there) > 2)):
        expected = "probabilities in [0, 1]" if parts else "0 to 1, 0 to 255 or 0 to 65535"
        raise UserError(
            f"{path} ranges from {low:g} to {top:g}, expected {expected}. Apply the sigmoid to "
            "logits, or divide by the largest possible value."
        )


def settle_reading(place: str, surveys: Sequence[Survey]) -> tuple[Rule, list[str]]:
    """How the files of a folder are read.

    Args:
        place: option and folder, as messages name it.
        surveys: of all files.

    Returns:
        The rule, and notes.

    Raises:
        UserError: the files are maps of several classes.
    """
    scales, notes = {}, []
    for kind in sorted({each.kind for each in surveys}):
        same = [each for each in surveys if each.kind == kind]
        if any(each.soft for each in same):
            scales[kind] = _scale(place, same)
            if max(each.top for each in same) <= scales[kind] // 2:
                notes.append(
                    f"note: {place}: no value reaches half of {scales[kind]}, so all files are "
                    "empty. Do they have a scale of their own?"
                )
            ones = [each.path.name for each in same if each.values and each.top == 1]
            if ones and scales[kind] > 1:
                notes.append(
                    f"note: {place}: {counted(len(ones), 'file')} of 0 and 1 beside maps up to "
                    f"{scales[kind]}: these 1 count as next to nothing, not as foreground "
                    f"({few(ones)})."
                )
            continue
        found = sorted({value for each in same if len(each.levels) > 2 for value in each.levels})
        if not found:
            continue
        found = sorted({value for each in same for value in each.levels})
        if not _are_votes(found):
            _refuse_classes(place, found)
        scales[kind] = int(found[-1])
        notes.append(
            f"note: {place}: the levels {listed(found)} are read as probabilities from 0 to 1, "
            "not as classes."
        )
    pairs = [each.values for each in surveys if each.values and len(each.values) == 2]
    return Rule(grounds=grounds_of(pairs), scales=scales), notes


def side_of(labels: tuple[int, ...], surveys: Sequence[Survey]) -> Rule | None:
    """How a folder is read where labels were chosen.

    Returns:
        By the labels; or, where every file is a mask of one bit, of 0 and 255 or a JPEG, as masks;
        None where it is neither, as no file holds such a value.
    """
    if any(set(each.values or ()) & set(labels) for each in surveys if each.kind != "bool"):
        return Rule(labels)
    return Rule() if all(each.plain for each in surveys) else None


def only_level(surveys: Sequence[Survey]) -> int | None:
    """The higher value where all files together hold 0 and 1, or 0 and 255; None where not."""
    held = {value for each in surveys for value in each.values or ()}
    top = max(held, default=0)
    return int(top) if top in (1, 255) and held <= {0, top} else None


def to_map(values: np.ndarray, scale: int) -> np.ndarray:
    """A probability map as float in [0, 1] or uint8 0..255.

    Args:
        values: (...) as stored.
        scale: what "certainly foreground" is.
    """
    if values.dtype.kind == "f":
        return (values / scale if scale > 1 else values).clip(0, 1)
    if scale == 255:
        return values.astype(np.uint8)
    return values.astype(np.float32) / np.float32(scale)


def _scale(place: str, surveys: Sequence[Survey]) -> int:
    """What "certainly foreground" is, of probability maps of one dtype."""
    highest = max(surveys, key=lambda each: each.top)
    if highest.kind.startswith("float"):
        if highest.top > 1 + NEAR:
            raise UserError(
                f"{highest.path} reaches {highest.top:g}, and other files of {place} hold "
                "probabilities from 0 to 1. Divide it by its largest possible value."
            )
        return 1
    if highest.top <= 127 and any(each.values and each.top > 1 for each in surveys):
        raise UserError(
            f"{place}: the largest value of all files is {highest.top:g}, and some hold few "
            "values: masks of several classes, or a scale of their own? Expected masks of two "
            "levels, or probabilities from 0 to 255. Name the foreground's values, such as "
            "--labels 1, or save one class, as 0 and 255."
        )
    return next(full for full in FULL if highest.top <= full)


def _are_votes(found: Sequence[float]) -> bool:
    """Whether levels are those that several networks' votes have: 0, 85, 170 and 255."""
    even = bool(np.ptp(np.diff(found)) <= 2)
    return even and len(found) >= VOTES and found[0] == 0 and found[-1] in FULL


def _refuse_classes(place: str, found: Sequence[float]) -> None:
    """Refuse maps of classes, with what to pass instead."""
    top = f"{found[-1]:g}"
    both = " ".join(f"{value:g}" for value in found[-2:])
    raise UserError(
        f"{place}: the files hold areas of the levels {listed(found)}: masks of several classes? "
        "Expected masks of two levels, such as 0 and 255, or probability maps. Name the "
        f"foreground's values, such as --labels {top} (or --labels {both} for both), or save one "
        "class, as 0 and 255."
    )
