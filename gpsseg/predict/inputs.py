"""What a prediction is asked to segment: found, named, and planned."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.effects import idle, is_given
from gpsseg.config.predict import PredictConfig
from gpsseg.console import say
from gpsseg.data.formats.dicom_seg import require_highdicom
from gpsseg.data.formats.filenames import PREDICTED, as_named, holds_prediction, left_out
from gpsseg.data.sources import Failures, Source, find_sources
from gpsseg.data.walk import base_of, first_medium
from gpsseg.errors import UserError
from gpsseg.predict.finished import damage
from gpsseg.predict.plan import Plan, goes_on, plan_outputs
from gpsseg.processes import by_main, of_main


@dataclass(frozen=True)
class Inputs:
    """What was found.

    Attributes:
        sources: what can be read.
        failures: what cannot, with why; grows as more fails.
        plans: what each task writes, of the same sources in the same order.
    """

    sources: Sequence[Source]
    failures: Failures
    plans: Sequence[Sequence[Plan]]

    @functools.cached_property
    def left(self) -> list[list[int]]:
        """Of each task, what was not finished when the main process looked: places in plans."""
        return of_main(
            [[i for i, plan in enumerate(own) if not plan.finished] for own in self.plans]
        )

    @functools.cached_property
    def todo(self) -> list[Plan]:
        """What any task has left to do."""
        return [own[i] for own, left in zip(self.plans, self.left, strict=True) for i in left]


def find_inputs(config: PredictConfig, tasks: Sequence[PredictConfig]) -> Inputs:
    """Find and plan everything, and say what is left out, unreadable or finished already.

    Args:
        config: as given.
        tasks: what each task would be asked by itself.

    Raises:
        UserError: there is nothing to segment, or a mask exists already.
    """
    rest: list[Path] = []
    earlier: list[Path] = []
    by_main(functools.partial(_refuse_images_there, tasks))
    sources, failures = find_sources(config.input, config.output, rest, earlier)
    _refuse_among_images(config, tasks, sources)
    _say_earlier(config, sources, earlier)
    _refuse_idle(config, sources, failures)
    sources = _of_many(config, sources, failures)
    if left := left_out(rest, config.input[0]):
        say("note:", style="yellow", place=left.removeprefix("note: "))
    plans = []
    for number, own in enumerate(tasks):
        clashes: Failures = []  # the same in each
        planned = plan_outputs(sources, own, clashes)
        plans.append([dataclasses.replace(plan, task=number) for plan in planned])
    damaged = by_main(functools.partial(_damaged, tasks, plans))
    of_all = sum(map(len, plans))
    plans = [[plan for i, plan in enumerate(own) if i not in damaged] for own in plans]
    inputs = Inputs(sources, [*failures, *clashes, *damaged.values()], plans)
    if config.format == "dicom-seg":
        require_highdicom()
    for _, why in inputs.failures:
        say("failed:", style="yellow", place=why)
    if config.resume and not any(map(goes_on, tasks)):
        place = f"{config.output} holds no prediction to go on with, and one begins there"
        say("note:", style="yellow", place=place)
    if finished := sum(map(len, plans)) - len(inputs.todo):
        say(f"{finished} of {of_all} are finished already.")
    return inputs


def _damaged(
    tasks: Sequence[PredictConfig], plans: Sequence[Sequence[Plan]]
) -> dict[int, tuple[Path, str]]:
    """Which sources have results, of any task, that are gone on with and not whole; and why."""
    found: dict[int, tuple[Path, str]] = {}
    for own, planned in zip(tasks, plans, strict=True):
        if goes_on(own):
            for i, why in damage(planned, own).items():
                found.setdefault(i, (planned[i].source.path, why))
    return dict(sorted(found.items()))


def _refuse_images_there(tasks: Sequence[PredictConfig]) -> None:
    """Refuse an output that holds images, whether they are read or not.

    Raises:
        UserError: one does.
    """
    for own in tasks:
        if found := first_medium(own.output):
            raise _among_images(own, found.parent, f" (such as {found.name})")


def _refuse_among_images(
    config: PredictConfig, tasks: Sequence[PredictConfig], sources: Sequence[Source]
) -> None:
    """Refuse to write masks into a folder that images come from, however these were named.

    Raises:
        UserError: that is what was asked for.
    """
    homes = {base_of(as_named(given)).resolve() for given in config.input}
    homes |= {home.resolve() for home in _homes(sources)}
    for own in tasks:
        places = ((own.output / source.name).parent for source in sources)
        for place in dict.fromkeys((own.output, *places)):
            if place.resolve() in homes:
                raise _among_images(own, place)


def _among_images(config: PredictConfig, place: Path, such: str = "") -> UserError:
    """Why no masks are written where images are."""
    fix = f"Name another, such as {config.output / 'masks'}."
    if config.resume and not goes_on(config):
        fix = (
            f"--resume goes on with a prediction, and {config.output} has no {PREDICTED} of one. "
            f"{fix}"
        )
    return UserError(
        f"--output {config.output} would put masks among the images of {place}{such}, of which "
        f"each would be taken for the other the next time. {fix}"
    )


def _homes(sources: Sequence[Source]) -> set[Path]:
    """The folders that hold what is read."""
    return {file.parent for source in sources for file in source.files}


def _say_earlier(
    config: PredictConfig, sources: Sequence[Source], left_aside: Sequence[Path]
) -> None:
    """Say which folders of masks are left out, and which were asked for."""
    homes = _homes(sources)
    for folder in dict.fromkeys(left_aside):
        if folder in homes:  # it is named too
            continue
        place = f"{folder} holds an earlier prediction, and is left out; name it to segment it"
        say("note:", style="yellow", place=place)
    for folder in sorted({*config.input, *homes}):
        if holds_prediction(folder):
            place = f"{folder} holds an earlier prediction: its masks are segmented as images"
            say("note:", style="yellow", place=place)


def _of_many(config: PredictConfig, sources: list[Source], failures: Failures) -> list[Source]:
    """What can be propagated through; single pictures are added to the failures."""
    if config.propagate is None:
        return sources
    why = "is a single picture, and --propagate goes with volumes and videos"
    single = [source.path for source in sources if source.kind == "image"]
    failures += [(path, f"{path} {why}. Segment it apart, without.") for path in single]
    return [source for source in sources if source.kind != "image"]


def _refuse_idle(config: PredictConfig, sources: Sequence[Source], failures: Failures) -> None:
    """Refuse options for volumes and DICOM where there are none.

    Raises:
        UserError: that is what was asked for.
    """
    if failures:  # what cannot be read may be a volume
        return
    volumes = any(source.kind == "volume" for source in sources)
    grey = volumes or any(source.headers for source in sources)
    many = any(source.kind != "image" for source in sources)
    for name, there, what in (
        ("propagate", many, "volumes and videos"),
        ("window", grey, "volumes and DICOM"),
        ("axis", volumes, "volumes"),
        ("format", volumes or config.format == "dicom-seg", "volumes"),
    ):
        if is_given(config, name) and not there:
            why = f"it goes with {what}, and --input holds none"
            raise idle(name, getattr(config, name), why)
