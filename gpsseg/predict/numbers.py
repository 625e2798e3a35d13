"""uncertainty.csv, propagated.csv: a number for every mask, which outlives a kill as the masks do.

While masks are written each process appends to a hidden file of its own; what all have is then put
together with what was there before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.data.formats.filenames import PROPAGATED, UNCERTAIN
from gpsseg.errors import UserError
from gpsseg.files import write_rows
from gpsseg.predict.targets import partial_folder
from gpsseg.processes import part
from gpsseg.reading import read_log, read_table
from gpsseg.scope import drawn
from gpsseg.writing import append, remove_file

TABLE, FRAMES = UNCERTAIN, PROPAGATED
COLUMN = {TABLE: "uncertainty", FRAMES: "frame"}  # of the numbers


def tables_of(config: PredictConfig) -> list[Path]:
    """The tables that a prediction writes."""
    asked = {TABLE: config.uncertainty, FRAMES: config.propagate is not None}
    return [config.output / name for name, there in asked.items() if there]


def note_number(table: Path, mask: Path, number: float) -> None:
    """Keep the number of a mask that is about to be there.

    Args:
        table: uncertainty.csv or propagated.csv, in the folder of the prediction.
        mask: the file or folder, in this folder or below.
        number: its uncertainty in [0, 1], or the frame that it was propagated from.
    """
    place = table.with_name(_parts(table).replace("*", str(part()[0])))
    line = {"mask": mask.relative_to(table.parent).as_posix(), COLUMN[table.name]: number}
    append(place, json.dumps(line) + "\n")


def _parts(table: Path) -> str:
    """How the hidden files are called."""
    return f".{table.stem}-*.jsonl"


def write_numbers(table: Path) -> None:
    """Write a table: a row a mask that is there, the most uncertain first; frames by their masks.

    It names the masks as they are called, also behind a veil: they lie beside it. The numbers of
    frames whose video is not complete are kept for who goes on with it.
    """
    folder, known = table.parent, dict(_numbers(table))
    there = {mask: number for mask, number in known.items() if (folder / mask).exists()}
    if table.name == TABLE:
        shown = sorted(there.items(), key=lambda row: (-row[1], row[0]))
        rows = [{"mask": mask, COLUMN[TABLE]: f"{number:.6f}"} for mask, number in shown]
    else:
        rows = [
            {"mask": mask, COLUMN[FRAMES]: f"{number:.0f}"}
            for mask, number in sorted(there.items())
        ]
    if rows:
        with drawn(None):
            write_rows(table, rows)
    for place in folder.glob(_parts(table)):
        remove_file(place)
    for mask, number in known.items():
        if mask not in there and partial_folder((folder / mask).parent).is_dir():
            note_number(table, folder / mask, number)


def masks_of(table: Path) -> set[str]:
    """The masks that have a number, as the table names them.

    Raises:
        UserError: as ``check_numbers``.
    """
    return {mask for mask, _ in _numbers(table)}


def check_numbers(table: Path) -> None:
    """Refuse a file that would be added to and is none of ours, before anything is written.

    Raises:
        UserError: it has other columns, or holds no numbers.
    """
    list(_numbers(table))


def _numbers(table: Path) -> Iterator[tuple[str, float]]:
    """What was written before, and then what is new."""
    lines = read_table(table)[1] if table.is_file() else []
    column = COLUMN[table.name]
    for place in sorted(table.parent.glob(_parts(table))):
        lines += read_log(place)
    for line in lines:
        try:
            yield str(line["mask"]), float(line[column])
        except (KeyError, ValueError):
            raise UserError(
                f"{table} has no columns mask and {column} with a number in each row, expected "
                "the file as gpsseg wrote it. Put it back, or name another --output."
            ) from None
