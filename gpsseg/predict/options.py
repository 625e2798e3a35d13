"""What the run decides of a prediction, what goes together, and what is kept beside the masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.codes import parse_codes, parse_coding
from gpsseg.config.effects import idle
from gpsseg.config.folder import StudyFolder
from gpsseg.config.predict import PredictConfig
from gpsseg.console import say
from gpsseg.data.cards.card import Card
from gpsseg.data.formats.dicom_codes import Segment, segments_of
from gpsseg.data.formats.filenames import PREDICTED
from gpsseg.data.formats.greys import Greys
from gpsseg.data.sources import Source
from gpsseg.engine.prompt_files import frames_for
from gpsseg.engine.prompts import Prompter, check_prompts, from_file, is_prompted
from gpsseg.errors import UserError, look_up
from gpsseg.files import sha256_of_file, write_json
from gpsseg.predict.plan import Plan
from gpsseg.reading import read_object
from gpsseg.runs.members import delta_hash

ITSELF = "this run"  # what a single one is called


def as_trained(
    config: PredictConfig, greys: Greys, sources: Sequence[Source], name: str = ITSELF
) -> PredictConfig:
    """The settings with window and axis of the slices that the run was trained on.

    What was named goes before it, and either is said. A window for CT only stays with the run's
    greys, as each source shows whether it is CT.

    Args:
        config: as given.
        greys: of the run.
        sources: what is segmented.
        name: what the run is called.
    """
    volumes = any(source.kind == "volume" for source in sources)
    grey = volumes or any(source.headers for source in sources)
    own = greys.window if grey else None
    axis = greys.axis if volumes and greys.axis != "auto" else None
    for option, here, there in (("window", config.window, own), ("axis", config.axis, axis)):
        if here is not None and there is not None and here != there:
            say(
                f"--{option} {_typed(here)} is taken, though {name} was trained on slices of "
                f"{option} {_typed(there)}.",
                style="yellow",
            )
    taken = [
        f"{option} {_typed(there)}" + (" (CT only)" if option == "window" and greys.of_ct else "")
        for option, here, there in (("window", config.window, own), ("axis", config.axis, axis))
        if here is None and there is not None
    ]
    if taken:
        say(f"As in {name}'s training: {', '.join(taken)}. Name another by an option.")
    of_all = None if greys.of_ct else own
    return dataclasses.replace(
        config, window=config.window or of_all, axis=config.axis or axis or "auto"
    )


def _typed(value: str | tuple[float, float]) -> str:
    return value if isinstance(value, str) else " ".join(f"{each:g}" for each in value)


def prompter_of(
    config: PredictConfig, prompt: str | None, plans: Sequence[Plan]
) -> Prompter | None:
    """The user's boxes or points, where the run takes some; read before the network is loaded.

    They are given to all images that are planned, so that what is finished already changes no
    other's; only those that are left to do must have one.

    Raises:
        UserError: the file cannot be read, or does not fit the images.
    """
    if config.prompts is None or not is_prompted(prompt):
        return None
    assert prompt is not None
    needed = [i for i, plan in enumerate(plans) if not plan.finished]
    return from_file(config.prompts, prompt, [plan.source.path for plan in plans], needed)


def begins_of(config: PredictConfig, prompt: str | None, plans: Sequence[Plan]) -> dict[Path, int]:
    """Of each source from which frame its mask is to be followed, as the prompts name it.

    Raises:
        UserError: the file cannot be read, or names another frame than --propagate.
    """
    if config.prompts is None or config.propagate is None or not is_prompted(prompt):
        return {}
    assert prompt is not None
    paths = [plan.source.path for plan in plans]
    found = frames_for(config.prompts, prompt, paths)
    for i, frame in found.items():
        if config.propagate not in ("auto", frame):
            raise UserError(
                f"--propagate {config.propagate}: {config.prompts.name} names frame {frame} for "
                f"{paths[i].name}. Pass --propagate auto, or leave out the column frame."
            )
    return {paths[i]: frame for i, frame in found.items()}


def refuse_unprompted(config: PredictConfig, names: Sequence[str], networks: Sequence[Any]) -> None:
    """Refuse a file of prompts that no network takes, and say which ones take none.

    Args:
        config: as given.
        names: what the runs are called.
        networks: theirs, see ``Networks``.

    Raises:
        UserError: that is what was asked for.
    """
    prompts = [each.model.facts.prompt for each in networks]
    if config.prompts is None or all(map(is_prompted, prompts)):
        return
    if not any(map(is_prompted, prompts)):
        check_prompts(networks[0].model, config.prompts)
    without = [name for name, p in zip(names, prompts, strict=True) if not is_prompted(p)]
    say(f"--prompts is not for {', '.join(without)}, trained without.", style="yellow")


def refuse_prompts(config: PredictConfig, prompt: str, plans: Sequence[Plan]) -> None:
    """Refuse prompts that are missing, or that cannot be given for this input.

    Raises:
        UserError: that is what was asked for.
    """
    if not is_prompted(prompt):
        return
    if config.prompts is None:
        raise UserError(
            f"This run needs a {prompt} for every image. Pass --prompts FILE, a CSV with a row "
            "for each (see --help)."
        )
    many = config.propagate is None and any(p.source.kind != "image" for p in plans)
    if config.tile or config.tta != "none" or many:
        raise UserError(
            f"A {prompt} is given for a whole picture: leave out --tile and --tta, and pass "
            "pictures; volumes and videos only with --propagate and a SAM 2."
        )


def refuse_uncertainty(config: PredictConfig, prompt: str) -> None:
    """Refuse mirror images as members where a network is told a box or point of the picture.

    Raises:
        UserError: that is what was asked for.
    """
    if config.uncertainty and is_prompted(prompt) and not StudyFolder(config.run[0]).is_study:
        raise idle(
            "uncertainty",
            True,
            f"its members would be mirror images, and a {prompt} is given for the picture as it is;"
            " it goes with the folder of a study",
        )


def refuse_foreign_codes(config: PredictConfig, cards: Sequence[Card]) -> None:
    """Refuse a code for a class that no run finds.

    Raises:
        UserError: there is one; the nearest class is suggested.
    """
    names = [name for card in cards for name in _marked(card)]
    for name in parse_codes(config.codes):
        look_up(name, dict.fromkeys(names), "class of --codes")


def segments_for(config: PredictConfig, card: Card) -> tuple[Segment, ...]:
    """What the labels of a run's DICOM-SEG mean, which is said; nothing for other formats.

    Raises:
        UserError: a class has no code, or a code no category.
    """
    if config.format != "dicom-seg":
        return ()
    named = {name: parse_coding(text) for name, text in card.codes.items()}
    found = segments_of(_marked(card), {**named, **parse_codes(config.codes)})
    for segment in found:
        say(f"DICOM-SEG: {segment.label} is coded as {segment.coding}.")
    return found


def _marked(card: Card) -> tuple[str, ...]:
    """What the labels 1, 2, ... of a run's masks mean."""
    return card.told_apart or (card.foreground,)


