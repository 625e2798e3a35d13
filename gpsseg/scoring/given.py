"""A folder of predictions that any tool made, against truth of one's own or a data set's."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpsseg.console import progress, say
from gpsseg.data.case import Case
from gpsseg.data.checks.notices import MaskFacts, level_notice
from gpsseg.data.checks.readable import first_of
from gpsseg.data.formats.distinct import listed
from gpsseg.data.formats.filenames import left_out
from gpsseg.data.formats.levels import grounds_of
from gpsseg.data.formats.maps import unread_files
from gpsseg.data.formats.readings import Rule, Survey, only_level, settle_reading, side_of
from gpsseg.data.formats.stored import Stored
from gpsseg.data.pairs import Pairs, pair
from gpsseg.errors import UserError, counted, few
from gpsseg.scoring.class_maps import ClassMaps, find_classes, read_numbers
from gpsseg.scoring.pair_checks import PairCheck, check_pair, largest, read_pair, truth_of


@dataclass(frozen=True)
class Pair:
    """A prediction and its truth.

    Attributes:
        values: (H, W) or (X, Y, Z), float in [0, 1], uint8 0..255 or bool, at the prediction's own
            size.
        truth: (H, W) or (X, Y, Z) bool.
        header: of the truth.
        classes: of values, 0 is background and n the n-th class; None where none are told apart.
    """

    values: np.ndarray
    truth: np.ndarray
    header: Stored
    classes: np.ndarray | None = None


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions, every file of which was read once.

    Attributes:
        place: option and folder, as messages name it.
        cases: the truth, in the order of scoring.
        pairs: which file is whose.
        axes: 2 for images, 3 for volumes.
        rule: how the predictions are read.
        true: how the files of the truth are read.
        moved: ids of volumes whose header disagrees with their truth's.
        truths: what the masks of the truth are like.
        labels: which values are foreground, of label maps; empty for masks and probabilities.
        parted: whether the predictions tell several labels apart.
        maps: how they tell a data set's classes apart; None where they do not.
    """

    place: str
    cases: Sequence[Case]
    pairs: Pairs
    axes: int
    rule: Rule
    true: Rule
    moved: tuple[str, ...] = ()
    truths: tuple[MaskFacts, ...] = ()
    labels: tuple[int, ...] = ()
    parted: bool = False
    maps: ClassMaps | None = None

    @property
    def soft(self) -> bool:
        """Whether they are probabilities; False for masks."""
        return bool(self.rule.scales)

    def read(self, case: Case) -> Pair:
        """A case's prediction and its truth; several files of a case are joined."""
        read = self.maps.read if self.maps else None
        truth, predicted = read_pair(case, self.pairs.all_of(case), bool(self.labels), read)
        marked, header = truth_of(case, truth, self.true)
        found = largest([self.rule.read(stored, path) for path, stored in predicted])
        return Pair(found, marked.mask, header, self._classes([s.values for _, s in predicted]))

    def _classes(self, stored: Sequence[np.ndarray]) -> np.ndarray | None:
        """Numbers of classes; where several files mark a pixel, the first one counts."""
        if self.maps is None:
            return None
        classes = np.zeros(stored[0].shape, np.uint8)
        for values in stored:
            for number, value in self.maps.told.items():
                classes[(values == value) & (classes == 0)] = number
        return classes


def open_predictions(
    folder: Path,
    cases: Sequence[Case],
    option: str = "--predictions",
    labels: tuple[int, ...] = (),
    names: tuple[str, ...] = (),
) -> Predictions:
    """Pair a folder with the truth, read every file once, and say what is worth knowing.

    Args:
        folder: of the predictions.
        cases: the truth.
        option: what messages call the folder.
        labels: which values are foreground, of label maps.
        names: of the data set's classes; as many labels are those of these classes.

    Raises:
        UserError: a prediction is missing, unclear, unreadable or out of range, or does not fit
            its truth (up to 10 files are named), or nothing holds the labels.
    """
    pairs = pair(folder, cases, option, masks_first=bool(labels or len(names) > 1))
    maps = None if labels else find_classes(folder, cases, pairs, names, option)
    if maps is None and not labels and len(names) > 1:
        pairs = pair(folder, cases, option)
    read = maps.read if maps else None
    values = tuple(maps.told.values()) if maps else labels
    with ThreadPoolExecutor() as pool:
        tasks = pool.map(lambda case: check_pair(case, pairs.all_of(case), values, read), cases)
        looks = list(progress(tasks, "checking predictions", len(cases)))
    faults = [(c.id, each.fault) for c, each in zip(cases, looks, strict=True) if each.fault]
    if faults:
        raise UserError(*first_of(faults).split("\n"))
    axes = {look.axes for look in looks}
    if len(axes) > 1:
        raise UserError(
            "Got images (2-D) and volumes (3-D) together, expected one kind. Score them apart."
        )
    place = f"{option} {folder}"
    surveys = [each for look in looks for each in look.surveys]
    seen = [look.truth for look in looks if look.truth]
    if maps:
        rule, true = Rule(values), Rule()
    elif labels:
        rule, true = _labelled(place, labels, looks, surveys)
    else:
        rule, notes = settle_reading(place, surveys)
        for note in notes:
            say(note, style="yellow")
        if not rule.scales:
            _say_levels(place, surveys)
        true = Rule(grounds=grounds_of([s.pair for s in seen if s.pair]))
    moved = tuple(case.id for case, look in zip(cases, looks, strict=True) if look.moved)
    truths = tuple(_grounded(each, true) for each in seen)
    parted = len(labels) > 1 and _parted(place, rule, true, surveys)
    if parted and rule.labels and len({*labels}) == len(names) and only_level(surveys) is None:
        maps = ClassMaps(names, labels, read_numbers)
    predictions = Predictions(
        place, cases, pairs, axes.pop(), rule, true, moved, truths, values, parted, maps
    )
    _say_notes(predictions, folder)
    return predictions


