"""Score a folder of predictions that any tool made, against truth of one's own or a data set's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpsseg.console import progress, say
from gpsseg.data.case import Case, look_at_case
from gpsseg.data.checks.notices import Seen, look
from gpsseg.data.checks.readable import first_of
from gpsseg.data.formats.filenames import left_out
from gpsseg.data.formats.levels import ADVICE, BY_LABELS, Marked
from gpsseg.data.formats.maps import (
    Stored,
    Survey,
    few_levels,
    full_values,
    look_at_truth,
    marks_of,
    read_stored,
    survey,
    to_map,
    unread_files,
)
from gpsseg.data.formats.slicing import Slicing, find_slicing
from gpsseg.data.formats.volumes import RAS
from gpsseg.data.pairs import Pairs, pair
from gpsseg.errors import UserError, counted, fault_of, few
from gpsseg.evaluators import Scorer, registry
from gpsseg.evaluators.resize import resize_bilinear

if TYPE_CHECKING:
    from gpsseg.report.thumbnails import Thumbnail

ISIC_OMITTED = (
    "Its rule takes predictions of the truth's size only, and {count} of {images} differ. Export "
    "them at native size."
)


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions, every file of which was read once.

    Attributes:
        place: option and folder, as messages name it.
        cases: the truth, in the order of scoring.
        pairs: which file is whose.
        full: what "certainly foreground" is, by dtype.
        axes: 2 for images, 3 for volumes.
        soft: whether they are probabilities; False for masks.
        moved: ids of volumes whose header disagrees with their truth's.
        marks: of each dtype whose values in all files are two, the higher: foreground.
        truths: what the masks of the truth are like.
        labels: which values are foreground, of label maps; empty for masks and probabilities.
    """

    place: str
    cases: Sequence[Case]
    pairs: Pairs
    full: dict[str, int]
    axes: int
    soft: bool
    moved: tuple[str, ...]
    marks: Mapping[str, float] = field(default_factory=dict)
    truths: tuple[Seen, ...] = ()
    labels: tuple[int, ...] = ()

    def map_of(self, case: Case, header: Stored) -> np.ndarray:
        """The prediction: float in [0, 1], uint8 0..255 or bool, at its own size.

        ``header`` is the truth's. Several files of a case are joined.
        """
        maps = [self._map(path, header) for path in self.pairs.all_of(case)]
        return functools.reduce(np.maximum, maps)

    def _map(self, path: Path, header: Stored) -> np.ndarray:
        values = _read(path, header, self.labels).values
        mark = self.marks.get(values.dtype.name)
        return to_map(values, self.full) if mark is None else values == mark


@dataclass(frozen=True)
class _Look:
    """What checking one pair found."""

    survey: Survey | None = None
    axes: int = 0
    moved: bool = False
    fault: str = ""
    truth: Seen | None = None


def open_predictions(
    folder: Path,
    cases: Sequence[Case],
    option: str = "--predictions",
    labels: tuple[int, ...] = (),
) -> Predictions:
    """Pair a folder with the truth, read every file once, and say what is worth knowing.

    Args:
        folder: of the predictions.
        cases: the truth.
        option: what messages call the folder.
        labels: which values are foreground, of label maps.

    Raises:
        UserError: a prediction is missing, unclear, unreadable or out of range, or does not fit
            its truth; up to 10 files are named.
    """
    pairs = pair(folder, cases, option)
    with ThreadPoolExecutor() as pool:
        tasks = pool.map(lambda case: _look(case, pairs.all_of(case), labels), cases)
        looks = list(progress(tasks, "checking predictions", len(cases)))
    faults = [(c.id, each.fault) for c, each in zip(cases, looks, strict=True) if each.fault]
    if faults:
        raise UserError(first_of(faults))
    axes = {look.axes for look in looks}
    if len(axes) > 1:
        raise UserError(
            "Got images (2-D) and volumes (3-D) together, expected one kind. Score them apart."
        )
    surveys = [look.survey for look in looks if look.survey]
    full, marks = full_values(surveys), marks_of(surveys)
    if not marks:
        _refuse_classes(folder, option, surveys, full)
    _say_levels(folder, option, surveys)
    moved = tuple(case.id for case, look in zip(cases, looks, strict=True) if look.moved)
    soft = any(each.soft for each in surveys)
    soft = soft and not marks
    truths = tuple(look.truth for look in looks if look.truth)
    place = f"{option} {folder}"
    predictions = Predictions(
        place, cases, pairs, full, axes.pop(), soft, moved, marks, truths, labels
    )
    _say_notes(predictions, folder)
    return predictions


