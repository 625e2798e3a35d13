"""All pictures of all sources, one after the other: read, segmented, handed to their writers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
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
from gpsseg.predict.frames import Frame, note_failure, open_source
from gpsseg.predict.plan import Plan
from gpsseg.predict.segmenter import Done, Segmenter, stops_prediction
from gpsseg.processes import dealt_out, gathered

SHOWN = 10


def segment_all(
    segmenter: Segmenter,
    plans: Sequence[Plan],
    config: PredictConfig,
    label: str,
    failures: Failures,
    greys: Greys,
) -> list[Plan]:
    """Segment what is planned, and write it as it comes; several processes share it out.

    Args:
        segmenter: the network.
        plans: what is left to do, the same in every process.
        config: with the window and axis that are taken.
        label: what a mask marks.
        failures: is given every source that cannot be used; the others go on.
        greys: how the run's images were shown.

    Returns:
        What is finished now.

    Raises:
        DiskError: the disk is full, so that nothing more can be written.
    """
    reaches, flat, before = Reaches(greys), list[str](), len(failures)
    own = dealt_out(plans)
    try:
        settled = dataclasses.replace(config, batch_size=segmenter.batch_size)
        with memory_for("predicting", settled):
            _write(segmenter, _frames(own, config, label, failures, reaches, flat), own)
    except DiskError as error:
        raise error.again("give the same command with --resume: what is finished stays") from None
    reaches.found.update(gathered(reaches.found.items()))
    flat_slices = flat_note(gathered(flat), config.axis or "auto")
    for note in [*filter(None, [flat_slices]), *reaches.notes()]:
        say(note, style="yellow")
    _join_failures(failures, before, plans)
    finished = {plan.mask for plan in gathered(plan for plan in own if plan.finished)}
    return [plan for plan in plans if plan.mask in finished]


def _join_failures(failures: Failures, before: int, plans: Sequence[Plan]) -> None:
    """Let every process know what failed in all, in the order of the plans; say what was not."""
    own = failures[before:]
    places = {plan.source.path: i for i, plan in enumerate(plans)}
    of_all = gathered(own)
    for failure in of_all:
        if failure not in own:
            say(f"failed: {failure[1]}", style="yellow")
    if len(of_all) > len(own):
        of_all.sort(key=lambda failure: places.get(failure[0], len(places)))
    failures[before:] = of_all


def _frames(
    plans: Sequence[Plan],
    config: PredictConfig,
    label: str,
    failures: Failures,
    reaches: Reaches,
    flat: list[str],
) -> Iterator[Frame]:
    """All pictures of all sources; a source that cannot be read is reported, and the next comes."""
    axis = config.axis or "auto"
    for plan in plans:
        frame = None
        try:
            for frame in open_source(
                plan, failures, axis, config.window, label, reaches.greys, flat, reaches
            ):
                yield frame
        except Exception as error:  # whatever is wrong with one source, the next ones come
            if stops_all(error):
                raise
            if frame is None:
                note_failure(failures, plan.source.path, error)
            else:
                frame.writer.fail(error)


def _write(segmenter: Segmenter, frames: Iterable[Frame], plans: Sequence[Plan]) -> None:
    """Hand every result to its source's writer."""
    counts = [plan.source.frames for plan in plans]
    total = None if None in counts else sum(count or 0 for count in counts)
    done: Iterable[Done] = progress(segmenter.segment(frames), "predicting", total)
    for _, results in groupby(done, key=lambda result: result[0].writer):
        for frame, pixels, stripes in results:
            writer = frame.writer
            if writer.failed:
                continue
            try:
                writer.put(frame.index, pixels, stripes)
            except Exception as error:
                if stops_prediction(error, frame):
                    raise
                writer.fail(error)
        if writer.failed:
            continue
        try:
            writer.finish()
        except Exception as error:
            writer.fail(error)


def some_failed(failures: Failures, masks: int, output: Path) -> SomeFailedError:
    """The error that names what could not be segmented, after everything else was."""
    lines = [why for _, why in failures[:SHOWN]]
    if len(failures) > SHOWN:
        lines.append(f"... and {len(failures) - SHOWN} more.")
    error = SomeFailedError(
        f"{len(failures)} could not be segmented; {counted(masks, 'mask is', 'masks are')} in "
        f"{output}. Mend these and "
        "pass --resume:\n" + "\n".join(lines),
        failures,
    )
    error.everywhere = True
    return error
