"""What `predict` writes: which files come of which source, and how they are filled."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.data.formats.dicom_codes import Segment
from gpsseg.data.formats.filenames import (
    DOUBT,
    OVERLAY,
    OVERLAYS,
    PREDICTED,
    folds_case,
    holds_prediction,
)
from gpsseg.data.formats.volumes import volume_ending
from gpsseg.data.sources import Failures, Source
from gpsseg.errors import UserError
from gpsseg.faults import is_there
from gpsseg.predict.numbers import TABLE
from gpsseg.predict.targets import partial_folder

SAME = {  # formats of two files are written as one, those that are read only as NIfTI
    **{".nhdr": ".nrrd", ".mhd": ".mha"},
    **dict.fromkeys((".hdr", ".mgz", ".mgh", ".gipl", ".gipl.gz"), ".nii.gz"),
}
ENDING = {"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha"}


@dataclass(frozen=True)
class Plan:
    """Which files come of a source.

    Attributes:
        source: what is segmented.
        mask: a file, or of a video the folder of its frames' masks.
        probability, overlay, uncertainty: the same, where they are asked for.
        table: of the masks' numbers, where there is an uncertainty.
        task: the number of the run or study, of several, whose network it is.
        segments: what a mask's labels mean in a DICOM-SEG.
    """

    source: Source
    mask: Path
    probability: Path | None
    overlay: Path | None
    uncertainty: Path | None = None
    table: Path | None = None
    task: int = 0
    segments: tuple[Segment, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """Every file or folder that is planned."""
        planned = (self.mask, self.probability, self.overlay, self.uncertainty)
        return [path for path in planned if path is not None]

    @property
    def finished(self) -> bool:
        """Whether all is there; results appear under their names only when they are complete."""
        return all(is_there(path) for path in self.paths)


def goes_on(config: PredictConfig) -> bool:
    """Whether an earlier prediction is resumed: asked for, and one is there."""
    return config.resume and holds_prediction(config.output)


def plan_outputs(
    sources: Sequence[Source], config: PredictConfig, failures: Failures | None = None
) -> list[Plan]:
    """Name the results of every source.

    Args:
        sources: what is segmented.
        config: how results are written.
        failures: is given the sources that would write one file; these have no plan.

    Raises:
        UserError: all sources would write what another one writes or is, a file exists already
            (unless the prediction that wrote it is resumed), or a source cannot be written in the
            format asked for.
    """
    plans = [_plan(source, config) for source in sources]
    clashes = _clashes(plans) | _own_inputs(plans)
    if clashes and (failures is None or len(clashes) == len(plans)):
        raise UserError(next(iter(clashes.values())))
    if failures is not None:
        failures += [(plan.source.path, clashes[i]) for i, plan in enumerate(plans) if i in clashes]
    plans = [plan for i, plan in enumerate(plans) if i not in clashes]
    if not goes_on(config):
        _refuse_existing((path for plan in plans for path in plan.paths), config)
    return plans


def _clashes(plans: Sequence[Plan]) -> dict[int, str]:
    """Which plans would write what another one writes, and what to say of each."""
    fold = plans and folds_case(plans[0].mask.parent)

    def key(path: Path) -> Path:
        return Path(str(path).casefold()) if fold else path

    owners: dict[Path, list[int]] = {}
    for i, plan in enumerate(plans):
        for path in plan.paths:
            owners.setdefault(key(path), []).append(i)
    found: dict[int, str] = {}
    for i, plan in enumerate(plans):
        for path in plan.paths:
            others = [k for k in owners[key(path)] if k != i]
            if others:
                other = plans[others[0]].source.path.name
                found[i] = (
                    f"{plan.source.path} and {other} would both become {path.name}. Rename one."
                )
            above = next((f for f in path.parents if key(f) in owners), None)
            if above is not None:
                home = owners[key(above)][0]
                found[i] = (
                    f"{plans[home].source.path} would become the folder {above.name}, where the "
                    f"results of {plan.source.path} belong. Rename one."
                )
                found.setdefault(home, found[i])
    return found


def _own_inputs(plans: Sequence[Plan]) -> dict[int, str]:
    """Which plans would write what is segmented, and what to say of each."""
    files = {os.path.realpath(file) for plan in plans for file in plan.source.files}
    found = {}
    for i, plan in enumerate(plans):
        taken = next((path for path in plan.paths if os.path.realpath(path) in files), None)
        if taken is not None:
            found[i] = (
                f"{plan.source.path}: {taken} would take the place of an input. Name another "
                "--output."
            )
    return found


def _refuse_existing(paths: Iterable[Path], config: PredictConfig) -> None:
    for path in paths:
        for taken in (path, partial_folder(path)):
            if is_there(taken):
                fix = "Name another --output, or pass --resume to go on with what is missing."
                if config.resume:
                    fix = (
                        f"--resume goes on with a prediction, and {config.output} has no "
                        f"{PREDICTED} of one. Name another --output."
                    )
                raise UserError(f"{taken} exists already; gpsseg never overwrites. {fix}")


def _plan(source: Source, config: PredictConfig) -> Plan:
    seg = config.format == "dicom-seg"
    if seg and not source.headers:
        raise UserError(
            f"--format dicom-seg: {source.path} is not DICOM, so there is nothing to refer to. "
            "Leave --format out, or predict the DICOM files apart."
        )
    if seg and source.kind == "frames":
        raise UserError(
            f"--format dicom-seg: {source.path} holds frames without a place in space, which a "
            "DICOM-SEG cannot describe. Leave --format out; its masks become PNG."
        )
    many = source.kind == "frames"
    soft = "" if many else ".png"
    if source.kind == "volume":
        own = ".nrrd" if source.headers else volume_ending(source.path)
        soft = ENDING.get(config.format, SAME.get(own, own))
    mask = ".dcm" if seg else soft
    overlay = OVERLAYS if source.kind == "image" else ""

    def path(suffix: str) -> Path:
        return config.output / f"{source.name}{suffix}"

    return Plan(
        source,
        path(mask),
        path(f"_probability{soft}") if config.save_probabilities else None,
        path(f"{OVERLAY}{overlay}") if config.overlays else None,
        path(f"{DOUBT}{soft}") if config.uncertainty else None,
        config.output / TABLE if config.uncertainty else None,
    )
