"""Tables of one's own cases: CSV, Parquet, and the dataset.json of MONAI and of MSD."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpsseg.data.cards.nnunet import is_nnunet, label_notes, nnunet_notes, nnunet_rows
from gpsseg.data.cards.rows import Row, in_order, placed_rows, require
from gpsseg.data.case import Case, grouped
from gpsseg.data.formats.filenames import as_named, is_file, one_form
from gpsseg.data.formats.matching import FIRST
from gpsseg.data.pairs import parts_of
from gpsseg.errors import UserError, counted, few, name_text, shown
from gpsseg.faults import no_file
from gpsseg.reading import read_json
from gpsseg.veil import plain

PARTS = ("train", "val", "test")
NAMES = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
FOLDS = re.compile(r"(k|cv)?[ _-]*folds?([ _-]*(id|no|nr|number))?", re.IGNORECASE)
WHO = re.compile(  # a column that may name patients, in capitals or not
    r"(groups?|patients?|pat|subjects?|subj|cases?|persons?|participants?|individuals?|videos?"
    r"|sequences?)([ _-]*(ids?|no|nr|num|number|names?|code))?|pid|mrn",
    re.IGNORECASE,
)
COLUMNS = ("image", "mask", "group", "split", "id")


def table_cases(path: Path) -> dict[str, list[Case]]:
    """Read the cases of a table, by part: "train", "val", "test", or "all" where none is named.

    Columns are image and mask, and perhaps group, split and id, in capitals or not. Paths are
    relative to the table's folder; backslashes, as Windows writes them, will do. In a dataset.json
    the lists training, validation and test (or testing) hold {"image": ..., "label": ...}; test
    entries without label are left out.

    Raises:
        UserError: a file is not there, a name or a column is used twice, a split is unknown, or
            only some rows name theirs; the text names the row.
    """
    if not path.is_file():
        raise UserError(f"--table {path} {no_file(path)}. Pass a CSV, a Parquet or a dataset.json.")
    if path.suffix.lower() == ".json":
        placed = in_order(_json(path))
    else:
        placed = placed_rows(path)
        _refuse_two_of(placed[0][1] if placed else (), path)
        placed = [(place, _with_known_names(row)) for place, row in placed]
        require([row for _, row in placed], COLUMNS[:2], path)
    rows = [_with_slashes(row, path.parent) for _, row in placed]
    if not rows:
        raise UserError(f"{path} holds no case; expected a row for each image, with its mask.")
    names = _ids(rows)
    parts: dict[str, list[Case]] = {}
    seen: dict[str, str] = {}
    for (place, _), name, row in zip(placed, names, rows, strict=True):
        if name in seen:
            raise UserError(
                f"{path}: {seen[name]} and {place} are both called {name_text(name)}. Leave "
                "one out, or give each a name of its own in a column id."
            )
        seen[name] = place
        part = _part(path, place, row.get("split", ""))
        image, mask = (_file(path, place, row.get(column, ""), column) for column in COLUMNS[:2])
        case = Case(name, image, mask, facts=facts_of(row, COLUMNS))
        parts.setdefault(part, []).append(grouped(case, row.get("group", "")))
    if "all" in parts and len(parts) > 1:
        raise UserError(
            f"{path}: {counted(len(parts['all']), 'row names', 'rows name')} no split while others "
            "do. Fill in train, val or test in every row, or in none."
        )
    return _with_parts(parts)


def _refuse_two_of(names: Iterable[str], path: Path) -> None:
    """Refuse two columns that would be read as one, as group beside Group."""
    for known in COLUMNS:
        alike = [name for name in names if name.lower() == known]
        if len(alike) > 1:
            raise UserError(
                f"{path} names the column {known} twice, as {few(alike)}. Leave one out, or call "
                "it otherwise."
            )


def _with_known_names(row: Row) -> Row:
    """A row whose own columns are called as here, in small letters."""
    return {known if (known := name.lower()) in COLUMNS else name: row[name] for name in row}


def facts_of(row: Row, known: Container[str]) -> tuple[tuple[str, str], ...]:
    """The cells of a row's other columns, by their names."""
    return tuple((name, cell) for name, cell in row.items() if name and name not in known)


def table_notes(
    path: Path, cases: Sequence[Case], nameless: bool = False, of_labels: bool = True
) -> list[str]:
    """A line each on what a dataset.json says, or has beside it, that its cases do not use.

    Args:
        path: of the table.
        cases: of it.
        nameless: whether to name no file.
        of_labels: whether its labels matter, too.
    """
    if path.suffix.lower() != ".json":
        return []
    content, images = read_json(path), [case.image for case in cases]
    notes = nnunet_notes(path, content, images, nameless)
    return [*notes, *label_notes(content)] if of_labels else notes


