"""Read text files, JSON and CSV: whatever they hold, the answer is a value or a sentence.

Here alone a file is opened as text, so here its kind, its size, its characters and its depth are
bounded before any work is done. What a value means is said by a type hint, see
``gpsseg.config.fitting``.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.fitting import Unfit, fit
from gpsseg.errors import UserError, few, shown, size_text
from gpsseg.schema import refuse_newer, without_schema

MOST_BYTES = 100 * 10**6  # of a list of cases, the largest text that anybody has
MOST_OF_LOG = 10**9  # bytes; a line for each step
MOST_COLUMNS, DEEPEST = 10_000, 100
NUMBER = re.compile(r"\s*[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)\s*")
DEEP = "it is nested too deeply"
BACK = "Put back the file as gpsseg wrote it."
AGAIN = "Write it again, or take it from its source."


def read_text(path: Path, what: str = "", most: int = MOST_BYTES, errors: str = "strict") -> str:
    """Read a text file in UTF-8, or in UTF-16 where its first bytes say so; lines end as Python's.

    Args:
        path: of the file.
        what: to call it ahead of its path, such as "The data card ".
        most: bytes that it may have.
        errors: what to do with bytes that are no text, as for ``bytes.decode``.

    Raises:
        UserError: it is missing, no file, too large or no text; the text names it.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "no file"
            raise UserError(f"{what}{path} cannot be read: it is {kind}, expected a text file.")
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        fix = " Check the path." if isinstance(error, FileNotFoundError) else ""
        raise UserError(f"{what}{path} cannot be read: {error.strerror}.{fix}") from None
    except ValueError:  # a zero byte in its name
        raise UserError(f"{what}{path} cannot be read: no file has such a name.") from None
    if len(raw) > most:
        raise UserError(
            f"{what}{path} has more than {size_text(most)}, expected a text of at most that. Is it "
            "another file? Or cut it into parts."
        )
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{what}{path} is no text in UTF-8 (byte {error.start:,}). Save it again in UTF-8, "
            "which Excel calls `CSV UTF-8` in its list of file types."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, fix: str = AGAIN) -> Any:
    """Read a JSON file; ``fix`` is how to mend it.

    Raises:
        UserError: as ``read_text``; or it is not JSON, or too deep, or names a key twice.
    """
    return parse_json(read_text(path), str(path), fix)


def parse_json(text: str, place: str, fix: str = AGAIN) -> Any:
    """What JSON says; ``place`` is where it stands, and ``fix`` how to mend it, for the error.

    Raises:
        UserError: as ``read_json``.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = dict.fromkeys(name for name in names if names.count(name) > 1)
            raise UserError(f"{place} names {few(twice)} twice. Leave one out.")
        return found

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise UserError(f"{place} is not readable as JSON ({DEEP}). {fix}") from None
    except ValueError as error:
        why = shown(str(error)).strip("\"'")
        raise UserError(f"{place} is not readable as JSON ({why}). {fix}") from None
    if _is_deep(content):
        raise UserError(f"{place} is not readable as JSON ({DEEP}). {fix}")
    return content


def _is_deep(content: Any) -> bool:
    """Whether lists and objects lie in one another more than ``DEEPEST`` times."""
    level = [content] if isinstance(content, (dict, list)) else []
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for held in inner for each in held if isinstance(each, (dict, list))]
    return bool(level)


def read_object(path: Path, hint: Any = dict[str, Any], fix: str = BACK) -> Any:
    """Read a JSON file that gpsseg wrote, and that holds an object.

    Args:
        path: of the file.
        hint: what it must hold, a ``TypedDict`` such as those in ``gpsseg.config.written``.
        fix: how to mend it.

    Returns:
        The object without its schema, see ``gpsseg.schema``.

    Raises:
        UserError: as ``read_json``; it holds something else, or a newer gpsseg wrote it.
    """
    content = read_json(path, fix)
    if isinstance(content, dict):
        refuse_newer(content, path)
        content = without_schema(content)
    return fitted(content, hint, str(path), fix)


def fitted(content: Any, hint: Any, place: str, fix: str = BACK, none: str = "None") -> Any:
    """What a file holds, as a hint wants it.

    Args:
        content: of the file.
        hint: see ``gpsseg.config.fitting``.
        place: what to call it in the error.
        fix: how to mend it.
        none: what to call a value that is not there.

    Raises:
        UserError: it is something else.
    """
    try:
        return fit(hint, content)
    except Unfit as unfit:
        if not unfit.where:
            raise UserError(
                f"{place} holds {shown(content)}, expected {unfit.expected}. {fix}"
            ) from None
        where = ".".join(few([key]) for key in unfit.where)
        found = none if unfit.value is None else shown(unfit.value)
        raise UserError(f"{place}: {where} is {found}, expected {unfit.expected}. {fix}") from None


def read_log(path: Path, hint: Any = dict[str, Any]) -> list[Any]:
    """The lines of a log that `log_to` wrote; none without it, and none of one that was cut."""
    text = read_text(path, most=MOST_OF_LOG, errors="replace") if path.is_file() else ""
    rows = []
    for line in text.split("\n"):
        try:
            rows.append(fitted(parse_json(line, str(path)), hint, str(path)))
        except UserError:
            continue
    return rows


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV that gpsseg wrote: the names of its columns, and its rows.

    Raises:
        UserError: as ``read_text`` and ``csv_rows``; or a row has more or fewer cells than the
            first, or two columns have one name.
    """
    names, rows = read_lines(path)
    return names, [row for _, row in rows]


