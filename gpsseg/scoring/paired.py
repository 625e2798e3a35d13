"""Paired comparison: the scores of one evaluation against others on the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.private import FILE, salt_near
from gpsseg.config.told import mark
from gpsseg.console import say
from gpsseg.data.formats.filenames import files_below
from gpsseg.data.splits.split import Case
from gpsseg.errors import UserError, counted, few
from gpsseg.evaluators import Estimate, holm, paired_comparison
from gpsseg.evaluators.per_image import read_per_image
from gpsseg.evaluators.words import interval_text, varied_text
from gpsseg.reading import read_object
from gpsseg.scoring.given import open_predictions
from gpsseg.scoring.scored import score_predictions
from gpsseg.veil import hashed, looks_hashed

SCORES = ("dice", "iou")
TESTED = "the masks of these two; another training of either may differ by more"
Row = Mapping[str, Any]
Others = Callable[[], dict[str, Row]]


def open_other(
    folder: Path,
    cases: Sequence[Case],
    labels: tuple[int, ...] = (),
    names: tuple[str, ...] = (),
) -> Others:
    """Find the other side's scores, and check that it has the same images.

    Args:
        folder: of a run or an evaluation (its per_image.csv is read), or of predictions.
        cases: the images that are scored.
        labels: which values of predictions are foreground, of label maps.
        names: of the data set's classes, as for ``open_predictions``.

    Returns:
        A function that gives the rows by id; it scores predictions only when it is called.

    Raises:
        UserError: it is none of these, or has other images.
    """
    table = RunFolder(folder).per_image
    if table.is_file():
        salt = salt_near(folder)
        rows = _by_our_names(read_scores(table), cases, salt)
        if salt is None:
            _refuse_hashed(folder, [case.id for case in cases], list(rows))
        _refuse_other_images(folder, [case.id for case in cases], list(rows))
        return lambda: rows
    if RunFolder(folder).config.is_file():
        raise UserError(
            f"--against {folder} is a run without per_image.csv: it was stopped before it had a "
            "result. Name a finished run, or a folder of predictions."
        )
    files = _as_files(folder, cases)
    predictions = open_predictions(folder, files, "--against", labels, names)

    def scored() -> dict[str, Row]:
        found = score_predictions(predictions, ["per-image"]).rows
        return _by_our_names({row["id"]: row for row in found}, cases)

    return scored


def _as_files(folder: Path, cases: Sequence[Case]) -> list[Case]:
    """Cases by the names of their files: their own, or the hashes that a nameless run wrote."""
    there = {path.name.partition(".")[0] for path in files_below(folder)}
    if there & {case.id for case in cases}:
        return list(cases)
    return [dataclasses.replace(case, id=case.own_id) for case in cases]


def _by_our_names(
    rows: dict[str, Row], cases: Sequence[Case], salt: str | None = None
) -> dict[str, Row]:
    """Rows by the ids that these cases have here: hashes, or their own names.

    Args:
        rows: by names, or by hashes of the same or another salt.
        cases: that are scored.
        salt: that the rows' names are hashed with, where it is known.
    """
    names = {case.own_id: case.id for case in cases}
    if salt is not None:
        names |= {hashed(case.own_id, salt): case.id for case in cases}
    return {names.get(name, name): row for name, row in rows.items()}


def read_scores(table: Path, columns: Sequence[str] = SCORES) -> dict[str, Row]:
    """Scores of a per_image.csv by id: the foreground's Dice and IoU, protocol per-image.

    A row has its "group" too, None where there is none, and whether its truth shows a lesion:
    "with_lesion", True where the table does not say.

    Args:
        table: the file.
        columns: other scores to read, such as those of one class.

    Raises:
        UserError: a column is missing, a score is no number in [0, 1], or an id comes twice.
    """
    _, found = read_per_image(table, columns)
    if not found:
        raise UserError(f"{table} holds no image. Score the images again.")
    return {
        row.id: {
            **{name: row.score(name) for name in columns},
            "group": row.group,
            "with_lesion": row.cells.get("truth_pixels") != "0",
        }
        for row in found
    }


def _refuse_hashed(folder: Path, mine: Sequence[str], theirs: Sequence[str]) -> None:
    """Refuse hashed names that nobody can tell, and say that this is why."""
    if looks_hashed(theirs) and not set(mine) & set(theirs):
        raise UserError(
            f"--against {folder} names its images by hashes, and the {FILE} that tells them is "
            "neither in it nor in the folder above, so that no image of one can be found in the "
            "other. Put the file back (an evaluation's lies in its run), or name a folder of masks."
        )


def _refuse_other_images(folder: Path, mine: Sequence[str], theirs: Sequence[str]) -> None:
    lacks = sorted(set(mine) - set(theirs))
    more = sorted(set(theirs) - set(mine))
    if lacks or more:
        parts = [f"it lacks {len(lacks)} of {len(mine)}: {few(lacks)}"] if lacks else []
        parts += [f"it has {counted(len(more), 'other')}: {few(more)}"] if more else []
        raise UserError(
            f"--against {folder} does not score the same images: {'; '.join(parts)}. Score both on "
            "one split."
        )


def paired_differences(rows: Sequence[Row], others: Mapping[Path, Others]) -> list[dict[str, Any]]:
    """Compare the rows with each other side, as in metrics.json under "paired".

    Differences are these rows minus the other's, under the protocol per-image; "p_holm" is
    adjusted over the other sides, for each score by itself. What is tested is masks: a study has
    many networks, and a folder may have none. The groups are those of either side.
    """
    paired: list[dict[str, Any]] = []
    for folder, read in others.items():
        theirs = read()
        groups = [row["group"] or theirs[row["id"]]["group"] for row in rows]
        entry: dict[str, Any] = {"against": str(folder), "protocol": "per-image", "tested": TESTED}
        if told := _told(folder):
            entry["prompt"] = told
        for score in SCORES:
            a = [row[score] for row in rows]
            b = [theirs[row["id"]][score] for row in rows]
            found = paired_comparison(a, b, groups)
            entry |= {"images": len(rows), **found.varied}
            entry[score] = difference(found)
        paired.append(entry)
    for score in SCORES:
        adjusted = holm([entry[score]["p"] for entry in paired])
        for entry, p in zip(paired, adjusted, strict=True):
            entry[score]["p_holm"] = p
    return paired


def difference(found: Estimate) -> dict[str, Any]:
    """A paired difference as JSON has it; "why" says why there is no interval or no p-value."""
    content = {"difference": found.value, "ci95": found.ci95(), "p": found.p_value}
    return content | ({"why": found.why} if found.why else {})


def _told(folder: Path) -> str:
    """What the other side's network was told of each image, or by which words; empty if nothing."""
    metrics = RunFolder(folder).metrics
    prompt = str(read_object(metrics).get("prompt", "")) if metrics.is_file() else ""
    return prompt if mark(prompt) else ""


def say_paired(paired: Sequence[Mapping[str, Any]]) -> None:
    """Print one line a comparison."""
    for entry in paired:
        parts = []
        for score, label in (("dice", "Dice"), ("iou", "IoU")):
            found = entry[score]
            p = "no p" if found["p"] is None else f"p {found['p']:.2g}"
            if len(paired) > 1 and found["p"] is not None:
                p += f", Holm {found['p_holm']:.2g}"
            ends = interval_text(found["ci95"], "+.3f")
            parts.append(f"{label} {found['difference']:+.3f} {ends} ({p})")
        told = f" ({mark(entry['prompt'])})" if "prompt" in entry else ""
        say(f"against {entry['against']}{told}: {'   '.join(parts)}", style="bold")
        why = f"; {entry['dice']['why']}" if "why" in entry["dice"] else ""
        say(f"{'':<8}over {varied_text(entry)}{why}. Tested are {entry['tested']}.")
