"""`python -m gpsseg.predict`: masks for new images, volumes, DICOM and videos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.effects import idle, is_given
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.predict import PredictConfig
from gpsseg.console import progress, say
from gpsseg.errors import SomeFailedError, UserError, counted, stops_all
from gpsseg.files import make_folder, read_object, sha256_of_file, write_json
from gpsseg.veil import scoped

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone
    from gpsseg.data.cards.card import Card
    from gpsseg.data.formats.beyond import Reaches
    from gpsseg.data.formats.greys import Greys
    from gpsseg.data.sources import Failures, Source
    from gpsseg.engine.prompts import Prompter
    from gpsseg.predict.frames import Frame
    from gpsseg.predict.plan import Plan
    from gpsseg.predict.segmenter import Done, Segmenter

SHOWN = 10


@scoped
def predict(config: PredictConfig) -> list[Path]:
    """Write a mask for everything in the input and return the masks' paths, in order of the names.

    See ``PredictConfig``. Pictures are read, segmented and written as a stream.

    Raises:
        UserError: there is nothing to segment, or a mask exists already; nothing was written.
        SomeFailedError: some files could not be segmented; the masks of all others are written.
    """
    from gpsseg.config.resuming import read_config
    from gpsseg.data.anonymous import anonymous_card, draw_veil, new_salt
    from gpsseg.data.cards.own import card_of
    from gpsseg.data.formats.dicom_seg import require_highdicom
    from gpsseg.data.formats.filenames import left_out
    from gpsseg.data.sources import find_sources
    from gpsseg.engine.machine import require_device
    from gpsseg.engine.prompts import check_prompts
    from gpsseg.predict.plan import plan_outputs
    from gpsseg.runs.greys import greys_of
    from gpsseg.runs.tuned import load_run

    require_device(config.device)
    rest: list[Path] = []
    sources, failures = find_sources(config.input, config.output, rest)
    _refuse_idle(config, sources, failures)
    if left := left_out(rest, config.input[0]):
        say(left, style="yellow")
    plans = plan_outputs(sources, config, failures)
    if config.format == "dicom-seg":
        require_highdicom()
    for _, why in failures:
        say(f"failed: {why}", style="yellow")
    todo = [plan for plan in plans if not plan.finished]
    if len(todo) < len(plans):
        say(f"{len(plans) - len(todo)} of {len(plans)} are finished already.")
    prompter = _prompter(config, read_config(config.run).prompt, plans)
    trained, model = load_run(config.run, config.untrained)
    check_prompts(model, config.prompts)
    salt = new_salt() if trained.anonymous_ids else None
    draw_veil(salt, config, trained)
    card = anonymous_card(card_of(trained), salt)
    _refuse_dicom_seg(config, card)
    _refuse_prompts(config, model.facts.prompt, todo)
    greys = greys_of(config.run)
    config = as_trained(config, greys, sources)
    make_folder(config.output)
    _keep_settings(config, card, trained.anonymous_ids)
    segmenter = make_segmenter(config, trained, model, card)
    if prompter is not None:
        numbers = {plan.source.path: i for i, plan in enumerate(plans)}
        segmenter = dataclasses.replace(segmenter, prompter=prompter, numbers=numbers)
    try:
        _write(segmenter, todo, config, card.foreground, failures, greys)
    except OSError as error:
        raise UserError(
            f"{error.filename or config.output} cannot be written: {error.strerror}. What is "
            "finished stays; go on with --resume."
        ) from None
    masks = [plan.mask for plan in plans if plan.finished]
    say(f"{counted(len(masks), 'mask')} written to {config.output}. Not for diagnostic use.")
    if failures:
        raise _some_failed(failures, len(masks), config.output)
    return masks


def as_trained(config: PredictConfig, greys: Greys, sources: Sequence[Source]) -> PredictConfig:
    """The settings with window and axis of the slices that the run was trained on.

    What was named goes before it, and either is said. A window for CT only stays with the run's
    greys, as each source shows whether it is CT.
    """
    volumes = any(source.kind == "volume" for source in sources)
    grey = volumes or any(source.headers for source in sources)
    own = greys.window if grey else None
    axis = greys.axis if volumes and greys.axis != "auto" else None
    for name, here, there in (("window", config.window, own), ("axis", config.axis, axis)):
        if here is not None and there is not None and here != there:
            say(
                f"--{name} {_typed(here)} is taken, though this run was trained on slices of "
                f"{name} {_typed(there)}.",
                style="yellow",
            )
    taken = [
        f"{name} {_typed(there)}" + (" (CT only)" if name == "window" and greys.of_ct else "")
        for name, here, there in (("window", config.window, own), ("axis", config.axis, axis))
        if here is None and there is not None
    ]
    if taken:
        say(f"As in this run's training: {', '.join(taken)}. Name another by an option.")
    of_all = None if greys.of_ct else own
    return dataclasses.replace(
        config, window=config.window or of_all, axis=config.axis or axis or "auto"
    )


def _typed(value: str | tuple[float, float]) -> str:
    return value if isinstance(value, str) else " ".join(f"{each:g}" for each in value)


def make_segmenter(
    config: PredictConfig, trained: FinetuneConfig, model: Backbone, card: Card
) -> Segmenter:
    """Put the network on its device, with the run's image size and precision."""
    from gpsseg.engine.machine import make_machine
    from gpsseg.predict.segmenter import Segmenter

    assert trained.image_size is not None
    assert trained.batch_size is not None
    machine = make_machine(config.device, trained.precision)
    model.to(machine.device)
    size, batch = trained.image_size, config.batch_size or trained.batch_size
    return Segmenter(model, machine, card, size, batch, config.tta == "flips", config.tile)


