"""What a split does not bring is carved out of it: a test part, validation images, a subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.data.splits.carve import BY_IMAGES, Carved, carve
from gpsseg.data.splits.drawn import Split
from gpsseg.errors import UserError

SMALLEST_VAL = 32


@dataclass(frozen=True)
class Wanted:
    """How many of a split's images train and validate, see ``gpsseg.data.splits.split.make_split``.

    Attributes:
        train_size: images of the training; None for all.
        val_share: of the training images, for validation.
        seed: of what is drawn.
        training: whether there have to be training and validation images.
        option: that ``train_size`` is of, for the error.
    """

    train_size: int | None
    val_share: float
    seed: int
    training: bool = True
    option: str = "--train-size"


def carve_parts(
    of: Split,
    card: Card,
    rule: Mapping[str, Any],
    parts: Mapping[str, list[Case]],
    wanted: Wanted,
) -> Split:
    """Carve out what a split does not bring, as ``gpsseg.data.splits.split.make_split``.

    Args:
        of: an empty split, which says its name, data and root.
        card: of the set.
        rule: of the split: "test_share", where there is no test part; perhaps "by_groups".
        parts: the cases of each part that there is.
        wanted: how many of what.

    Raises:
        UserError: there are too few images.
    """
    _refuse_empty(card, of, parts, wanted)
    parts, name = dict(parts), of.name
    notes = [*of.notes]
    of_groups = ""

    def take(part: str, carved: Carved) -> None:
        nonlocal name, of_groups
        parts["train"], parts[part] = carved.rest, carved.picked
        notes.extend([carved.note] if carved.note else [])
        of_groups = f" {carved.note}" if carved.note else of_groups
        if not carved.as_before:
            name = f"{of.name}{BY_IMAGES}"

    if "all" in parts:
        take("test", carve_test(parts.pop("all"), rule))
    if "train" not in parts:
        return replace(of, name=name, test=tuple(parts["test"]))
    own_val, train_size = "val" in parts, wanted.train_size
    if not own_val:
        share, by_groups = wanted.val_share, rule.get("by_groups", False)
        take("val", carve(parts["train"], share, wanted.seed, "val", by_groups))
    if train_size is not None:
        if not 1 <= train_size <= len(parts["train"]):
            raise UserError(
                f"{wanted.option} {train_size} is outside 1..{len(parts['train'])}, the training "
                f"images of {card.title} after {len(parts['val'])} are set aside for validation."
            )
        if not own_val:
            notes += _thin_validation(parts, train_size, wanted.seed)
        parts["train"] = _shuffled(parts["train"], wanted.seed)[:train_size]
    for part, cases in parts.items():
        if not cases and (part == "test" or wanted.training):
            raise UserError(
                f"{card.title} in {of.root} has no image left in the {part} part of its split "
                f"{of.name}.{of_groups}"
            )
    train, val, test = (tuple(parts[part]) for part in ("train", "val", "test"))
    return replace(of, name=name, train=train, val=val, test=test, notes=tuple(notes))


def _refuse_empty(
    card: Card, of: Split, parts: Mapping[str, Sequence[Case]], wanted: Wanted
) -> None:
    """Refuse a part that a split brings without an image, if it is needed.

    Raises:
        UserError: it brings one.
    """
    for part, cases in parts.items():
        if cases or part == "all" or not (part == "test" or wanted.training):
            continue
        fix = "Fill it in"
        if part == "val":
            fix += ", or leave it out: then --val-share of the training images validate"
        raise UserError(
            f"{card.title} in {of.root} has no image in the {part} part of its split {of.name}. "
            f"Its list {part} is empty. {fix}."
        )


def carve_test(cases: Sequence[Case], rule: Mapping[str, Any]) -> Carved:
    """The test part of a split that brings none: by a fixed seed, the same for all runs."""
    return carve(cases, rule["test_share"], 0, "test", rule.get("by_groups", False))


def _thin_validation(parts: dict[str, list[Case]], train_size: int, seed: int) -> list[str]:
    """Keep as large a share of the validation cases as of the training cases; a note if so."""
    val = parts["val"]
    in_proportion = round(len(val) * train_size / len(parts["train"]))
    parts["val"] = kept = _shuffled(val, seed)[: max(SMALLEST_VAL, in_proportion)]
    if len(kept) == len(val):
        return []
    return [
        f"--train-size {train_size} takes {len(kept)} of {len(val)} validation images too: as "
        f"large a share, but not below {SMALLEST_VAL}."
    ]


def _shuffled(cases: Sequence[Case], seed: int) -> list[Case]:
    order = np.random.default_rng(seed).permutation(len(cases))
    return [cases[i] for i in order]