def _look(case: Case, paths: Sequence[Path], labels: tuple[int, ...]) -> _Look:
    """Read one prediction with its truth; whatever is wrong with them is a fault."""
    assert case.mask is not None
    try:
        marked, header = _marked_truth(case, labels)
    except Exception as error:
        return _Look(fault=fault_of(case.mask, error))
    fit = _Look()
    for path in paths:
        try:
            fit = _fit(case, path, marked.mask, header, labels)
        except Exception as error:
            return _Look(fault=fault_of(path, error))
        if fit.fault or (len(paths) > 1 and fit.survey is None):
            return fit
    return replace(fit, truth=look(case.mask, marked))


def _read(path: Path, header: Stored, labels: tuple[int, ...]) -> Stored:
    """A prediction on the grid of its truth; of a label map, where the chosen labels are.

    Raises:
        UserError: it cannot be read, or holds fractions where labels are chosen.
    """
    stored = read_stored(path).like(header, path)
    if not labels:
        return stored
    if stored.values.dtype.kind == "f" and (stored.values != np.rint(stored.values)).any():
        raise UserError(
            f"{path} holds fractions, expected whole numbers: --labels goes with label maps. "
            "Leave it out for probabilities."
        )
    return replace(stored, values=np.isin(stored.values, labels))


def _fit(
    case: Case, path: Path, truth: np.ndarray, header: Stored, labels: tuple[int, ...] = ()
) -> _Look:
    """Whether a prediction fits its truth.

    Raises:
        UserError: it cannot be read, or is out of range.
    """
    stored = _read(path, header, labels)
    looked = survey(path, stored.values)
    got, expected = stored.values.shape, truth.shape
    sizes = f"{path} is {_size(got)} and its truth {case.mask} is {_size(expected)}"
    if len(got) != len(expected) or (len(got) == 3 and got != expected):
        return _Look(fault=f"{sizes}; volumes must have their truth's grid. Resample it first.")
    if got != expected and got == expected[::-1]:
        return _Look(
            fault=f"{sizes} (height x width): turned by 90 degrees? Transpose the prediction."
        )
    if not _same_way_up(stored, header):
        return _Look(
            fault=f"{path} and {case.mask} have their axes in different directions, by their "
            "headers. Save the prediction with its image's affine."
        )
    moved = (
        stored.affine is not None
        and header.affine is not None
        and not np.allclose(stored.affine, header.affine, rtol=1e-3, atol=1e-2)
    )
    return _Look(looked, len(expected), moved)


def _truth(case: Case, labels: tuple[int, ...] = ()) -> tuple[np.ndarray, Stored]:
    """A case's truth as bool, and its file's header; of a label map, where chosen labels are."""
    marked, header = _marked_truth(case, labels)
    return marked.mask, header


def _marked_truth(case: Case, labels: tuple[int, ...] = ()) -> tuple[Marked, Stored]:
    """A case's truth, with what is worth knowing of it, and its file's header."""
    assert case.mask is not None
    if case.labels is not None or (case.opinions and not case.joined):
        marked = look_at_case(case)
        return marked, Stored(marked.mask)
    (first, header), *others = (_truth_of(path, labels) for path in (case.mask, *case.opinions))
    for path, (more, _) in zip(case.opinions, others, strict=True):
        if more.mask.shape != first.mask.shape:
            raise UserError(
                f"{path} is {_size(more.mask.shape)} but {case.mask} is "
                f"{_size(first.mask.shape)}: the masks of one image are joined and must have "
                "one size. Export them again."
            )
    if not others:
        return first, header
    joined = np.logical_or.reduce([first.mask, *(more.mask for more, _ in others)])
    return replace(first, mask=joined), header


def _truth_of(path: Path, labels: tuple[int, ...]) -> tuple[Marked, Stored]:
    """One file of a truth; with labels a mask of 0 and 255 is still a mask."""
    if not labels:
        try:
            return look_at_truth(path)
        except UserError as error:
            raise UserError(str(error).replace(ADVICE, BY_LABELS)) from None
    stored = read_stored(path)
    if stored.values.dtype == bool or set(np.unique(stored.values).tolist()) <= {0, 255}:
        is_mask = 255 not in labels
        return look_at_truth(path) if is_mask else (Marked(stored.values == 255), stored)
    return Marked(np.isin(stored.values, labels)), stored


