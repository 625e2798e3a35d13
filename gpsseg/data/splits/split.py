"""Data card and folder -> cases, split into train, val and test."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from gpsseg.data.cards.card import Card, is_bundled
from gpsseg.data.cards.groups import with_groups
from gpsseg.data.cards.layout import (
    files_of,
    mask_files,
    other_files,
    part_cases,
)
from gpsseg.data.cards.nnunet import further_channels
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.case import Case as Case
from gpsseg.data.formats.maps import without_beside
from gpsseg.data.formats.matching import channel
from gpsseg.data.nameless import hide_cases
from gpsseg.data.splits.besides import left_note
from gpsseg.data.splits.carve import BY_GROUPS, BY_IMAGES
from gpsseg.data.splits.drawn import Split as Split
from gpsseg.data.splits.files import NotInSetError, is_split_file, read_split
from gpsseg.data.splits.parts import Wanted, carve_parts
from gpsseg.data.splits.place import (
    SYNTHETIC,
    data_of,
    find_root,
    part_rules,
    parts_present,
    passed_over,
    unread_columns,
    why_absent,
)
from gpsseg.errors import UserError, few, look_up
from gpsseg.faults import is_there
from gpsseg.scope import is_drawn


def make_split(
    card: Card,
    data_root: Path | None,
    train_size: int | None = None,
    val_share: float = 0.15,
    seed: int = 0,
    split: str | None = None,
    salt: str | None = None,
    training: bool = True,
) -> Split:
    """Find a set's cases and split them: the official split where there is one.

    A set without an official test split has one carved out by a fixed seed, so that all runs are
    tested on the same images. Validation cases are carved out of *train* by ``seed``, unless the
    split brings its own. ``train_size`` then takes a seeded subset of what is left, and of
    carved-out validation cases as large a share, but at least 32 where there are as many: fewer
    cannot tell a good epoch from a lucky one. ``split`` names one of the card's splits, or a file
    of ids such as ``datasets split`` writes, which may be hashed with ``salt``. Of a split that is
    a test set only, train and val are empty, and without ``training`` they may be. Cases of one
    group stay on one side of whatever is carved.

    Shares are of images. Version 0.1 took them of groups; where its choice is as near, it is kept,
    and where it is not, the split's name ends in "-by-images". NAME-by-groups asks for the old
    choice, and so does the plain name of a split that was published so ("share_of: groups").

    Raises:
        UserError: the set or the split is not there, an image has no mask or is in two parts, or
            there are too few images.
    """
    of, rule, parts = uncarved(card, data_root, split, salt)
    return carve_parts(of, card, rule, parts, Wanted(train_size, val_share, seed, training))


def uncarved(
    card: Card, data_root: Path | None, split: str | None, salt: str | None = None
) -> tuple[Split, dict[str, Any], dict[str, list[Case]]]:
    """All cases of a split as it comes, with nothing carved out.

    Returns:
        An empty split with the name, data and root of it, and notes on those passed over, on images
        that a file leaves out and on columns that nobody reads; its rule; and the cases of each
        part: "all", or "test" and perhaps "train" and "val".

    Raises:
        UserError: as ``make_split``.
    """
    root = find_root(card, data_root)
    present = [rule for rule in card.splits if parts_present(root, rule)]
    rule, parts, left = _parts(card, root, present, split, salt)
    data = data_of(case.image for cases in parts.values() for case in cases)
    told = split is None and data != SYNTHETIC
    notes = passed_over(card, root, present[0]) if told else ()
    nameless = salt is not None or is_drawn()
    notes += (left,) if left else unread_columns(rule, parts.get("all", ()), nameless)
    return Split(rule["name"], data, root, (), (), (), notes), rule, parts


def brings_validation(
    card: Card, data_root: Path | None, split: str | None, salt: str | None = None
) -> str | None:
    """The name of the split to use if it has validation images of its own; else None.

    Raises:
        UserError: as ``make_split``.
    """
    _, rule, parts = uncarved(card, data_root, split, salt)
    return str(rule["name"]) if parts.get("val") else None


def named_parts(card: Card, data_root: Path | None, name: str) -> tuple[str, dict[str, list[Case]]]:
    """All cases of each part of a set's split, as it comes, with nothing carved out or left out.

    Returns:
        "real" or "synthetic sample", and the cases.

    Raises:
        UserError: as ``make_split``; or it is a test set only.
    """
    of, rule, parts = uncarved(card, data_root, name)
    if not {"train", "test"} <= set(parts):
        raise UserError(
            f"Split {rule['name']} of {card.title} has no training part beside a test part, so "
            "nothing can leak. Name another split."
        )
    return of.data, parts


@dataclass(frozen=True)
class Found:
    """All that is there of a set, sound or not.

    Attributes:
        data: "real" or "synthetic sample".
        root: the set's folder.
        parts: the cases of each part of the set's first split; images without mask have None.
        lone_masks: masks of no image.
        others: files beside the images and masks of a set of one's own that are neither.
        tables: that list the cases.
    """

    data: str
    root: Path
    parts: Mapping[str, Sequence[Case]]
    lone_masks: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    tables: tuple[Path, ...] = ()

    @property
    def cases(self) -> list[Case]:
        """The cases of all parts."""
        return [case for part in self.parts.values() for case in part]


def find_cases(card: Card, data_root: Path | None, require_masks: bool = True) -> Found:
    """Find all images and masks of a set, by the first of its splits whose files are there.

    Raises:
        UserError: as ``make_split``; images without mask are an error with ``require_masks`` only.
    """
    root = find_root(card, data_root)
    rule = next(rule for rule in card.splits if parts_present(root, rule))
    parts = {part: _read_part(card, root, how, require_masks) for part, how in part_rules(rule)}
    _refuse_overlap(parts, root)
    used = {path for cases in parts.values() for case in cases for path in files_of(case)}
    masks = {path for _, how in part_rules(rule) for path in mask_files(root, how)}
    others: set[Path] = set()
    if not is_bundled(card):
        for part, how in part_rules(rule):
            others |= other_files(root, how, parts[part])
    channels = channels_of(others, [case for cases in parts.values() for case in cases])
    kept = {*without_beside({*masks, *used, *others})}
    lone, rest = (masks - used - channels) & kept, (others - used - (masks - channels)) & kept
    tables = sorted({root / how["table"] for _, how in part_rules(rule) if "table" in how})
    data = data_of(case.image for cases in parts.values() for case in cases)
    return Found(data, root, parts, tuple(sorted(lone)), tuple(sorted(rest)), tuple(tables))


def channels_of(others: Collection[Path], cases: Sequence[Case]) -> set[Path]:
    """nnU-Net's further channels of images: x_0001 beside x_0000, where the case is called x."""
    firsts = [case.image for case in cases if not channel(case.id)]
    return set(others) & further_channels(firsts)


