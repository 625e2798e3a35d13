"""All pictures of all sources, one after the other: read, segmented, handed to their writers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.console import progress, say
from gpsseg.data.formats.beyond import Reaches
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.slicing import flat_note
from gpsseg.data.sources import Failures
from gpsseg.errors import SomeFailedError, counted
from gpsseg.faults import DiskError, stops_all
from gpsseg.memory import memory_for
from gpsseg.predict.frames import Frame, open_film, open_source
from gpsseg.predict.lanes import Lane
from gpsseg.predict.numbers import FRAMES
from gpsseg.predict.plan import Plan
from gpsseg.predict.propagate import follow
from gpsseg.predict.reading import Reader
from gpsseg.predict.tasks import Task
from gpsseg.predict.writer import note_failure
from gpsseg.processes import dealt_out, gathered

MOST_TOLD = 10


@dataclass(frozen=True)
class Way:
    """How sources are opened, and for which tasks.

    Attributes:
        tasks: their numbers.
        config: of one of them, with the window and axis that are taken.
        greys: how the runs' images were shown.
        reaches: gathers what pictures hold.
        flat: gathers the names of volumes of a single slice in another plane than the axis.
    """

    tasks: Sequence[int]
    config: PredictConfig
    greys: Greys
    reaches: Reaches
    flat: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What is worth a line, once all processes are done."""
        self.reaches.found.update(gathered(self.reaches.found.items()))
        flat = flat_note(gathered(self.flat), self.config.axis or "auto")
        return [*filter(None, [flat]), *self.reaches.notes()]


def segment_all(tasks: Sequence[Task], failures: Failures) -> list[Plan]:
    """Segment what is planned, and write it as it comes; several processes share it out.

    Every picture is read once for all tasks that it is shown to in one way.

    Args:
        tasks: the same in every process.
        failures: is given every source that cannot be used; the others go on.

    Returns:
        What is finished now.

    Raises:
        DiskError: the disk is full, so that nothing more can be written.
    """
    ways, before = _ways(tasks), len(failures)
    own = dealt_out(_by_source(tasks))
    config = tasks[0].config
    if config.propagate is None:
        most = max(task.segmenter.batch_size for task in tasks)
        config = dataclasses.replace(config, batch_size=most)
    try:
        with memory_for("predicting", config):
            _write(tasks, own, ways, failures)
    except DiskError as error:
        raise error.again("give the same command with --resume: what is finished stays") from None
    for note in dict.fromkeys(note for way in ways for note in way.notes()):
        say("note:", style="yellow", place=note.removeprefix("note: "))
    plans = [plan for task in tasks for plan in task.todo]
    _join_failures(failures, before, plans)
    ours = (plan for same in own for plan in same)
    finished = {plan.mask for plan in gathered(plan for plan in ours if plan.finished)}
    return [plan for plan in plans if plan.mask in finished]


def _ways(tasks: Sequence[Task]) -> list[Way]:
    """The ways in which the tasks open a source; most often one."""
    same: dict[Hashable, list[int]] = {}
    for number, task in enumerate(tasks):
        shown = dataclasses.replace(task.greys, labels=())
        key = task.config.axis, task.config.window, repr(shown)
        same.setdefault(key, []).append(number)
    firsts = [(numbers, tasks[numbers[0]]) for numbers in same.values()]
    return [Way(numbers, one.config, one.greys, Reaches(one.greys)) for numbers, one in firsts]


def _by_source(tasks: Sequence[Task]) -> list[list[Plan]]:
    """What is to be written of each source that is left to any task."""
    of_all = [dict(zip(task.left, task.todo, strict=True)) for task in tasks]
    return [
        [plans[i] for plans in of_all if i in plans]
        for i in sorted({i for plans in of_all for i in plans})
    ]


