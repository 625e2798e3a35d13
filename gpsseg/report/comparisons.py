"""Finished comparisons, read again: from compare.json, or from a table such as compare.csv."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.folder import ComparisonFolder, RunFolder, StudyFolder
from gpsseg.config.methods import METHOD_OF_CRITERION
from gpsseg.config.written_compare import ComparedFile, ComparedRow
from gpsseg.errors import UserError
from gpsseg.reading import fitted, read_lines, read_object, value_in
from gpsseg.report.kept import KeptRows, kept_of

Row = Mapping[str, Any]
USUAL = "gradient"
CRITERION_OF_METHOD = {method: name for name, method in METHOD_OF_CRITERION.items()}
WORDS = ("method", "criterion", "dataset", "backbone", "resampled", "ungrouped", "data", "title")
SAME = (
    *("name", "dataset", "backbone", "train_size", "seeds", "delta_bytes", "step_seconds"),
    "memory_mb",
)


@dataclass(frozen=True)
class Group:
    """The rows of one network, data set and training size.

    Attributes:
        comparison: what the folder or table is called.
        synthetic: whether the images are drawn.
        title: of the data set.
        rows: as in compare.json, each with its "name": method and criterion.
        kept: what they scored elsewhere, see ``gpsseg.report.kept``; empty without it.
    """

    comparison: str
    synthetic: bool
    title: str
    rows: tuple[Row, ...]
    kept: tuple[KeptRows, ...] = ()


def read_groups(path: Path) -> list[Group]:
    """Read a comparison.

    Args:
        path: of its folder, its compare.json, or a CSV with such columns as its compare.csv.

    Raises:
        UserError: it is none of these, or holds no row.
    """
    content, called = _content(path)
    groups: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in content["rows"]:
        data, title = row.get("data", content["data"]), row.get("title", content["title"])
        key = (data, title, row["backbone"], row["train_size"])
        groups.setdefault(key, []).append({**row, "name": _name(row, content["criterion"])})
    if not groups:
        raise UserError(f"{path} holds no row, expected one for each method. Compare again.")
    return [
        Group(called, data.startswith("synthetic"), title, tuple(rows), _kept(content, rows))
        for (data, title, *_), rows in groups.items()
    ]


def _kept(content: Row, rows: Sequence[Row]) -> tuple[KeptRows, ...]:
    places = content.get("kept", [])
    if any(len(row.get("kept", ())) != len(places) for row in rows):
        return ()
    return tuple(kept_of({"kept": places, "rows": rows}))


def _content(path: Path) -> tuple[Any, str]:
    """What stands there, as in compare.json, and what it is called."""
    if path.suffix.lower() == ".csv":
        rows = [_row(line, path, number) for number, line in read_lines(path)[1]]
        return {"rows": rows, "data": "", "title": "", "criterion": USUAL}, path.stem
    file = path / "compare.json" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise UserError(_no_comparison(path))
    content = read_object(file, ComparedFile)
    usual = content.get("settings", {}).get("criterion", USUAL)
    return {**content, "criterion": usual}, file.resolve().parent.name


def _no_comparison(folder: Path) -> str:
    """What a folder without compare.json is, and what to do."""
    files, expected = ComparisonFolder(folder), "expected that of a finished comparison"
    for kind, there in (("run", RunFolder(folder).config), ("study", StudyFolder(folder).settings)):
        if there.is_file():
            also = " --compare puts runs and studies side by side."
            return f"{folder} is the folder of a {kind}, {expected}.{also}"
    said = f"{folder} has no compare.json, expected the folder of a finished comparison."
    if files.settings.is_file():
        return f"{said} The command that began it, given again, finishes it."
    return f"{said} Check the path."


def refuse_twice(comparisons: Mapping[Path, Sequence[Group]]) -> None:
    """Refuse two comparisons that hold the same rows, such as a folder and a copy of its table.

    Raises:
        UserError: two do.
    """
    for (one, its), (other, others) in itertools.combinations(comparisons.items(), 2):
        for group in its:
            if any(_is_same(group, found) for found in others):
                raise UserError(
                    f"--comparisons {one} and {other} hold the same rows ({group.title}). Name one "
                    "of them."
                )


def _is_same(one: Group, other: Group) -> bool:
    """Whether two groups are one; a table rounds scores, and what was measured is in both."""
    if (one.title, one.synthetic, len(one.rows)) != (other.title, other.synthetic, len(other.rows)):
        return False
    return all(
        all(row.get(name) == like.get(name) for name in SAME)
        and math.isclose(row["dice"], like["dice"], abs_tol=1e-5)
        for row, like in zip(one.rows, other.rows, strict=True)
    )


def _row(line: Mapping[str, str], path: Path, number: int) -> Row:
    """One row of a table, as compare.json has it."""
    place, ends = f"{path}, line {number}", ("dice_ci95_low", "dice_ci95_high")
    if missing := [name for name in ("data", "title", *ends) if name not in line]:
        raise UserError(
            f"{path} has no column {missing[0]}, which this version's compare.csv has. Name the "
            "folder of the comparison instead."
        )
    row = {name: cell if name in WORDS else value_in(cell) for name, cell in line.items()}
    low, high = (row.pop(name) for name in ends)
    row["dice_ci95"] = None if low is None and high is None else (low, high)
    filled = {name: value for name, value in row.items() if value is not None and value != ""}
    needed = {"dice_ci95": row["dice_ci95"], "step_seconds": row.get("step_seconds")}
    fit: Row = fitted({**needed, **filled}, ComparedRow, place, none="empty")
    return fit


def _name(row: Row, usual: str) -> str:
    """A method with the criterion by which it selects, where its name does not have that.

    Args:
        row: of a method; one of an older version does not say the criterion.
        usual: the criterion of gps in the comparison.
    """
    method = str(row["method"])
    kind = method.partition(":")[0]
    criterion = row.get("criterion") or {"gps": usual, **CRITERION_OF_METHOD}.get(kind)
    told = criterion in (None, kind) or "criterion=" in method
    return method if told else f"{method} ({criterion})"