def cases_of_splits(card: Card, root: Path, first: str) -> Iterator[list[Case]]:
    """All cases of each split whose files are there, those of the split called ``first`` first.

    Raises:
        UserError: as ``make_split``.
    """
    name = first.removesuffix(BY_IMAGES)
    present = [rule for rule in card.splits if parts_present(root, rule)]
    for rule in sorted(present, key=lambda rule: rule["name"] != name):
        yield [case for _, how in part_rules(rule) for case in _read_part(card, root, how)]


def _parts(
    card: Card, root: Path, present: Sequence[dict[str, Any]], split: str | None, salt: str | None
) -> tuple[dict[str, Any], dict[str, list[Case]], str]:
    """Choose a split and read its cases; of a split by a file, those that the file names.

    ``present`` are the card's splits whose files are all there. Last comes a note on images that
    the file leaves out, which may be empty.
    """
    rule, by_groups = present[0], False
    if split is not None and not is_split_file(split):
        rule, by_groups = _named((*card.splits[::-1], *present[::-1]), split)
        if rule not in present:
            why = why_absent(card, root, rule)
            raise UserError(f"Split {split} of {card.title} cannot be used, {why}")
    parts = {part: _read_part(card, root, part_rule) for part, part_rule in part_rules(rule)}
    _refuse_overlap(parts, root)
    if split is not None and is_split_file(split):
        return _of_file(Path(split), parts, card, root, salt)
    if "file" in rule:
        cases = [case for its in parts.values() for case in its]
        rule, parts, left = _sorted_by(root / rule["file"], cases, salt)
        return {**rule, "by_groups": by_groups}, parts, left
    return {**rule, "by_groups": by_groups}, parts, ""


def _of_file(
    file: Path, parts: Mapping[str, list[Case]], card: Card, root: Path, salt: str | None
) -> tuple[dict[str, Any], dict[str, list[Case]], str]:
    """What a file of ids names: cases of the set's first split, or of another that has them all."""
    try:
        return _sorted_by(file, [case for its in parts.values() for case in its], salt)
    except NotInSetError:
        for cases in cases_of_splits(card, root, ""):
            with contextlib.suppress(NotInSetError):
                return _sorted_by(file, cases, salt)
        raise


def _sorted_by(
    file: Path, cases: Sequence[Case], salt: str | None
) -> tuple[dict[str, Any], dict[str, list[Case]], str]:
    """The rule and the parts that a file of ids makes of cases, and a note on those left out."""
    name, parts = read_split(file, cases, salt)
    return {"name": name}, parts, left_note(file, parts, cases, salt is not None or is_drawn())


def _named(rules: Sequence[dict[str, Any]], split: str) -> tuple[dict[str, Any], bool]:
    """The split of a name, and whether its shares are of groups, as the name or the card says."""
    named = {rule["name"]: rule for rule in rules}
    for ending in (BY_IMAGES, BY_GROUPS):
        if split not in named and split.removesuffix(ending) in named:
            return named[split.removesuffix(ending)], ending == BY_GROUPS
    if split not in named and is_there(Path(split)):
        raise UserError(
            f"--split {split} is a file or folder, expected the name of a split "
            f"({few(named, 9)}) or a .json file with the lists train and test, as "
            "`python -m gpsseg.datasets split` writes."
        )
    rule = look_up(split, named, "split")
    return rule, rule.get("share_of") == "groups"


def _read_part(
    card: Card, root: Path, rule: Mapping[str, Any], require_masks: bool = True
) -> list[Case]:
    """The cases of one part of a split, with their groups and classes."""
    if "table" in rule:
        cases = table_cases(root / rule["table"]).get(rule.get("part", "all"), [])
    else:
        cases = part_cases(root, rule, require_masks)
    cases = with_groups(cases, card.group, root)
    hide_cases(cases, root)
    labels = card.labels
    return cases if labels is None else [replace(case, labels=labels) for case in cases]


def _refuse_overlap(parts: Mapping[str, Sequence[Case]], root: Path) -> None:
    for (one, its), (other, others) in combinations(parts.items(), 2):
        both = sorted({case.id for case in its} & {case.id for case in others})
        if both:
            raise UserError(
                f"{few(both, 1)} in {root} is in the {one} part and in the "
                f"{other} part; an image belongs to one part only. Correct the lists or folders."
            )