def _prompter(config: PredictConfig, prompt: str | None, plans: Sequence[Plan]) -> Prompter | None:
    """The user's boxes or points, where the run takes some; read before the network is loaded.

    They are given to all images that are planned, so that what is finished already changes no
    other's; only those that are left to do must have one.

    Raises:
        UserError: the file cannot be read, or does not fit the images.
    """
    from gpsseg.engine.prompts import from_file, is_given

    if config.prompts is None or not is_given(prompt):
        return None
    assert prompt is not None
    needed = [i for i, plan in enumerate(plans) if not plan.finished]
    return from_file(config.prompts, prompt, [plan.source.path for plan in plans], needed)


def _refuse_prompts(config: PredictConfig, prompt: str, plans: Sequence[Plan]) -> None:
    """Refuse prompts that are missing, or that cannot be given for this input.

    Raises:
        UserError: that is what was asked for.
    """
    from gpsseg.engine.prompts import is_given

    if not is_given(prompt):
        return
    if config.prompts is None:
        raise UserError(
            f"This run needs a {prompt} for every image. Pass --prompts FILE, a CSV with a row "
            "for each (see --help)."
        )
    if config.tile or config.tta != "none" or any(p.source.kind != "image" for p in plans):
        raise UserError(
            f"A {prompt} is given for a whole picture: leave out --tile and --tta, and pass "
            "pictures, no volumes or videos."
        )


def _refuse_idle(config: PredictConfig, sources: Sequence[Source], failures: Failures) -> None:
    """Refuse options for volumes and DICOM where there are none.

    Raises:
        UserError: that is what was asked for.
    """
    if failures:  # what cannot be read may be a volume
        return
    volumes = any(source.kind == "volume" for source in sources)
    grey = volumes or any(source.headers for source in sources)
    for name, there, what in (
        ("window", grey, "volumes and DICOM"),
        ("axis", volumes, "volumes"),
        ("format", volumes or config.format == "dicom-seg", "volumes"),
    ):
        if is_given(config, name) and not there:
            why = f"it goes with {what}, and --input holds none"
            raise idle(name, getattr(config, name), why)


