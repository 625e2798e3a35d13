"""The pictures of what was dropped, as predict reads them for a run; and the mask of all."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.config.predict import PredictConfig
from gpsseg.data.formats.beyond import Reaches
from gpsseg.data.formats.slicing import flat_note
from gpsseg.data.sources import Failures
from gpsseg.demo.shown import mask_of
from gpsseg.demo.tasks import DemoTask
from gpsseg.demo.upload import Dropped
from gpsseg.errors import UserError
from gpsseg.predict.frames import Frame, open_source
from gpsseg.predict.options import as_trained
from gpsseg.predict.plan import plan_outputs
from gpsseg.predict.reading import Reader
from gpsseg.writing import remove_folder

RESULTS = "results"
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class OpenedPictures:
    """The pictures of what was dropped.

    Attributes:
        task: the place of the task that they were read for.
        frames: them.
        failures: is given what goes wrong when they are segmented together.
        reaches: what they hold beside the run's range, filled as they are read.
        note: on how they were cut; empty where there is nothing to say.
    """

    task: int
    frames: Sequence[Frame]
    failures: Failures
    reaches: Reaches
    note: str

    @property
    def notes(self) -> list[str]:
        """What the visitor is to know of them."""
        return [note for note in (self.note, *self.reaches.notes()) if note]


def open_pictures(task: DemoTask, number: int, dropped: Dropped, folder: Path) -> OpenedPictures:
    """Open what was dropped for a task.

    Args:
        task: whose run says how greys are shown, and volumes cut.
        number: its place.
        dropped: to open.
        folder: of the visitor.

    Raises:
        UserError: it cannot be read, or holds no picture.
    """
    network, source = task.network, dropped.source
    results = folder / RESULTS
    remove_folder(results)
    config = PredictConfig(run=(network.folder,), input=(source.path,), output=results)
    config = as_trained(config, network.greys, [source], task.name)
    (plan,) = plan_outputs([source], config)
    plan = dataclasses.replace(plan, mask=_called_mask(plan.mask, source.name))
    failures: Failures = []
    reaches, flat = Reaches(network.greys), list[str]()
    axis = config.axis or "auto"
    frames = list(open_source([plan], failures, axis, config.window, network.greys, flat, reaches))
    if not frames:
        raise UserError(f"{dropped.name} holds no picture. Drop another file.")
    return OpenedPictures(number, frames, failures, reaches, flat_note(flat, axis))


def _called_mask(place: Path, name: str) -> Path:
    """Where a mask goes, so that nobody takes it for the picture that it is of."""
    return place.with_name(f"{name}_mask{place.name.removeprefix(name)}")


def mask_of_all(opened: OpenedPictures, task: DemoTask, threshold: float, told: Told) -> Path:
    """Segment all pictures in the batches that ``predict`` takes, and write them as it does.

    Args:
        opened: of the task.
        task: whose network is asked.
        threshold: of the probability of foreground.
        told: is told how many pictures of how many are done; may raise to end it.

    Returns:
        The file: of a volume in its format, of pages and frames a ZIP of PNGs.

    Raises:
        UserError: a picture cannot be read or segmented.
    """
    frames, segmenter = opened.frames, task.network.segmenter
    (writer,), size, done = frames[0].writers, segmenter.batch_size, 0
    reader = Reader([(segmenter.way, segmenter.prepare)], None, 2 * size)
    pictures = iter(reader.read(frames))
    while batch := list(itertools.islice(pictures, size)):
        told(done, len(frames))
        for picture, stripes in segmenter.segment(batch):
            whole = np.concatenate([stripe.probability for stripe in stripes], axis=-2)
            writer.mask.put(picture.frame.index, mask_of(whole, threshold))
        done += len(batch)
    if opened.failures:
        raise UserError(opened.failures[-1][1])
    place = writer.plan.mask
    if writer.plan.source.kind != "frames":
        writer.mask.finish()
        return place
    remove_folder(place)
    writer.mask.finish()
    return Path(shutil.make_archive(str(place), "zip", place))
