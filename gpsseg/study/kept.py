"""Finished folds of a study that goes on: whether their images are as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from gpsseg.config.folder import StudyFolder
from gpsseg.config.study import StudyConfig
from gpsseg.console import progress, say
from gpsseg.data.case import Case, case_mask
from gpsseg.errors import UserError, counted, few
from gpsseg.evaluators.per_image import AGAIN, ImageRow, read_per_image
from gpsseg.faults import is_machines
from gpsseg.reading import BACK

ANEW = "Move that folder away, and start the study again."


@contextlib.contextmanager
def run_anew() -> Iterator[None]:
    """Let a fold's file that cannot be read say what to do: the fold is run once more.

    Raises:
        UserError: that one, with what to do.
    """
    try:
        yield
    except UserError as error:
        if type(error) is not UserError:  # such as of a full disk
            raise
        what = str(error).removesuffix(BACK).removesuffix(f"{AGAIN}.").rstrip()
        raise UserError(f"{what} {ANEW}") from None


def refuse_other_masks(config: StudyConfig, cases: Sequence[Case], written: Sequence[Case]) -> None:
    """Refuse finished folds that were scored on other masks; say which images have other groups.

    A mask is told by its size and by how many of its pixels are lesion, which stand by its scores.

    Args:
        config: of the study.
        cases: all of its images.
        written: the same with their names as they are written.

    Raises:
        UserError: masks changed, or scores cannot be read.
    """
    case_of = dict(zip((case.id for case in written), cases, strict=True))
    runs = [StudyFolder(config.output).run_of(number) for number in range(1, config.folds + 1)]
    scored = [run for run in runs if run.metrics.is_file() and run.per_image.is_file()]
    with run_anew():
        tested = {run: read_per_image(run.per_image)[1] for run in scored}
    rows = [row for its in tested.values() for row in its if row.id in case_of]
    _say_other_groups(rows, {case.id: case.group for case in written})
    if not rows:
        return
    with ThreadPoolExecutor() as pool:
        counts = pool.map(_counts, [case_of[row.id] for row in rows])
        found = list(progress(counts, "comparing masks", len(rows)))
    now = dict(zip((row.id for row in rows), found, strict=True))
    for run, its in tested.items():
        if other := [row.id for row in its if row.id in now and _differs(row, now[row.id])]:
            raise UserError(
                f"{run.path} was scored on other masks of {counted(len(other), 'image')} than are "
                f"there now: {few(other)}. Put the masks back; or move that folder away, and start "
                "the study again."
            )


def _differs(row: ImageRow, counts: tuple[int, int] | None) -> bool:
    """Whether an image was scored on another mask than one of these counts."""
    before = row.number("pixels"), row.number("truth_pixels")
    return None not in before and before != counts


def _counts(case: Case) -> tuple[int, int] | None:
    """How many pixels a mask has, and how many of them are lesion; None if it cannot be read."""
    try:
        mask = case_mask(case)
    except Exception as error:
        if is_machines(error):
            raise
        return None
    return int(mask.size), int(mask.sum())


def _say_other_groups(rows: Sequence[ImageRow], groups: dict[str, str | None]) -> None:
    """Say which images have another group than when their fold was tested."""
    if others := [row.id for row in rows if row.group != groups[row.id]]:
        say(
            f"{counted(len(others), 'image')} now {'has' if len(others) == 1 else 'have'} another "
            f"group than when the fold was tested: {few(others)}. The scores of all folds "
            "together are by the present groups, those of these folds by the former ones.",
            style="bold yellow",
        )