def _frames(
    plans: Sequence[Plan], config: PredictConfig, label: str, failures: Failures, reaches: Reaches
) -> Iterator[Frame]:
    """All pictures of all sources; a source that cannot be read is reported, and the next comes."""
    from gpsseg.data.formats.slicing import flat_note
    from gpsseg.predict.frames import open_source, report

    axis, flat = config.axis or "auto", list[str]()
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
                report(failures, plan.source.path, error)
            else:
                frame.writer.fail(error)
    if note := flat_note(flat, axis):
        say(note, style="yellow")


def _write(
    segmenter: Segmenter,
    plans: Sequence[Plan],
    config: PredictConfig,
    label: str,
    failures: Failures,
    greys: Greys,
) -> None:
    """Segment all sources, and hand every result to its source's writer."""
    from gpsseg.data.formats.beyond import Reaches

    reaches = Reaches(greys)
    frames = _frames(plans, config, label, failures, reaches)
    counts = [plan.source.frames for plan in plans]
    total = None if None in counts else sum(count or 0 for count in counts)
    done: Iterable[Done] = progress(segmenter.segment(frames), "predicting", total)
    for _, results in groupby(done, key=lambda result: result[0].writer):
        for frame, pixels, probability in results:
            writer = frame.writer
            if writer.failed:
                continue
            try:
                writer.put(frame.index, pixels, probability)
            except Exception as error:
                writer.fail(error)
        if writer.failed:
            continue
        try:
            writer.finish()
        except Exception as error:
            writer.fail(error)
    for note in reaches.notes():
        say(note, style="yellow")


def _refuse_dicom_seg(config: PredictConfig, card: Card) -> None:
    """Refuse labels of several classes in a format that is written for one.

    Raises:
        UserError: that is what was asked for.
    """
    if config.format == "dicom-seg" and card.told_apart:
        raise UserError(
            f"--format dicom-seg is written with one segment, this run tells "
            f"{len(card.told_apart)} classes apart. Leave --format out, or pass nrrd."
        )


def _keep_settings(config: PredictConfig, card: Card, nameless: bool) -> None:
    """Keep beside the masks what they were made with; never mix two ways in one folder.

    The folder of a nameless run is not named.

    Raises:
        UserError: the folder holds masks that were made otherwise.
    """
    from gpsseg.data.formats.filenames import PREDICTED

    names = ("format", "axis", "window", "tta", "tile", "save_probabilities", "overlays")
    settings = {
        "run": "a nameless run" if nameless else config.run.resolve().name,
        "delta_sha256": sha256_of_file(RunFolder(config.run).delta),
        **{name: value for name, value in dataclasses.asdict(config).items() if name in names},
        "prompts": sha256_of_file(config.prompts) if config.prompts else None,
    }
    if card.told_apart:
        settings["labels"] = {name: i for i, name in enumerate(card.told_apart, start=1)}
    if config.untrained:
        settings["untrained"] = True
    if config.window is not None:
        settings["window"] = list(config.window)
    path = config.output / PREDICTED
    if not path.exists():
        write_json(path, settings)
        return
    there = read_object(path)
    # The delta says which run it was, whatever its folder is called by now.
    other = [n for n, value in settings.items() if n != "run" and there.get(n) != value]
    if other:
        raise UserError(
            f"{path} says that the masks in this folder were made otherwise: {other[0]} was "
            f"{there.get(other[0])}, now it is {settings[other[0]]}. Name another --output."
        )


def _some_failed(failures: Failures, masks: int, output: Path) -> SomeFailedError:
    lines = [why for _, why in failures[:SHOWN]]
    if len(failures) > SHOWN:
        lines.append(f"... and {len(failures) - SHOWN} more.")
    return SomeFailedError(
        f"{len(failures)} could not be segmented; {counted(masks, 'mask is', 'masks are')} in "
        f"{output}. Mend these and "
        "pass --resume:\n" + "\n".join(lines),
        failures,
    )