def _labelled(
    place: str, labels: tuple[int, ...], looks: Sequence[PairCheck], surveys: Sequence[Survey]
) -> tuple[Rule, Rule]:
    """How predictions and truth are read where labels were chosen.

    Raises:
        UserError: no truth holds one, or no file does; or only some are probability maps.
    """
    truths = [each for look in looks for each in look.truths]
    maps = [each for each in surveys if each.soft]
    rule, true = (
        _map_rule(place, maps, surveys) or side_of(labels, surveys),
        side_of(labels, truths),
    )
    masks = true is not None and not true.labels
    idle = masks and labels != (1,) and not maps and (rule is None or not rule.labels)
    if true is None or idle:
        held = sorted({value for each in (*truths, *surveys) for value in each.values or ()})
        raise UserError(
            f"--labels {' '.join(map(str, labels))}: none of {counted(len(truths), 'mask')} holds "
            f"such a value; the files hold {listed(held)}. Name others, or leave --labels out for "
            "masks of two levels."
        )
    level = only_level(surveys) if rule is None and true.labels else None
    if level is not None:
        rule = Rule((level,))
        say(
            f"note: {place}: no file holds the labels {listed(labels)}, all hold 0 and {level} "
            f"only: they are read as masks, {level} is foreground.",
            style="yellow",
        )
    elif rule is None:
        say(f"note: {place}: no file holds the labels {listed(labels)}.", style="yellow")
    elif true.labels:
        there = {value for each in truths for value in each.values or ()}
        if lacking := [label for label in labels if label not in there]:
            say(f"note: no mask holds the labels {listed(lacking)}.", style="yellow")
    further = {value for each in surveys for value in each.values or ()} - {0, *labels}
    if rule is not None and rule.labels and further:
        say(
            f"note: {place}: the values {listed(sorted(further))} are none of the labels, and "
            "count as background.",
            style="yellow",
        )
    return rule or Rule(labels), true


def _map_rule(place: str, maps: Sequence[Survey], surveys: Sequence[Survey]) -> Rule | None:
    """How probability maps are read where labels were chosen: all foreground is one; None of none.

    Raises:
        UserError: only some files are maps.
    """
    if not maps:
        return None
    if len(maps) < len(surveys):
        raise UserError(
            f"{place}: {len(maps)} of {counted(len(surveys), 'file')} are probability maps by "
            f"their names ({few(each.path.name for each in maps)}), expected masks of all images "
            "beside them, or none. Add those, or put the maps into a folder of their own."
        )
    rule, notes = settle_reading(place, surveys)
    for note in notes:
        say(note, style="yellow")
    return rule


def _parted(place: str, rule: Rule, true: Rule, surveys: Sequence[Survey]) -> bool:
    """Whether predictions tell the labels of the truth apart; says so where they do not."""
    flat = not rule.labels or only_level(surveys) is not None
    if flat and true.labels:
        say(
            f"note: {place}: masks of two levels and probability maps cannot tell labels apart: "
            "all labels are scored together, none by itself.",
            style="yellow",
        )
    return not (flat and true.labels)


def _grounded(seen: MaskFacts, rule: Rule) -> MaskFacts:
    """A look at a mask, by what is background in the whole set."""
    if seen.level is None and seen.ground in rule.grounds:
        return replace(seen, share=0.0, border=0.0)
    return seen


def _say_levels(place: str, surveys: Sequence[Survey]) -> None:
    """Say so if the foreground of some masks has another value than that of others."""
    values = [each.values[1] for each in surveys if each.values and len(each.values) == 2]
    for note in level_notice(values, f"files of {place}"):
        say(note, style="yellow")


def _say_notes(predictions: Predictions, folder: Path) -> None:
    extra, aside = predictions.pairs.extra, predictions.pairs.aside
    if extra:
        names = few(path.relative_to(folder) for path in extra)
        say(
            f"note: {predictions.place}: no image for {counted(len(extra), 'file')}: {names}",
            "yellow",
        )
    parts = [c.id for c in predictions.cases if c.id in predictions.pairs.more and not c.joined]
    if parts:
        what = counted(len(parts), "image lie in several files", "images lie in several files")
        say(
            f"note: {predictions.place}: the masks of {what}, which are joined: {few(parts)}",
            "yellow",
        )
    if left := left_out(unread_files(folder), folder):
        say(f"{left} of {predictions.place}", "yellow")
    if aside:
        names = few(path.relative_to(folder) for path in aside)
        one, others = "mask", "probability maps"
        if predictions.labels:
            one, others = "probability map", "masks"
        what = counted(len(aside), f"{one} beside {others} is", f"{one}s beside {others} are")
        say(f"note: {what} not used: {names}", "yellow")
    if predictions.moved:
        say(
            f"note: the headers of {counted(len(predictions.moved), 'volume')} place them "
            f"elsewhere than their truth: {few(predictions.moved)}. Voxels are compared as "
            "stored, with the truth's spacing.",
            "yellow",
        )
