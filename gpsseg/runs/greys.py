"""Which greys a run's images are shown by: settled once, kept in the run, and repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.console import say
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import Keeper, say_notes
from gpsseg.data.formats.beyond import range_notes, reach_of
from gpsseg.data.formats.filenames import CUT
from gpsseg.data.formats.greys import Depth, Greys, depth_of, from_stored, settle_greys, to_stored
from gpsseg.data.formats.images import read_picture
from gpsseg.data.splits.files import PARTS
from gpsseg.data.splits.split import Split
from gpsseg.errors import UserError
from gpsseg.files import write_json
from gpsseg.reading import read_json, read_object
from gpsseg.runs.skipped import leave_out
from gpsseg.schema import refuse_newer

MAKER = "gpsseg.slices"
ABOVE = 6  # folders over an image in which this is looked for


def check_split(
    split: Split,
    stored: Greys | None = None,
    anonymous: bool = False,
    parts: Sequence[str] = PARTS,
    skip: bool = False,
    keeper: Keeper | None = None,
) -> tuple[Split, Greys]:
    """Check every file of a split, and settle how its images of more than 8 bits are shown.

    That is settled by training and validation images alone. The test images settle nothing: those
    of a kind that a run was not trained on go by themselves, as they do in ``predict``.

    Args:
        split: of the cases.
        stored: the rule of the run that goes on or is evaluated, which stands. None settles a new
            one.
        anonymous: whether notes name no file.
        parts: which to check.
        skip: whether to leave out images that cannot be used.
        keeper: is given what was decoded, see ``say_notes``.

    Returns:
        The split with the rule in its cases; and the rule.

    Raises:
        UserError: files are unreadable or sizes differ; with ``skip`` more than half of a part.
    """
    cases = [case for part in parts for case in getattr(split, part)]
    found = list(zip(cases, say_notes(cases, anonymous, skip, keeper), strict=True))
    bad = {case: each.error for case, each in found if each.error}
    if bad or split.skipped:
        split = leave_out(split, bad, anonymous)
    seen = {case: each.greys for case, each in found if not each.error}
    seen |= _unchecked(split, parts, seen, skip, stored)
    known = [case for case in (*split.train, *split.val) if case in seen]
    greys = stored or _with_cut(settle_greys(seen[case] for case in known), known)
    if any(seen.values()):
        say_range(greys)
    reaches = [reach_of(case.image.name, what, greys) for case, what in seen.items()]
    for note in range_notes(reaches, anonymous):
        say(note, style="yellow")
    deep = {case for case, what in seen.items() if what is not None}
    return with_greys(split, greys, deep), greys


def _unchecked(
    split: Split,
    parts: Sequence[str],
    seen: Mapping[Case, Depth | None],
    skip: bool,
    stored: Greys | None,
) -> dict[Case, Depth | None]:
    """What images hold that settle greys and are not checked, where those checked are deep ones.

    Where training images are not checked either, they are read unless a rule stands already.
    """
    if not any(seen.values()) or ("train" not in parts and stored is not None):
        return {}
    found: dict[Case, Depth | None] = {}
    others = [part for part in ("train", "val") if part not in parts]
    for case in (case for part in others for case in getattr(split, part)):
        try:
            found[case] = depth_of(read_picture(case.image))
        except UserError:
            if not skip:
                raise
    return found


def with_greys(split: Split, greys: Greys, deep: Iterable[Case] | None = None) -> Split:
    """The split with a rule in its cases.

    Args:
        split: of the cases.
        greys: the rule.
        deep: the cases that it matters for; None where that is not known.
    """
    rule = greys.of_pictures
    if rule is None:
        return split
    chosen = None if deep is None else set(deep)
    train, val, test = (
        tuple(
            dataclasses.replace(case, greys=rule) if chosen is None or case in chosen else case
            for case in part
        )
        for part in (split.train, split.val, split.test)
    )
    return dataclasses.replace(split, train=train, val=val, test=test)


def say_range(greys: Greys) -> None:
    """Say what is black and white in images of more than 8 bits."""
    if greys.old:
        say("Images of more than 8 bits are scaled one by one, as version 0.1 did for this run.")
        return
    ranges = {"whole": greys.whole, "real": greys.real}
    told = [f"{low:g} to {high:g}" for low, high in filter(None, ranges.values())]
    if told:
        say(
            f"Images of more than 8 bits: {' and '.join(told)} is shown from black to white, in "
            "all of them alike."
        )


def save_cut(table: Path, greys: Greys) -> None:
    """Write beside a table of slices how they were cut."""
    write_json(table.with_name(CUT), {"made_by": MAKER, **to_stored(greys)})


def _with_cut(greys: Greys, cases: Sequence[Case]) -> Greys:
    """The rule with window, axis and labels of the slices that the images are, if they are any."""
    cuts = found_cuts(cases)
    if len(cuts) > 1:
        say(
            "The training images were cut from volumes in several ways (or not all of them were), "
            "so predict will not know which window and axis to take: name them there.",
            style="yellow",
        )
    cut = next(iter(cuts)) if len(cuts) == 1 else None
    if cut is None:
        return greys
    return dataclasses.replace(cut, whole=greys.whole, real=greys.real)


def found_cuts(cases: Iterable[Case]) -> set[Greys | None]:
    """How images were cut from volumes, by the file beside their table; None if they were not.

    Raises:
        UserError: that file is damaged.
    """
    folders = {case.image.parent for case in cases}
    return {None if file is None else _read_cut(file) for file in set(map(_cut_above, folders))}


def say_other_cut(greys: Greys, cases: Iterable[Case]) -> None:
    """Say so if images were cut from volumes in another way than those that a run was trained on.

    The window makes other greys, the axis other shapes, and the labels another foreground.
    """
    if greys.old:
        return
    for cut in found_cuts(cases):
        ways = [] if cut is None else list(zip(_ways(cut), _ways(greys), strict=True))
        if other := [(here, there) for here, there in ways if here != there]:
            here, there = (" and ".join(each) for each in zip(*other, strict=True))
            say(
                f"These slices were cut by {here}, those of the run's training by {there}: the "
                "network sees something else than it learned.",
                style="yellow",
            )


def _ways(cut: Greys) -> tuple[str, str, str]:
    """How volumes were cut, in words: the window, the axis, and which labels were foreground."""
    window = "no one window" if cut.window is None else "window {:g} {:g}".format(*cut.window)
    labels = " ".join(map(str, sorted(cut.labels)))
    return window, f"axis {cut.axis}", f"labels {labels}" if labels else "the masks' own levels"


def _read_cut(file: Path) -> Greys | None:
    content = read_json(file)
    if not isinstance(content, dict) or content.get("made_by") != MAKER:
        return None
    refuse_newer(content, file)
    return from_stored(content, str(file))


def _cut_above(folder: Path) -> Path | None:
    """The nearest ``CUT`` in a folder or those above it."""
    places = [folder, *folder.absolute().parents[:ABOVE]]
    return next((place / CUT for place in places if (place / CUT).is_file()), None)


def stored_greys(content: Mapping[str, Any], place: str) -> Greys:
    """The rule that a run's config.json keeps; of version 0.1, which kept none, that version's.

    Raises:
        UserError: it is damaged.
    """
    resolved = content.get("resolved")
    if not isinstance(resolved, dict) or "greys" not in resolved:
        return Greys(old=True)
    return from_stored(resolved["greys"] or {}, place)


def greys_of(run: Path) -> Greys:
    """How the images of a run were shown to its network.

    Raises:
        UserError: its config.json is damaged.
    """
    path = RunFolder(run).config
    return stored_greys(read_object(path), str(path)) if path.is_file() else Greys()