def _same_way_up(one: Stored, other: Stored) -> bool:
    """Whether two NIfTI headers agree where the axes point; other formats do not say."""
    if one.affine is None or other.affine is None:
        return True
    from nibabel import aff2axcodes

    return bool(aff2axcodes(one.affine) == aff2axcodes(other.affine))


def _refuse_classes(
    folder: Path, option: str, surveys: Sequence[Survey], full: dict[str, int]
) -> None:
    """Refuse label maps: few whole numbers, none of them large, in all files."""
    for kind in full:
        same = [each for each in surveys if each.kind == kind]
        if any(each.several for each in same) and max(each.top for each in same) <= 127:
            top = max(each.top for each in same)
            raise UserError(
                f"{option} {folder}: the largest value of all files is {top:g}, and there are few "
                "others: masks of several classes, or of a scale of their own? Expected masks of "
                "0 and 1 or 0 and 255, or probability maps. Name the foreground's values, such as "
                "--labels 1, or save one class, as 0 and 255."
            )


def _say_levels(folder: Path, option: str, surveys: Sequence[Survey]) -> None:
    """Refuse levels that are classes, and say of others that they are read as probabilities."""
    for levels, votes in few_levels(surveys).values():
        listed = ", ".join(f"{level:g}" for level in levels)
        if not votes:
            raise UserError(
                f"{option} {folder}: the files hold areas of the levels {listed}: masks of several "
                "classes? Expected masks of 0 and 255, or probability maps. Save one class, as 0 "
                "and 255."
            )
        say(
            f"note: {option} {folder}: the levels {listed} are read as probabilities from 0 to 1, "
            "not as classes.",
            style="yellow",
        )


def _say_notes(predictions: Predictions, folder: Path) -> None:
    extra, aside = predictions.pairs.extra, predictions.pairs.aside
    if extra:
        names = few(path.relative_to(folder) for path in extra)
        say(
            f"note: {predictions.place}: no image for {counted(len(extra), 'file')}: {names}",
            "yellow",
        )
    if left := left_out(unread_files(folder), folder):
        say(f"{left} of {predictions.place}", "yellow")
    if aside:
        names = few(path.relative_to(folder) for path in aside)
        what = counted(
            len(aside), "mask beside probability maps is", "masks beside probability maps are"
        )
        say(f"note: {what} not used: {names}", "yellow")
    if predictions.moved:
        say(
            f"note: the headers of {counted(len(predictions.moved), 'volume')} place them "
            f"elsewhere than their truth: {few(predictions.moved)}. Voxels are compared as "
            "stored, with the truth's spacing.",
            "yellow",
        )


def resolve_protocols(names: Sequence[str], axes: int = 2) -> list[str]:
    """The protocols to score: ``per-image`` first, and ``volume`` for volumes.

    Args:
        names: as given; "all" stands for every protocol that scores this number of axes.
        axes: 2 or 3.

    Raises:
        UserError: no such protocol, or it does not score that number of axes.
    """
    known = registry()
    fitting = [name for name, protocol in known.items() if axes in protocol.dimensions]
    base = ["per-image", "volume"] if axes == 3 else ["per-image"]
    Scorer([name for name in names if name != "all"])  # names the nearest where one is unknown
    asked = [n for name in names for n in (fitting if name == "all" else [name])]
    wrong = [name for name in asked if name not in fitting]
    if wrong:
        raise UserError(
            f"--protocol {wrong[0]} does not score {axes}-D predictions; expected one of "
            f"{', '.join(fitting)}, or all."
        )
    return list(dict.fromkeys([*base, *asked]))


@dataclass(frozen=True)
class Scored:
    """What scoring a folder gave.

    Attributes:
        summary: each protocol's scores; of one that could not be used, {"omitted": why}.
        rows: one flat dict an image.
        resized: ids of the predictions that did not have their truth's size.
        scorer: holds the pooled histogram.
    """

    summary: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    resized: tuple[str, ...]
    scorer: Scorer


