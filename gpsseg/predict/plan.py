"""What `predict` writes: which files come of which source, and how they are filled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gpsseg.config.predict import PredictConfig
from gpsseg.data.formats.dicom_seg import write_dicom_seg
from gpsseg.data.formats.slicing import Slicing
from gpsseg.data.formats.volumes import Volume, volume_ending, write_volume
from gpsseg.data.sources import Failures, Source
from gpsseg.errors import UserError
from gpsseg.files import replacing

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
        probability, overlay: the same, where they are asked for.
    """

    source: Source
    mask: Path
    probability: Path | None
    overlay: Path | None

    @property
    def paths(self) -> list[Path]:
        """Every file or folder that is planned."""
        return [path for path in (self.mask, self.probability, self.overlay) if path is not None]

    @property
    def finished(self) -> bool:
        """Whether all is there; results appear under their names only when they are complete."""
        return all(_exists(path) for path in self.paths)


def plan_outputs(
    sources: Sequence[Source], config: PredictConfig, failures: Failures | None = None
) -> list[Plan]:
    """Name the results of every source.

    Args:
        sources: what is segmented.
        config: how results are written.
        failures: is given the sources that would write one file; these have no plan.

    Raises:
        UserError: all sources would write what another one writes, a file exists
            already (unless the prediction is resumed), or a source cannot be written in the format
            asked for.
    """
    plans = [_plan(source, config) for source in sources]
    clashes = _clashes(plans)
    if clashes and (failures is None or len(clashes) == len(plans)):
        raise UserError(next(iter(clashes.values())))
    if failures is not None:
        failures += [(plan.source.path, clashes[i]) for i, plan in enumerate(plans) if i in clashes]
    plans = [plan for i, plan in enumerate(plans) if i not in clashes]
    if not config.resume:
        _refuse_existing(path for plan in plans for path in plan.paths)
    return plans


def _clashes(plans: Sequence[Plan]) -> dict[int, str]:
    """Which plans would write what another one writes, and what to say of each."""
    owners: dict[Path, list[int]] = {}
    for i, plan in enumerate(plans):
        for path in plan.paths:
            owners.setdefault(path, []).append(i)
    found: dict[int, str] = {}
    for i, plan in enumerate(plans):
        for path in plan.paths:
            others = [k for k in owners[path] if k != i]
            if others:
                other = plans[others[0]].source.path.name
                found[i] = (
                    f"{plan.source.path} and {other} would both become {path.name}. Rename one."
                )
            above = next((f for f in path.parents if f in owners), None)
            if above is not None:
                home = owners[above][0]
                found[i] = (
                    f"{plans[home].source.path} would become the folder {above.name}, where the "
                    f"results of {plan.source.path} belong. Rename one."
                )
                found.setdefault(home, found[i])
    return found


def _exists(path: Path) -> bool:
    """Whether something is there; where a name is too long for the disk, nothing is."""
    try:
        return path.exists()
    except OSError:
        return False


def _refuse_existing(paths: Iterable[Path]) -> None:
    for path in paths:
        for taken in (path, _partial(path)):
            if _exists(taken):
                raise UserError(
                    f"{taken} exists already; gpsseg never overwrites. Name another --output, or "
                    "pass --resume to go on with what is missing."
                )


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
    overlay = ".jpg" if source.kind == "image" else ""

    def path(suffix: str) -> Path:
        return config.output / f"{source.name}{suffix}"

    return Plan(
        source,
        path(mask),
        path(f"_probability{soft}") if config.save_probabilities else None,
        path(f"_overlay{overlay}") if config.overlays else None,
    )


def _partial(path: Path) -> Path:
    """Where a folder of frames grows until it is complete."""
    return path.with_name(f"{path.name}.partial")


class Target(Protocol):
    """Takes the pictures of one source one by one."""

    def put(self, index: int, picture: np.ndarray) -> None:
        """Take one picture: (H, W) bool or uint8 0..255, or (H, W, 3) uint8 RGB."""

    def finish(self) -> None:
        """All pictures have come."""


@dataclass(frozen=True)
class PictureTarget:
    """One picture in one file."""

    path: Path

    def put(self, index: int, picture: np.ndarray) -> None:
        """Write it."""
        save_picture(self.path, picture)

    def finish(self) -> None:
        """There is nothing left to do."""


@dataclass(frozen=True)
class FolderTarget:
    """Numbered pictures in a folder, which has its name when it is complete."""

    path: Path
    ending: str = ".png"

    def place(self, index: int) -> Path:
        """The file of a frame, while the folder is not complete."""
        return _partial(self.path) / f"{index:06d}{self.ending}"

    def put(self, index: int, picture: np.ndarray) -> None:
        """Write one; the folder is made for the first, so that a failed source leaves none."""
        _partial(self.path).mkdir(parents=True, exist_ok=True)
        save_picture(self.place(index), picture)

    def finish(self) -> None:
        """Give the folder its name; one that has it already is complete, and stays."""
        _partial(self.path).mkdir(parents=True, exist_ok=True)  # a volume without any overlay
        if self.path.exists():
            shutil.rmtree(_partial(self.path))
        else:
            os.replace(_partial(self.path), self.path)


class VolumeTarget:
    """The slices of a volume, put back where they were cut from.

    Args:
        path: of the result; ends in .nii, .nii.gz, .nrrd, .mha, or .dcm for a DICOM-SEG.
        volume: gives the grid.
        slicing: how it was cut.
        source: whose mask it is.
        label: what the mask marks.
    """

    def __init__(self, path: Path, volume: Volume, slicing: Slicing, source: Source, label: str):
        self.path, self.volume, self.source, self.label = path, volume, source, label
        self.values = np.zeros(volume.shape, np.uint8)
        self.slices = slicing.view(self.values)

    def put(self, index: int, picture: np.ndarray) -> None:
        """Take one slice; a mask is stored as 0 and 1, labels as they are."""
        self.slices[index] = picture

    def finish(self) -> None:
        """Write the volume."""
        if self.path.suffix == ".dcm":
            from gpsseg import __version__

            files = [header.path for header in self.source.headers]
            write_dicom_seg(self.path, self.values > 0, files, self.label, __version__)
        else:
            write_volume(self.path, self.values, self.volume)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture by its ending, atomically; a mask (bool) as 0 and 255."""
    from PIL import Image

    values = picture.astype(np.uint8) * 255 if picture.dtype == bool else picture
    with replacing(path) as partial:
        Image.fromarray(values).save(partial, quality=90)
