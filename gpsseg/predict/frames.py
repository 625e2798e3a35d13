"""Open a source picture by picture, and take the results of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from gpsseg.console import say
from gpsseg.data.formats.beyond import Reaches
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.headers import pixel_count
from gpsseg.data.formats.images import read_image, read_pages
from gpsseg.data.formats.slicing import Slicing, slicing_of, to_rgb
from gpsseg.data.formats.video import ENDINGS as VIDEOS
from gpsseg.data.formats.video import read_video
from gpsseg.data.formats.volumes import Volume
from gpsseg.data.shown import read_shown, shown_range
from gpsseg.data.sources import Failures
from gpsseg.errors import one_line
from gpsseg.evaluators import foreground, label_map
from gpsseg.evaluators.uncertainty import SCALE, Agreement, disagreement
from gpsseg.faults import DiskError, fault_of, stops_all
from gpsseg.predict.numbers import note_number
from gpsseg.predict.plan import Plan
from gpsseg.predict.stripes import Stripe
from gpsseg.predict.targets import FolderTarget, PictureTarget, Target, VolumeTarget
from gpsseg.report.overlays import draw_overlay
from gpsseg.writing import make_folder

LARGE = 30 * 10**6  # pixels; while such a picture is read it takes up to 0.8 GB
AS_STORED = Slicing((0, 1, 2), ())


@dataclass(eq=False)
class Writer:
    """Takes the probability map of every picture of one source.

    Attributes:
        plan: what is written.
        failures: is given (path, why) if something goes wrong.
        mask, probability, overlay, uncertainty: where pictures go.
        failed: whether the results are not to appear under their names.
    """

    plan: Plan
    failures: Failures
    mask: Target
    probability: Target | None = None
    overlay: Target | None = None
    uncertainty: Target | None = None
    failed: bool = field(default=False, init=False)
    _agreement: Agreement = field(default_factory=Agreement, init=False)

    @property
    def _beside(self) -> list[Target]:
        """Where pictures go besides the mask."""
        others = (self.overlay, self.probability, self.uncertainty)
        return [target for target in others if target is not None]

    def has(self, index: int) -> bool:
        """Whether a frame's results are there already, from a prediction that was stopped."""
        targets = (*self._beside, self.mask)
        return all(isinstance(t, FolderTarget) and t.place(index).exists() for t in targets)

    def put(self, index: int, pixels: np.ndarray | None, stripes: Iterable[Stripe]) -> None:
        """Take one picture.

        Args:
            index: its number within the source.
            pixels: (H, W, 3) uint8 RGB, what the network was shown; for the overlay.
            stripes: of its probability map, from top to bottom; >= 0.5 is foreground. Of several
                classes labels are written, see ``label_map``.
        """
        rows: list[tuple[np.ndarray | None, ...]] = []
        for stripe in stripes:
            labels = label_map(stripe.probability) if stripe.probability.ndim == 3 else None
            part = foreground(stripe.probability)
            shades = None if self.probability is None else _levels(part, 255)
            rows.append((labels, part >= 0.5, shades, self._doubt(stripe)))
        labels, mask, shades, doubt = map(_joined, zip(*rows, strict=True))
        assert mask is not None
        if self.overlay is not None and (mask.any() or self.plan.source.kind != "volume"):
            assert pixels is not None
            self.overlay.put(index, draw_overlay(pixels, mask))
        if self.probability is not None:
            assert shades is not None
            self.probability.put(index, shades)
        if self.uncertainty is not None:
            assert doubt is not None
            self.uncertainty.put(index, doubt)
            self._note(index)
        self.mask.put(index, mask if labels is None else labels)

    def _doubt(self, stripe: Stripe) -> np.ndarray | None:
        """The levels of a stripe's uncertainty, whose masks are counted."""
        if self.uncertainty is None:
            return None
        assert stripe.members is not None
        self._agreement.add(stripe.members)
        return _levels(disagreement(stripe.members), SCALE)

    def _note(self, index: int | None = None) -> None:
        """Keep the number of a picture, or of a volume when all of its slices have come."""
        if self.plan.table is None or (index is not None) == (self.plan.source.kind == "volume"):
            return
        mask = self.plan.mask
        if isinstance(self.mask, FolderTarget) and index is not None:
            mask = mask / self.mask.name(index)
        note_number(self.plan.table, mask, self._agreement.uncertainty)
        self._agreement = Agreement()

    def finish(self) -> None:
        """All pictures have come. The mask comes last: where it is, all is."""
        if self.plan.source.kind == "volume":
            self._note()
        for target in (*self._beside, self.mask):
            target.finish()

    def fail(self, error: BaseException) -> None:
        """Say that the source cannot be segmented.

        Raises:
            DiskError: the disk is full; nothing else could be written either.
        """
        if stops_all(error):
            raise error
        if not self.failed:
            note_failure(self.failures, self.plan.source.path, error)
        self.failed = True


def _levels(values: np.ndarray, scale: int) -> np.ndarray:
    """Numbers as the levels of an 8-bit picture."""
    return (values * scale).round().astype(np.uint8)


def _joined(rows: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """A picture of its stripes; None if there is none of these."""
    there = [stripe for stripe in rows if stripe is not None]
    return np.concatenate(there) if there else None


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


def note_failure(failures: Failures, path: Path, error: BaseException) -> None:
    """Say and remember that a file cannot be used, and name it."""
    why = error.what if isinstance(error, DiskError) else fault_of(path, error)
    name = one_line(str(path))
    if name not in why:
        why = f"{name}: {why}"
    if (path, why) not in failures:  # one task has said so
        failures.append((path, why))
        say("failed:", style="yellow", place=why)


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
        reaches: is given what pictures hold that the runs have a range for.

    Raises:
        UserError: the source cannot be read, or not to its end.
    """
    source, rule = plans[0].source, greys.of_pictures if greys else None
    for plan in plans:
        make_folder(plan.mask.parent)
    if source.kind == "image" and not source.headers:
        writers = [Writer(plan, failures, *_targets(plan, PictureTarget)) for plan in plans]
        reading = partial(read_image, source.path)
        if rule is not None:
            reading = partial(reading, greys=rule, reaches=reaches)
        yield Frame(writers, 0, reading, pixel_count(source.path) > LARGE)
        return
    if source.kind == "frames" and not source.headers:
        writers = [Writer(plan, failures, *_targets(plan, FolderTarget)) for plan in plans]
        video = source.path.suffix.lower() in VIDEOS
        read = read_video(source.path) if video else read_pages(source.path, rule, reaches)
        pictures = (lambda pixels=pixels: pixels for pixels in read)
        yield from _missing(writers, pictures)
        return
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
    shown = (partial(to_rgb, values, low, high, volume.inverted) for values in slices)
    yield from _missing(writers, shown)


def _missing(
    writers: Sequence[Writer], pictures: Iterable[Callable[[], np.ndarray]]
) -> Iterator[Frame]:
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
        overlay = FolderTarget(plan.overlay, ".jpg") if folder else PictureTarget(plan.overlay)
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
