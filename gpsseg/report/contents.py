"""What a run folder holds, read for the report. Only metrics.json is required."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.written import AnyConfig, LogLine, Selected, SplitParts, StudyFile
from gpsseg.config.written_scores import Metrics
from gpsseg.errors import UserError
from gpsseg.evaluators.per_image import ImageRow, read_per_image
from gpsseg.reading import read_log, read_object
from gpsseg.report.thumbnails import LeakPicture, Thumbnail

Json = dict[str, Any]


@dataclass(frozen=True)
class CaseRow:
    """One test image.

    Attributes:
        id: its name.
        group: patient or sequence; empty where there is none.
        dice: Dice per image in [0, 1], or None.
        iou: IoU per image in [0, 1], or None.
        size: the lesion's share of the image in percent, or None.
        thumbnail: pictures of it, or None.
        fold: that it was tested in; None where there are no folds.
        uncertainty: how little the members of an ensemble agree on it, in [0, 1], or None.
        pixels: of the truth, the prediction and the whole image, or None.
        pixel_mm: square (cubic) millimetres of a pixel (voxel), or None.
    """

    id: str
    group: str
    dice: float | None
    iou: float | None
    size: float | None
    thumbnail: Thumbnail | None
    fold: int | None = None
    uncertainty: float | None = None
    pixels: tuple[float, ...] | None = None
    pixel_mm: float | None = None

    @property
    def page(self) -> str:
        """That of its fold; empty where there are no folds."""
        return "" if self.fold is None else StudyFolder(Path()).page_of(self.fold)


@dataclass(frozen=True)
class Contents:
    """A folder of a run, of an evaluation or of a study; what the folder lacks is empty.

    Attributes:
        folder: it.
        metrics: metrics.json.
        config: config.json; of a study that of its first fold, with what all folds share.
        study: study.json.
        split: split.json.
        selection: selection.json.
        log: the lines of log.jsonl.
        cases: per_image.csv, worst Dice first.
        leak_pictures: of the first pairs in metrics.json's "leaks".
        delta_bytes: size of delta.safetensors.
    """

    folder: Path
    metrics: Json
    config: Json
    study: Json
    split: Json
    selection: Json
    log: tuple[Json, ...]
    cases: tuple[CaseRow, ...]
    leak_pictures: tuple[LeakPicture, ...]
    delta_bytes: int | None


def read_contents(
    folder: Path,
    thumbnails: Sequence[Thumbnail] = (),
    leak_pictures: Sequence[LeakPicture] = (),
    metrics: Json | None = None,
) -> Contents:
    """Read a run or evaluation folder.

    Args:
        folder: it.
        thumbnails: of its images.
        leak_pictures: of images that leak.
        metrics: instead of metrics.json, for a run that has none yet.

    Raises:
        UserError: metrics.json is missing, or a file is damaged.
    """
    delta, study = RunFolder(folder).delta, StudyFolder(folder)
    return Contents(
        folder=folder,
        metrics=read_object(RunFolder(folder).metrics, Metrics) if metrics is None else metrics,
        config=_config_of_study(study) if study.is_study else _config_of(RunFolder(folder)),
        study=_read_if_there(study.settings, StudyFile),
        split=_read_if_there(RunFolder(folder).split, SplitParts),
        selection=_read_if_there(RunFolder(folder).layers, Selected),
        log=tuple(read_log(RunFolder(folder).log, LogLine)),
        cases=_read_cases(RunFolder(folder).per_image, thumbnails),
        leak_pictures=tuple(leak_pictures),
        delta_bytes=delta.stat().st_size if delta.is_file() else None,
    )


def require_scores(contents: Contents) -> None:
    """Refuse a folder without any scores, of which no page can be made.

    Raises:
        UserError: it is one.
    """
    if not contents.metrics.get("after"):
        raise UserError(
            f"{contents.folder}/metrics.json holds no scores. Name the folder of a finished run."
        )


def _config_of(run: RunFolder) -> Json:
    return _read_if_there(run.config, AnyConfig)


def _config_of_study(study: StudyFolder) -> Json:
    """The settings of a study: those of its first fold, without what each fold has for itself."""
    first, own = _config_of(study.run_of(1)), _read_if_there(study.settings, StudyFile)
    settings = {k: v for k, v in first.get("config", {}).items() if k not in ("split", "output")}
    shared = {name: own[name] for name in ("folds", "folds_of") if name in own}
    resolved = {k: v for k, v in first.get("resolved", {}).items() if k != "processes"}
    return {
        **first,
        "config": settings | shared,
        "resolved": resolved,
        "command": own.get("command", []),
    }


def _read_if_there(path: Path, hint: Any) -> Json:
    found: Json = read_object(path, hint) if path.is_file() else {}
    return found


def _read_cases(path: Path, thumbnails: Sequence[Thumbnail]) -> tuple[CaseRow, ...]:
    """Rows of per_image.csv with their thumbnails, worst first; rows without a Dice come last."""
    if not path.is_file():
        return ()
    pictures = {thumbnail.id: thumbnail for thumbnail in thumbnails}
    names, rows = read_per_image(path)
    dice, iou = (_column(names, name) for name in ("dice", "iou"))
    cases = [
        CaseRow(
            id=row.id,
            group=row.group or "",
            fold=None if (fold := row.number("fold")) is None else int(fold),
            dice=row.score(dice),
            iou=row.score(iou),
            size=_lesion_size(row),
            thumbnail=pictures.get(row.id),
            uncertainty=row.score("uncertainty"),
            pixels=_pixels(row),
            pixel_mm=row.number("clinical_pixel_mm"),
        )
        for row in rows
    ]
    return tuple(sorted(cases, key=lambda case: (case.dice is None, case.dice, case.id)))


def _column(names: Sequence[str], score: str) -> str:
    """The column of a score: the default protocol's, else the first protocol's that has it."""
    return next((name for name in (score, *names) if name in names and _is(name, score)), score)


def _is(name: str, score: str) -> bool:
    return name == score or name.endswith(f"_{score}")


def _pixels(row: ImageRow) -> tuple[float, ...] | None:
    found = [row.number(name) for name in ("truth_pixels", "prediction_pixels", "pixels")]
    known = tuple(number for number in found if number is not None)
    return known if len(known) == len(found) and known[-1] else None


def _lesion_size(row: ImageRow) -> float | None:
    """True foreground in percent of the image."""
    truth, pixels = row.number("truth_pixels"), row.number("pixels")
    if truth is None or pixels is None or not 0 <= truth <= pixels or not pixels:
        return None
    return 100 * truth / pixels


@contextlib.contextmanager
def refusing_other_values() -> Iterator[None]:
    """Turn into a sentence what values lead to that no hint is for, such as a text as rate.

    Raises:
        UserError: there was one.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"A file of these runs holds other values than gpsseg wrote ({error!r:.200}). Put back "
            "the files, or score the runs again: python -m gpsseg.evaluate --run RUN."
        ) from None
