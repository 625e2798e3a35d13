"""Where a set lies on this machine, and whether it is real."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpsseg.data.cards.card import Card, is_bundled
from gpsseg.data.cards.layout import describe_part, missing_of_part
from gpsseg.data.cards.patterns import find_files
from gpsseg.data.cards.tables import FOLDS, NAMES, PARTS
from gpsseg.data.case import Case as Case
from gpsseg.data.formats.filenames import DRAWN, is_file
from gpsseg.errors import UserError, few, name_text
from gpsseg.files import bundled

SYNTHETIC = "synthetic sample"


def data_of(files: Iterable[Path]) -> str:
    """What images are: "synthetic sample" where a folder above one of them says so, or "real"."""
    files = [*files]
    homes = {file.absolute().parent for file in files}
    homes |= {home.resolve() for home in homes}
    homes |= {file.resolve().parent for file in files if file.is_symlink()}
    above = {folder for home in homes for folder in (home, *home.parents)}
    return SYNTHETIC if any(is_file(folder / DRAWN) for folder in above) else "real"


def find_root(card: Card, data_root: Path | None) -> Path:
    """Return the set's folder.

    Args:
        card: of the set.
        data_root: folder that holds the set; None takes the card's own root, or else looks into
            $GPSSEG_DATA, and where that is not set takes the bundled sample.

    Raises:
        UserError: a data root is given but the set is not in it.
    """
    data_root = data_root or card.root
    if data_root is None and os.environ.get("GPSSEG_DATA"):
        data_root = Path(os.environ["GPSSEG_DATA"]).expanduser()
    if data_root is None:
        sample = bundled("sample_data") / card.name / card.folder
        if not sample.is_dir():
            raise UserError(
                f"There is no sample of {card.name}. Pass --data-root FOLDER (or set GPSSEG_DATA), "
                f"where FOLDER holds {card.folder}/; `python -m gpsseg.datasets info {card.name}` "
                "says where to get it, and `synthesize --layout` draws one."
            )
        return sample
    looked_in = [data_root / card.folder, data_root]
    for folder in looked_in:
        if any(parts_present(folder, split) for split in card.splits):
            return folder
    layout = "; or ".join(
        ", ".join(describe_part(rule) for _, rule in part_rules(split)) for split in card.splits
    )
    places = " nor ".join(str(folder) for folder in looked_in)
    raise UserError(
        f"{card.title} is neither in {places}. Expected in {card.folder}/: {layout}. "
        + _where_from(card)
    )


def _where_from(card: Card) -> str:
    """What to do where a set is not found."""
    if card.root is not None:
        return f"Were the files moved from {card.root}? Pass --data-root with their new place."
    where = where_to_get(card) or "Correct --data-root."
    sample = bundled("sample_data") / card.name
    if not sample.is_dir():
        return where
    return f"{where.rstrip('.')}, or leave out --data-root to try the synthetic sample."


def where_to_get(card: Card) -> str:
    """How to get a set that has no direct link, a sentence; empty where its card does not say."""
    return card.get or (f"Download it from {card.homepage}." if card.homepage else "")


def part_rules(split: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The parts of a card's split, in their order, each with its rule."""
    return [(part, split[part]) for part in ("all", "train", "val", "test") if part in split]


def parts_present(root: Path, split: Mapping[str, Any]) -> bool:
    """Whether the files of all parts of a split are below a folder."""
    return not any(_missing(root, split))


def _missing(root: Path, split: Mapping[str, Any]) -> Iterator[Path]:
    """What of a split is not below a folder: lists, and patterns of which there is no image."""
    if "file" in split and not (root / split["file"]).is_file():
        yield root / split["file"]
    for _, rule in part_rules(split):
        yield from missing_of_part(root, rule)


def why_absent(card: Card, root: Path, split: Mapping[str, Any]) -> str:
    """What a split lacks, and who knows where it comes from; the end of a sentence."""
    known = f"; `python -m gpsseg.datasets info {card.name}` says where to get it"
    missing = " and no ".join(map(name_text, dict.fromkeys(_missing(root, split))))
    return f"as there is no {missing}{known if is_bundled(card) else ''}."


def passed_over(card: Card, root: Path, used: dict[str, Any]) -> tuple[str, ...]:
    """A note on each split before the used one of which some files are there, and others not.

    Of another layout of the set nothing is there, and nothing is missed.
    """
    before = card.splits[: card.splits.index(used)]
    return tuple(
        f"note: split {split['name']} is not used, {why_absent(card, root, split)}"
        for split in before
        if split["name"] != used["name"] and _is_begun(root, split)
    )


def unread_columns(
    rule: Mapping[str, Any], cases: Iterable[Case], nameless: bool
) -> tuple[str, ...]:
    """A note on each column of a table that says how to split it, where that is drawn by a seed.

    Args:
        rule: of the split.
        cases: of it.
        nameless: whether to name no column.
    """
    table = rule.get("all", {}).get("table")
    if table is None:
        return ()
    cells: dict[str, set[str]] = {}
    for case in cases:
        for column, cell in case.facts:
            cells.setdefault(column, set()).add(cell.strip().lower())
    notes = []
    for column, found in cells.items():
        which = "a column of the table" if nameless else f"the column {column}"
        if len(found) > 1 and found <= {*PARTS, *NAMES}:
            notes.append(f"note: {which} says {few(sorted(found))} and is not used; call it split")
        elif FOLDS.fullmatch(column):
            where = (
                "the lists training, validation and test" if _is_json(table) else "a column split"
            )
            notes.append(
                f"note: {which} holds folds, which are not used; say in {where} which images "
                "train, validate and test, or pass --split FILE for each fold"
            )
    return tuple(notes)


def _is_json(table: str) -> bool:
    return table.lower().endswith(".json")


def _is_begun(root: Path, split: Mapping[str, Any]) -> bool:
    """Whether some of a split's images are below a folder, whatever else it needs."""
    return any(
        "images" in rule and find_files(root, rule["images"]) for _, rule in part_rules(split)
    )
