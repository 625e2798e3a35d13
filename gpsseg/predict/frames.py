"""Open a source picture by picture, and take the results of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gpsseg.data.formats.beyond import Reaches
from gpsseg.data.formats.filenames import OVERLAYS
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.headers import pixel_count
from gpsseg.data.formats.images import read_image, read_pages
from gpsseg.data.formats.slicing import Slicing, slicing_of, to_rgb
from gpsseg.data.formats.video import ENDINGS as VIDEOS
from gpsseg.data.formats.video import read_video
from gpsseg.data.formats.volumes import Volume
from gpsseg.data.shown import read_shown, shown_range
from gpsseg.data.sources import Failures
from gpsseg.predict.plan import Plan
from gpsseg.predict.targets import FolderTarget, PictureTarget, Target, VolumeTarget
from gpsseg.predict.writer import Writer
from gpsseg.writing import make_folder

LARGE = 30 * 10**6  # pixels; while such a picture is read it takes up to 0.8 GB
AS_STORED = Slicing((0, 1, 2), ())
Reading = Callable[[], np.ndarray]  # of a picture: (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class Frame:
    """One picture to segment.

    Attributes:
        writers: of its source, those of the tasks that need it.
        index: its number within the source.
        read: gives it as (H, W, 3) uint8 RGB.
        large: whether to hold no other meanwhile.
    """

    writers: Sequence[Writer]
    index: int
    read: Callable[[], np.ndarray]
    large: bool = False

    def writer_of(self, task: int) -> Writer | None:
        """That of a task, if it needs the picture."""
        return next((each for each in self.writers if each.plan.task == task), None)

    def fail(self, error: BaseException) -> None:
        """Say to all that the source cannot be segmented, see ``Writer.fail``."""
        for writer in self.writers:
            writer.fail(error)


@dataclass(frozen=True)
class Film:
    """The pictures of a source that follow one another: a video's frames, a volume's slices.

    Attributes:
        writers: of the source, one of each plan.
        pictures: begins anew each time; each gives its picture as (H, W, 3) uint8 RGB.
        count: how many there are; None of a video, whose header may be wrong.
    """

    writers: Sequence[Writer]
    pictures: Callable[[], Iterable[Reading]]
    count: int | None


def open_source(
    plans: Sequence[Plan],
    failures: Failures,
    axis: str = "auto",
    window: tuple[float, float] | None = None,
    greys: Greys | None = None,
    flat: list[str] | None = None,
    reaches: Reaches | None = None,
) -> Iterator[Frame]:
    """Yield the pictures of a source, one at a time; those of a video that are done are left out.

    Args:
        plans: of the source, one of each task that it is shown to in this way.
        failures: for the writers.
        axis: as for ``find_slicing``.
        window: centre and width of the greys shown, for volumes and DICOM.
        greys: how the runs' images were shown; a window that is named goes before their own.
        flat: is given the names of volumes of a single slice in another plane than ``axis``.
        reaches: is given what pictures hold.

    Raises:
        UserError: the source cannot be read, or not to its end.
    """
    source, rule = plans[0].source, greys.of_pictures if greys else None
    if source.kind != "image" or source.headers:
        film = open_film(plans, failures, axis, window, greys, flat, reaches)
        yield from _missing(film.writers, film.pictures())
        return
    for plan in plans:
        make_folder(plan.mask.parent)
    writers = [Writer(plan, failures, *_targets(plan, PictureTarget)) for plan in plans]
    reading = partial(read_image, source.path, rule, reaches)
    yield Frame(writers, 0, reading, pixel_count(source.path) > LARGE)


def open_film(
    plans: Sequence[Plan],
    failures: Failures,
    axis: str = "auto",
    window: tuple[float, float] | None = None,
    greys: Greys | None = None,
    flat: list[str] | None = None,
    reaches: Reaches | None = None,
) -> Film:
    """Open a source of several pictures, or of DICOM; the arguments are those of ``open_source``.

    Raises:
        UserError: a volume cannot be read; a video may fail while its frames are taken.
    """
    source, rule = plans[0].source, greys.of_pictures if greys else None
    for plan in plans:
        make_folder(plan.mask.parent)
    if source.kind == "frames" and not source.headers:
        writers = [Writer(plan, failures, *_targets(plan, FolderTarget)) for plan in plans]
        video = source.path.suffix.lower() in VIDEOS

        def frames() -> Iterator[Reading]:
            read = read_video(source.path) if video else read_pages(source.path, rule, reaches)
            return (partial(_itself, pixels) for pixels in read)

        return Film(writers, frames, None if video else source.frames)
    volume = read_shown(source, window, greys)
    slicing = (
        slicing_of(volume, axis, [] if flat is None else flat)
        if source.kind == "volume"
        else AS_STORED
    )
    writers = [Writer(plan, failures, *_volume_targets(plan, volume, slicing)) for plan in plans]
    (low, high), slices = shown_range(source, volume, window, greys), slicing.view(volume.values)
    if reaches is not None and greys is not None and (low, high) == greys.whole:
        reaches.add(source.path, volume.values)

    def shown() -> Iterator[Reading]:
        return (partial(to_rgb, values, low, high, volume.inverted) for values in slices)

    return Film(writers, shown, len(slices))


def _itself(pixels: np.ndarray) -> np.ndarray:
    """A picture that is read already."""
    return pixels


def _missing(writers: Sequence[Writer], pictures: Iterable[Reading]) -> Iterator[Frame]:
    """The pictures that a writer does not have; where there is none, the source is finished."""
    left: set[int] = set()
    for index, read in enumerate(pictures):
        lacking = [writer for writer in writers if not writer.has(index)]
        if lacking:
            left |= {writer.plan.task for writer in lacking}
            yield Frame(lacking, index, read)
    for writer in writers:
        if writer.plan.task not in left:
            writer.finish()


Targets = tuple[Target, Target | None, Target | None, Target | None]


def _targets(plan: Plan, make: Callable[[Path], Target]) -> Targets:
    """Targets of the mask, the probability, the overlay and the uncertainty."""
    overlay: Target | None = None
    if plan.overlay is not None:
        folder = plan.source.kind != "image"
        overlay = FolderTarget(plan.overlay, OVERLAYS) if folder else PictureTarget(plan.overlay)
    soft, doubt = (
        None if path is None else make(path) for path in (plan.probability, plan.uncertainty)
    )
    return make(plan.mask), soft, overlay, doubt


def _volume_targets(plan: Plan, volume: Volume, slicing: Slicing) -> Targets:
    """The same for what comes as an array of slices or frames."""

    def make(path: Path) -> Target:
        if plan.source.kind == "volume" or path.suffix == ".dcm":
            return VolumeTarget(path, volume, slicing, plan.source, plan.segments)
        return FolderTarget(path) if plan.source.kind == "frames" else PictureTarget(path)

    return _targets(plan, make)
