"""A split that was drawn: which cases are in which part, and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.data.case import Case


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, as it cannot be used: its id, the part it is of, and why."""

    id: str
    part: str
    why: str


@dataclass(frozen=True)
class Split:
    """Which cases train, validate and test.

    Attributes:
        name: of the rule, as in the data card.
        data: "real" or "synthetic sample".
        root: the set's folder.
        train, val, test: disjoint, each in a fixed order.
        notes: which splits were passed over, and which parts have not the share asked for, and
            why; a sentence each.
        skipped: which images are in no part any more.
        listed: the ids of each part with these, where there are any.
    """

    name: str
    data: str
    root: Path
    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    listed: Mapping[str, list[str]] | None = None

    def without(self, skipped: Sequence[Skipped]) -> Split:
        """The split without some images; its ids and its hash stay those that were drawn."""
        gone = {(each.part, each.id) for each in skipped}
        train, val, test = (
            tuple(case for case in getattr(self, part) if (part, case.id) not in gone)
            for part in ("train", "val", "test")
        )
        told = (*self.skipped, *skipped)
        return dataclasses.replace(
            self, train=train, val=val, test=test, listed=self.ids, skipped=told
        )

    @property
    def seen(self) -> tuple[Case, ...]:
        """What a training sees: the cases that train, and those that validate."""
        return (*self.train, *self.val)

    @property
    def ids(self) -> dict[str, list[str]]:
        """The ids of each part, as the split was drawn: also of images that were skipped."""
        if self.listed is not None:
            return dict(self.listed)
        return {part: [c.id for c in getattr(self, part)] for part in ("train", "val", "test")}

    @property
    def sha256(self) -> str:
        """SHA-256 over the ids of each part: equal means the same split."""
        return hash_of_ids(self.ids)


def hash_of_ids(ids: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 over the ids of each part."""
    return hashlib.sha256(json.dumps(ids, sort_keys=True).encode()).hexdigest()