def keep_settings(
    config: PredictConfig, card: Card, nameless: bool, segments: Sequence[Segment] = ()
) -> None:
    """Keep beside the masks what they were made with; never mix two ways in one folder.

    The folder of a nameless run is not named.

    Raises:
        UserError: the folder holds masks that were made otherwise.
    """
    names = ("format", "axis", "window", "tta", "tile", "save_probabilities", "overlays")
    more: dict[str, Any] = {"uncertainty": True} if config.uncertainty else {}
    if config.propagate is not None:
        more["propagate"] = config.propagate
    settings = {
        "run": "a nameless run" if nameless else config.run[0].resolve().name,
        "delta_sha256": delta_hash(config.run[0]),
        **{name: value for name, value in dataclasses.asdict(config).items() if name in names},
        "prompts": sha256_of_file(config.prompts) if config.prompts else None,
        **more,
    }
    if card.told_apart:
        settings["labels"] = {name: i for i, name in enumerate(card.told_apart, start=1)}
    if segments:
        settings["codes"] = {each.label: str(each.coding) for each in segments}
    if config.untrained:
        settings["untrained"] = True
    if config.window is not None:
        settings["window"] = list(config.window)
    path = config.output / PREDICTED
    if not path.exists():
        write_json(path, settings)
        return
    there = read_object(path, fix="Name another --output.")
    if "delta_sha256" not in there:
        raise UserError(f"{path} is none that `predict` wrote. Name another --output.")
    # The delta says which run it was, whatever its folder is called by now.
    at_times = ("labels", "untrained", "window", "uncertainty", "propagate")
    compared = dict.fromkeys([*settings, *at_times])
    compared.pop("run")
    if "codes" not in there:  # as version 0.1 and the first of 0.2 wrote them
        compared.pop("codes", None)
    other = [n for n in compared if there.get(n) != settings.get(n)]
    if other:
        raise UserError(
            f"{path} says that the masks in this folder were made otherwise: {other[0]} was "
            f"{there.get(other[0])}, now it is {settings.get(other[0])}. Name another --output."
        )
