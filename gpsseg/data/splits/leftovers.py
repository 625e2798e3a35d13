"""What is worth saying of the files of a set of one's own: which are joined, which are left out."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from gpsseg.data.cards.card import Card, is_bundled
from gpsseg.data.cards.layout import files_of
from gpsseg.data.cards.tables import table_notes
from gpsseg.data.case import Case
from gpsseg.data.checks.notices import lone_notice
from gpsseg.data.formats.filenames import left_out, one_form
from gpsseg.data.formats.matching import FIRST
from gpsseg.data.splits.split import Found, channels_of, find_cases
from gpsseg.errors import UserError, counted, few
from gpsseg.reading import number_in


def file_notes(card: Card, data_root: Path | None, nameless: bool = False) -> list[str]:
    """A line each on what nobody reads, on masks that are joined or of no image, and the like.

    Args:
        card: of the set; of one that comes with gpsseg, files beside it are no business of ours.
        data_root: as for ``make_split``.
        nameless: whether to name no file.
    """
    try:
        found = find_cases(card, data_root, require_masks=False)
    except UserError:  # whoever uses the set says it
        return []
    lone = lone_notice([path.name for path in found.lone_masks], nameless)
    return lone if is_bundled(card) else [*notes_of(found, nameless), *lone]


def notes_of(found: Found, nameless: bool = False) -> list[str]:
    """The same without masks of no image, of a set that is found."""
    channels = channels_of(found.others, found.cases)
    lines = [note(found.cases, nameless) for note in (joined_note, shared_note, alike_groups_note)]
    for table in found.tables:
        lines += table_notes(table, found.cases, nameless)
    if channels:
        first = "" if nameless else f": {few(path.name for path in sorted(channels))}"
        lines.append(
            f"note: nnU-Net's channel {FIRST} of each image is used, "
            + counted(
                len(channels),
                "file of a further channel is left out",
                "files of further channels are left out",
            )
            + first
        )
    lines.append(left_out(set(found.others) - channels, found.root, nameless))
    return [line for line in lines if line]


def shared_note(cases: Sequence[Case], nameless: bool = False) -> str:
    """One line on masks that are the mask of several images; empty where there are none."""
    owners: dict[str, list[str]] = {}
    for case in cases:
        if case.mask is not None:
            owners.setdefault(os.path.realpath(case.mask), []).append(case.image.name)
    shared = {Path(mask).name: images for mask, images in owners.items() if len(images) > 1}
    if not shared:
        return ""
    mask, images = next(iter(shared.items()))
    names = "" if nameless else f", such as {mask} of {few(images)}"
    return f"note: {len(shared)} masks are given to several images each{names}; is that meant?"


def alike_groups_note(cases: Sequence[Case], nameless: bool = False) -> str:
    """One line on groups that differ in their spelling only, such as pX and PX, or 7 and 7.0."""
    alike: dict[float | str, set[str]] = {}
    for group in {case.group for case in cases if case.group}:
        number = number_in(group)
        key = number if math.isfinite(number) else one_form(group).casefold()
        alike.setdefault(key, set()).add(group)
    doubles = sorted(sorted(groups) for groups in alike.values() if len(groups) > 1)
    if not doubles:
        return ""
    names = "" if nameless else f": {few(' and '.join(groups) for groups in doubles)}"
    return (
        f"note: {sum(map(len, doubles))} groups count as different and are spelt nearly alike, but "
        f"for capitals or as 7 and 7.0{names}; where they are one patient, spell them alike"
    )


def joined_note(cases: Sequence[Case], nameless: bool = False) -> str:
    """One line on images that have several masks, each of a lesion; empty where there are none."""
    joined = [case for case in cases if case.joined]
    if not joined:
        return ""
    files = [path.name for case in joined for path in files_of(case)[1:]]
    names = "" if nameless else f", such as {few(files, 2).partition(' (and')[0]}"
    return (
        f"note: the masks of {counted(len(joined), 'image')} are in several files "
        f"({len(files)} in all{names}); those of one image are joined"
    )