def _with_parts(parts: Mapping[str, Sequence[Case]]) -> dict[str, list[Case]]:
    """The cases with masks of further lesions that lie beside theirs, unless they are listed."""
    listed = {case.mask for cases in parts.values() for case in cases}

    def complete(case: Case) -> Case:
        assert case.mask is not None
        more = tuple(path for path in parts_of(case.mask) if path not in listed)
        return replace(case, opinions=more, joined=True) if more else case

    return {part: [complete(case) for case in cases] for part, cases in parts.items()}


def _with_slashes(row: Row, folder: Path) -> Row:
    """The row with Windows' backslashes turned, unless a file is really called so."""
    turned = dict(row)
    for column in COLUMNS[:2]:
        name = row.get(column, "")
        if "\\" in name and not is_file(folder / name):
            turned[column] = name.replace("\\", "/")
    return turned


def _ids(rows: Sequence[Row]) -> list[str]:
    """The ids of rows: their own, or the images' names, with folders where names repeat."""
    paths = [Path(os.path.normpath(row.get("image", ""))) for row in rows]
    stems = [_bare(path) for path in paths]
    if len(set(stems)) < len(stems) and len({path.is_absolute() for path in paths}) == 1:
        above = os.path.commonpath([path.parent for path in paths])
        below = [Path(os.path.relpath(path.parent, above or ".")) for path in paths]
        stems = [(b / name).as_posix() for b, name in zip(below, stems, strict=True)]
    return [one_form(plain(row.get("id") or name)) for row, name in zip(rows, stems, strict=True)]


def _bare(path: Path) -> str:
    return path.name[:-7] if path.name.lower().endswith(".nii.gz") else path.stem


def _part(path: Path, place: str, name: str) -> str:
    known = {**{part: part for part in PARTS}, **NAMES, "": "all"}
    if name.strip().lower() not in known:
        raise UserError(f"{path}, {place}: split is {shown(name)}, expected train, val or test.")
    return known[name.strip().lower()]


def _file(path: Path, place: str, name: str, column: str) -> Path:
    found = as_named(path.parent / _expanded(name)) if name else None
    if found is not None and not is_file(found) and column == "image":
        found = _first_channel(found)
    if found is None or not is_file(found):
        what = (
            f"{few([str(found)[:300]])} {no_file(found)}"
            if found
            else f"the cell {column} is empty"
        )
        raise UserError(
            f"{path}, {place}: {what}. Paths are relative to the table's folder, or absolute."
        )
    return found


def _first_channel(path: Path) -> Path:
    """What nnU-Net calls an image that its dataset.json of version 1 lists without its channel."""
    name = _bare(path)
    if not name:  # the root of a disk
        return path
    file = path.with_name(f"{name}_{FIRST}{path.name[len(name) :]}")
    return file if is_file(file) else path


def _expanded(name: str) -> Path:
    """The path with ~ as the home folder, where there is one of that name."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _json(path: Path) -> list[Row]:
    """The rows of a dataset.json."""
    content = read_json(path)
    if is_nnunet(content):
        return nnunet_rows(path, content)
    lists = {"training": "train", "validation": "val", "test": "test", "testing": "test"}
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise UserError(
            f"{path} has no list `training`; expected MONAI's or MSD's form, with "
            '{"image": ..., "label": ...} in it, or nnU-Net\'s. Name another table.'
        )
    if others := [key for key in content if key not in lists and _labelled(content[key])]:
        raise UserError(
            f"{path} lists images and masks as {few(others)}, expected training, validation and "
            "test alone. Rename it to the part that it is, or take it out."
        )
    has_others = any(_labelled(content.get(key)) for key in lists if key != "training")
    rows = []
    for key, part in lists.items():
        for entry in _labelled(content.get(key)):
            row = {"image": str(entry["image"]), "mask": str(entry.get("label", entry.get("mask")))}
            row["group"] = "" if entry.get("group") is None else str(entry["group"])
            row["split"] = part if has_others else ""
            kept = [name for name in entry if FOLDS.fullmatch(name) or WHO.fullmatch(name)]
            row |= {name: str(entry[name]) for name in kept if name not in row}
            rows.append(row)
    return rows


def _labelled(entries: Any) -> list[Mapping[str, Any]]:
    listed = entries if isinstance(entries, list) else []
    known = [entry for entry in listed if isinstance(entry, dict) and "image" in entry]
    return [entry for entry in known if entry.get("label") or entry.get("mask")]