def read_lines(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The same, each row with the number of its line, as a spreadsheet counts.

    Raises:
        UserError: as ``read_table``.
    """
    names: list[str] = []
    rows = []
    for number, row in csv_rows(read_text(path), path):
        if not names:
            names = once_each(row, path)
        elif len(row) != len(names):
            raise UserError(f"{path}, line {number}: expected {len(names)} cells. Is it cut off?")
        else:
            rows.append((number, dict(zip(names, row, strict=True))))
    return names, rows


def once_each(names: list[str], path: Path) -> list[str]:
    """The names of a table's columns, as they are; any number of them may be empty.

    Raises:
        UserError: two are the same, so that one's cells would be lost.
    """
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        twice = dict.fromkeys(name for name in named if named.count(name) > 1)
        column = "column" if len(twice) == 1 else "columns"
        raise UserError(
            f"{path} names the {column} {few(twice)} twice. Leave one out, or call it otherwise."
        )
    return names


def number_in(cell: str) -> float:
    """The number of a cell; not a number where it holds none, or a code that Python takes for one.

    >>> number_in(" -1.5"), number_in("7"), number_in("1_2"), number_in("1e3"), number_in("nan")
    (-1.5, 7.0, nan, nan, nan)
    """
    return float(cell) if NUMBER.fullmatch(cell) else math.nan


def value_in(cell: str) -> Any:
    """What gpsseg wrote into a cell, of its type; None of an empty one.

    >>> value_in("5e-05"), value_in("9"), value_in("True"), value_in("gps"), value_in("")
    (5e-05, 9, True, 'gps', None)
    """
    if cell in ("True", "False"):
        return cell == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(cell)
    return cell or None


def csv_rows(
    text: str, path: Path, delimiter: str = ",", strict: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV that are not empty, each with the number of its (last) line.

    Args:
        text: of the file.
        path: of the file, for the error.
        delimiter: between cells.
        strict: whether a quote within a cell is an error, and a blank after a comma is one.

    Raises:
        UserError: it is no CSV, has other separators, or too many columns.
    """
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=strict,
        skipinitialspace=not strict,
    )
    first = True
    try:
        for row in reader:
            if first and row:
                first = _refuse_other_separators(row, path, delimiter)
            if len(row) > MOST_COLUMNS:
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(row):,} cells, expected at most "
                    f"{MOST_COLUMNS:,}. Is it a table with a row for each image?"
                )
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise UserError(
            f"{path} is not readable as CSV ({error}). Save it again as CSV in UTF-8."
        ) from None


def _refuse_other_separators(head: Sequence[str], path: Path, delimiter: str) -> bool:
    """Refuse a first line of one cell that another separator would part, as Excel's in Europe."""
    for other, name in ((";", ";"), ("\t", "tabs")):
        if delimiter == "," and len(head) == 1 and other in head[0]:
            raise UserError(
                f"{path} is separated by {name}, expected commas. Save it again as CSV with commas "
                "between the cells, and points in the numbers."
            )
    return False