def score_predictions(
    predictions: Predictions,
    protocols: Sequence[str],
    picture: Callable[[Case, np.ndarray, np.ndarray], None] | None = None,
    tolerance: float = 2.0,
    what: str = "evaluating",
) -> Scored:
    """Score every case; a prediction of another size is resized bilinearly before thresholding.

    Args:
        predictions: from ``open_predictions``.
        protocols: from ``resolve_protocols``.
        picture: is called with each case, its predicted mask and its truth, both (H, W) bool; of a
            volume with the slice that shows most of the lesion.
        tolerance: as for ``Scorer``.
        what: is done, for the progress bar.
    """
    scorer = Scorer(protocols, pool=True, tolerance=tolerance)
    resized = []
    for case in progress(predictions.cases, what, len(predictions.cases)):
        truth, header = _truth(case, predictions.labels)
        values = predictions.map_of(case, header)
        if values.shape != truth.shape:
            resized.append(case.id)
            values = _resized(values, truth.shape)
        scorer.add(case.id, values, truth, case.group, header.spacing)
        if picture is not None:
            mask = values >= (128 if values.dtype == np.uint8 else 0.5)
            shown = (mask, truth)
            picture(case, *(shown if truth.ndim == 2 else telling_slice(*shown, header.affine)))
    if resized:
        say(
            f"note: {predictions.place}: {len(resized)} of "
            f"{counted(len(predictions.cases), 'prediction')} do not have their truth's "
            f"size and were resized bilinearly: {few(resized)}",
            style="yellow",
        )
    summary, rows = scorer.summary(), scorer.rows()
    if resized and "isic" in summary:
        why = ISIC_OMITTED.format(count=len(resized), images=len(rows))
        summary["isic"] = {"omitted": why}
        rows = [{k: v for k, v in row.items() if not k.startswith("isic_")} for row in rows]
    return Scored(summary, rows, tuple(resized), scorer)


def score_labels(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Score each label of label maps by itself: label -> protocol per-image."""
    found = {}
    for label in predictions.labels:
        alone, what = replace(predictions, labels=(label,)), f"evaluating label {label}"
        scored = score_predictions(alone, ["per-image"], what=what)
        found[str(label)] = scored.summary["per-image"]
    return found


def telling_slice(
    mask: np.ndarray, truth: np.ndarray, affine: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The slice of a volume, seen from its front, that shows most of the true lesion.

    Of equal ones it is the middle one; without a lesion it shows most of what was predicted.

    Args:
        mask: (X, Y, Z) bool, predicted.
        truth: (X, Y, Z) bool.
        affine: (4, 4), index -> RAS mm; None where it is not known.

    Returns:
        Both slices, (rows, columns) bool.
    """
    slicing = Slicing((0, 1, 2), ())
    if affine is not None:
        slicing = find_slicing(RAS @ affine[:, [2, 1, 0, 3]])
    found, true = (slicing.view(values.transpose(2, 1, 0)) for values in (mask, truth))
    sizes = (true if truth.any() else found).sum(axis=(1, 2))
    most = np.flatnonzero(sizes == sizes.max())
    index = most[len(most) // 2]
    return found[index], true[index]


def _resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map resized bilinearly, float64 in [0, 1]: 8-bit levels stay exactly k / 255."""
    scale = 255 if values.dtype == np.uint8 else 1
    resized = resize_bilinear(values.astype(np.float64), (shape[0], shape[1]))
    return (resized / scale).clip(0, 1)


@functools.cache
def grey_picture(height: int, width: int) -> np.ndarray:
    """Stands for an image that is not at hand: (H, W, 3) uint8."""
    return np.full((height, width, 3), 96, np.uint8)


def collect_thumbnails(
    thumbnails: list[Thumbnail], images: int, with_image: bool
) -> Callable[[Case, np.ndarray, np.ndarray], None]:
    """A ``picture`` for ``score_predictions`` that fills ``thumbnails`` for the report."""
    from gpsseg.data.formats.images import read_image
    from gpsseg.report.thumbnails import make_thumbnail, thumbnail_side

    side = thumbnail_side(images)

    def picture(case: Case, mask: np.ndarray, truth: np.ndarray) -> None:
        image = read_image(case.image) if with_image else grey_picture(*truth.shape)
        thumbnails.append(make_thumbnail(case.id, image, mask, truth, side))

    return picture


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
