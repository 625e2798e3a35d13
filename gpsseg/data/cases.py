"""Data card and folder -> cases, split into train, val and test."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.cards import Card
from gpsseg.errors import UserError
from gpsseg.files import bundled

SYNTHETIC = "synthetic sample"
SMALLEST_VAL = 32


@dataclass(frozen=True)
class Case:
    """One image with its mask.

    Attributes:
        id: unique within the set; the image's name without extension.
        image: path of the image.
        mask: path of its mask; None where there is no truth.
        group: cases of one group (a patient, a sequence) belong on one side of a split.
    """

    id: str
    image: Path
    mask: Path | None = None
    group: str | None = None


@dataclass(frozen=True)
class Split:
    """Which cases train, validate and test.

    Attributes:
        name: of the rule, as in the data card.
        data: "real" or "synthetic sample".
        root: the set's folder.
        train, val, test: disjoint, each in a fixed order.
    """

    name: str
    data: str
    root: Path
    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]

    @property
    def ids(self) -> dict[str, list[str]]:
        """The ids of each part."""
        return {part: [c.id for c in getattr(self, part)] for part in ("train", "val", "test")}

    @property
    def sha256(self) -> str:
        """SHA-256 over the ids of each part: equal means the same split."""
        return hashlib.sha256(json.dumps(self.ids, sort_keys=True).encode()).hexdigest()


def find_root(card: Card, data_root: Path | None) -> tuple[Path, str]:
    """Return the set's folder and "real" or "synthetic sample".

    Args:
        card: of the set.
        data_root: folder that holds the set; None looks into $GPSSEG_DATA, and where that is not
            set takes the bundled sample.

    Raises:
        UserError: a data root is given but the set is not in it.
    """
    if data_root is None and os.environ.get("GPSSEG_DATA"):
        data_root = Path(os.environ["GPSSEG_DATA"])
    if data_root is None:
        sample = bundled("sample_data") / card.name / card.folder
        if not sample.is_dir():
            raise UserError(
                f"There is no sample of {card.name}. Pass --data-root FOLDER (or set GPSSEG_DATA), "
                f"where FOLDER holds {card.folder}/."
            )
        return sample, SYNTHETIC
    looked_in = [data_root / card.folder, data_root]
    for folder in looked_in:
        if any(_parts_present(folder, split) for split in card.splits):
            return folder, SYNTHETIC if (folder / "SYNTHETIC.txt").exists() else "real"
    layout = "; or ".join(
        ", ".join(f"{rule['images']} with {rule['masks']}" for _, rule in _rules(split))
        for split in card.splits
    )
    places = " nor ".join(str(folder) for folder in looked_in)
    raise UserError(
        f"{card.title} is neither in {places}. Expected in {card.folder}/: {layout}. "
        f"Download it from {card.homepage}, or leave out --data-root to try the synthetic sample."
    )


def make_split(
    card: Card,
    data_root: Path | None,
    train_size: int | None = None,
    val_share: float = 0.15,
    seed: int = 0,
) -> Split:
    """Find a set's cases and split them: the official split where there is one.

    A set without an official test split has one carved out by a fixed seed, so that all runs are
    tested on the same images. Validation cases are carved out of *train* by ``seed``, unless the
    split brings its own. ``train_size`` then takes a seeded subset of what is left, and of
    carved-out validation cases as large a share, but at least 32 where there are as many: fewer
    cannot tell a good epoch from a lucky one.

    Raises:
        UserError: the set is not there, an image has no mask or is in two parts, or there are too
            few images.
    """
    root, data = find_root(card, data_root)
    rule = next(split for split in card.splits if _parts_present(root, split))
    parts = {part: _cases(root, part_rule) for part, part_rule in _rules(rule)}
    _refuse_overlap(parts, root)
    if "all" in parts:
        parts["train"], parts["test"] = _carve(parts.pop("all"), rule["test_share"], 0)
    own_val = "val" in parts
    if not own_val:
        parts["train"], parts["val"] = _carve(parts["train"], val_share, seed)
    if train_size is not None:
        if not 1 <= train_size <= len(parts["train"]):
            raise UserError(
                f"--train-size {train_size} is outside 1..{len(parts['train'])}, the training "
                f"images of {card.title} after {len(parts['val'])} are set aside for validation."
            )
        if not own_val:
            in_proportion = round(len(parts["val"]) * train_size / len(parts["train"]))
            parts["val"] = _shuffled(parts["val"], seed)[: max(SMALLEST_VAL, in_proportion)]
        parts["train"] = _shuffled(parts["train"], seed)[:train_size]
    for part, cases in parts.items():
        if not cases:
            raise UserError(f"{card.title} in {root} has no image in its {part} part.")
    return Split(rule["name"], data, root, *(tuple(parts[p]) for p in ("train", "val", "test")))


def _rules(split: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    return [(part, split[part]) for part in ("all", "train", "val", "test") if part in split]


def _parts_present(root: Path, split: dict[str, Any]) -> bool:
    for _, rule in _rules(split):
        if "ids" in rule and not (root / rule["ids"]).is_file():
            return False
        if not any(root.glob(rule["images"])):
            return False
    return True


def _cases(root: Path, rule: dict[str, str]) -> list[Case]:
    """Pair images with masks, sorted by id or in the order of the id list."""
    images: dict[str, Path] = {}
    for path in sorted(root.glob(rule["images"])):
        if path.name.startswith("."):  # what file managers leave behind
            continue
        if path.stem in images:
            raise UserError(
                f"{images[path.stem]} and {path.name} are two images of one name, {path.stem}. "
                "Rename or remove one of them."
            )
        images[path.stem] = path
    if "ids" in rule:
        ids = (root / rule["ids"]).read_text(encoding="utf-8-sig").split("\n")
        ids = [line.strip() for line in ids if line.strip()]
        missing = [name for name in ids if name not in images]
        if missing:
            raise UserError(
                f"{root / rule['ids']} lists {missing[0]} (and {len(missing) - 1} more) without an "
                f"image {rule['images']}. Unpack the set again, or correct the list."
            )
        images = {name: images[name] for name in ids}
    cases = [Case(n, path, root / rule["masks"].replace("{id}", n)) for n, path in images.items()]
    unmasked = [case for case in cases if case.mask is not None and not case.mask.is_file()]
    if unmasked:
        raise UserError(
            f"{unmasked[0].image} has no mask: expected {unmasked[0].mask} (and "
            f"{len(unmasked) - 1} more images lack theirs). Add the mask, or remove the image."
        )
    return cases


def _refuse_overlap(parts: Mapping[str, Sequence[Case]], root: Path) -> None:
    for (one, its), (other, others) in combinations(parts.items(), 2):
        both = sorted({case.id for case in its} & {case.id for case in others})
        if both:
            raise UserError(
                f"{both[0]} (and {len(both) - 1} more) in {root} is in the {one} part and in the "
                f"{other} part; an image belongs to one part only. Correct the lists or folders."
            )


def _shuffled(cases: Sequence[Case], seed: int) -> list[Case]:
    order = np.random.default_rng(seed).permutation(len(cases))
    return [cases[i] for i in order]


def _carve(cases: Sequence[Case], share: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Split off ``share`` of the cases by seed (at least 1, whole groups); order is kept."""
    groups = sorted({case.group or case.id for case in cases})
    count = max(1, round(share * len(groups)))
    picked = set(np.random.default_rng(seed).permutation(groups)[:count])
    rest = [case for case in cases if (case.group or case.id) not in picked]
    return rest, [case for case in cases if (case.group or case.id) in picked]