def _join_failures(failures: Failures, before: int, plans: Sequence[Plan]) -> None:
    """Let every process know what failed in all, in the order of the plans; say what was not."""
    own = failures[before:]
    places = {plan.source.path: i for i, plan in enumerate(plans)}
    of_all = gathered(own)
    for failure in of_all:
        if failure not in own:
            say("failed:", style="yellow", place=failure[1])
    if len(of_all) > len(own):
        of_all.sort(key=lambda failure: places.get(failure[0], len(places)))
    failures[before:] = of_all


def _frames(
    sources: Sequence[Sequence[Plan]], ways: Sequence[Way], failures: Failures
) -> Iterator[Frame]:
    """All pictures of all sources; a source that cannot be read is reported, and the next comes."""
    for plans in sources:
        together: dict[str, list[Plan]] = {}
        first: dict[str, Way] = {}
        for plan in plans:
            way = next(way for way in ways if plan.task in way.tasks)
            pictures = plan.source.kind != "volume" and not plan.source.headers
            key = repr(way.greys.of_pictures if pictures else way.tasks)
            together.setdefault(key, []).append(plan)
            first.setdefault(key, way)
        for key, same in together.items():
            yield from _opened(same, first[key], failures)


def _opened(plans: Sequence[Plan], way: Way, failures: Failures) -> Iterator[Frame]:
    """The pictures of a source, opened in one way."""
    frame, config = None, way.config
    try:
        for frame in open_source(
            plans, failures, config.axis or "auto", config.window, way.greys, way.flat, way.reaches
        ):
            yield frame
    except Exception as error:  # whatever is wrong with one source, the next ones come
        if stops_all(error):
            raise
        if frame is None:
            note_failure(failures, plans[0].source.path, error)
        else:
            frame.fail(error)


def _write(
    tasks: Sequence[Task],
    sources: Sequence[Sequence[Plan]],
    ways: Sequence[Way],
    failures: Failures,
) -> None:
    """Lead every picture through all tasks that need it."""
    if tasks[0].propagation is not None:
        steps = _followed(tasks, sources, ways, failures)
    else:
        steps = _through(tasks, _frames(sources, ways, failures))
    counts = [plan.source.frames for plans in sources for plan in plans]
    total = None if None in counts else sum(count or 0 for count in counts)
    for _ in progress(steps, "predicting", total):
        pass


def _followed(
    tasks: Sequence[Task],
    sources: Sequence[Sequence[Plan]],
    ways: Sequence[Way],
    failures: Failures,
) -> Iterator[None]:
    """Yield once for every frame that a mask was followed into; one source after the other."""
    for plan in (plan for plans in sources for plan in plans):
        task = tasks[plan.task]
        way = next(way for way in ways if plan.task in way.tasks)
        shown = task.config.axis or "auto", task.config.window, way.greys, way.flat, way.reaches
        film = functools.partial(open_film, [plan], failures, *shown)
        assert task.propagation is not None
        table = task.config.output / FRAMES
        yield from follow(plan, film, task.segmenter, task.propagation, table, failures)


def _through(tasks: Sequence[Task], frames: Iterable[Frame]) -> Iterator[None]:
    """Yield once for every picture that is through a lane."""
    segmenters = [task.segmenter for task in tasks]
    depth = 2 * max(segmenter.batch_size for segmenter in segmenters)
    reader = Reader([(each.way, each.prepare) for each in segmenters], segmenters[0].tile, depth)
    lanes = [Lane(number, segmenter) for number, segmenter in enumerate(segmenters)]
    for shown in reader.read(frames):
        for lane in lanes:
            yield from lane.take(shown)
        del shown
    for lane in lanes:
        yield from lane.end()


def some_failed(failures: Failures, masks: int, output: Path) -> SomeFailedError:
    """The error that names what could not be segmented, after everything else was."""
    lines = [why for _, why in failures[:MOST_TOLD]]
    if len(failures) > MOST_TOLD:
        lines.append(f"... and {len(failures) - MOST_TOLD} more.")
    error = SomeFailedError(
        f"{len(failures)} could not be segmented; {counted(masks, 'mask is', 'masks are')} in "
        f"{output}. Mend these and "
        "pass --resume:\n" + "\n".join(lines),
        failures,
    )
    error.everywhere = True
    return error
