"""Where the pictures of one source go: a file, a folder of frames, a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gpsseg import __version__
from gpsseg.data.formats.dicom_codes import Segment
from gpsseg.data.formats.dicom_seg import write_dicom_seg
from gpsseg.data.formats.images import save_picture
from gpsseg.data.formats.slicing import Slicing
from gpsseg.data.formats.volume_files import write_volume
from gpsseg.data.formats.volumes import Volume
from gpsseg.data.sources import Source
from gpsseg.writing import make_folder, remove_folder, rename_folder


def partial_folder(path: Path) -> Path:
    """Where a folder of frames grows until it is complete."""
    return path.with_name(f"{path.name}.partial")


class Target(Protocol):
    """Takes the pictures of one source one by one; what has its name already stays as it is."""

    def put(self, index: int, picture: np.ndarray) -> None:
        """Take one picture: (H, W) bool or uint8 0..255, or (H, W, 3) uint8 RGB."""

    def finish(self) -> None:
        """All pictures have come."""


@dataclass(frozen=True)
class PictureTarget:
    """One picture in one file."""

    path: Path

    def put(self, index: int, picture: np.ndarray) -> None:
        """See ``Target.put``: it is written."""
        if not self.path.exists():
            save_picture(self.path, picture)

    def finish(self) -> None:
        """There is nothing left to do."""


@dataclass(frozen=True)
class FolderTarget:
    """Numbered pictures in a folder, which has its name when it is complete."""

    path: Path
    ending: str = ".png"

    def name(self, index: int) -> str:
        """What the file of a frame is called."""
        return f"{index:06d}{self.ending}"

    def place(self, index: int) -> Path:
        """The file of a frame, while the folder is not complete."""
        return partial_folder(self.path) / self.name(index)

    def put(self, index: int, picture: np.ndarray) -> None:
        """See ``Target.put``; the folder is made for the first: a failed source leaves none."""
        make_folder(partial_folder(self.path))
        save_picture(self.place(index), picture)

    def finish(self) -> None:
        """Give the folder its name; one that has it already is complete, and stays."""
        partial = make_folder(partial_folder(self.path))  # a volume may have no overlay
        if self.path.exists():
            remove_folder(partial)
        else:
            rename_folder(partial, self.path)


class VolumeTarget:
    """The slices of a volume, put back where they were cut from.

    Args:
        path: of the result; ends in .nii, .nii.gz, .nrrd, .mha, or .dcm for a DICOM-SEG.
        volume: gives the grid.
        slicing: how it was cut.
        source: whose mask it is.
        segments: what the labels of a DICOM-SEG mean.
    """

    def __init__(
        self,
        path: Path,
        volume: Volume,
        slicing: Slicing,
        source: Source,
        segments: Sequence[Segment] = (),
    ):
        self.path, self.volume, self.source, self.segments = path, volume, source, segments
        self.values = np.zeros(volume.shape, np.uint8)
        self.slices = slicing.view(self.values)

    def put(self, index: int, picture: np.ndarray) -> None:
        """See ``Target.put``; a mask is stored as 0 and 1, labels as they are."""
        self.slices[index] = picture

    def finish(self) -> None:
        """Write the volume."""
        if self.path.exists():
            return
        if self.path.suffix == ".dcm":
            files = [header.path for header in self.source.headers]
            write_dicom_seg(self.path, self.values, files, self.segments, __version__)
        else:
            write_volume(self.path, self.values, self.volume)
