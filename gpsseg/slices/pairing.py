"""Volumes and their masks: in two folders, or in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gpsseg.config.slices import SlicesConfig
from gpsseg.console import say
from gpsseg.data.cards.nnunet import further_channels
from gpsseg.data.cards.tables import table_cases, table_notes
from gpsseg.data.checks.notices import lone_notice
from gpsseg.data.formats.filenames import VOLUMES, left_out, one_form, unpacking
from gpsseg.data.formats.matching import are_masks, bare, match, one_channel_names
from gpsseg.data.formats.packed import unpack_first
from gpsseg.data.formats.volumes import volume_ending
from gpsseg.data.sources import Source, find_sources
from gpsseg.data.walk import EMPTY
from gpsseg.errors import UserError, counted, few

Pair = tuple[Source, Source, dict[str, str]]  # a volume, its mask, columns of its slices' rows


def pair_volumes(config: SlicesConfig, failed: list[tuple[Path, str]]) -> list[Pair]:
    """Find the mask of every volume, by the rules of ``gpsseg.data.formats.matching``.

    Files that cannot be read, and volumes that lack their mask for it, are added to ``failed``.

    Raises:
        UserError: it is unclear which mask belongs to which volume, or one has none.
    """
    if config.table:
        pairs = _listed(config.table)
        _say_channels(sorted(further_channels([image.path for image, *_ in pairs])))
        return pairs
    assert config.images is not None
    assert config.masks is not None
    images = _volumes("--images", config.images, config, failed)
    masks = _volumes("--masks", config.masks, config, failed)
    both = are_masks([image.name for image in images])
    inside = {mask.path.resolve() for mask in masks}
    images = [i for i in images if i.name not in both or i.path.resolve() not in inside]
    own = {image.path.resolve() for image in images}
    masks = [mask for mask in masks if mask.path.resolve() not in own]
    cases = one_channel_names([i.name for i in images], [mask.name for mask in masks])
    _say_channels([image.path for image in images if cases.get(image.name) == ""])
    volumes = {cases.get(i.name, i.name): i for i in images if cases.get(i.name) != ""}
    found = match([(name, ()) for name in volumes], [(mask, mask.name) for mask in masks])
    if found.unclear:
        raise UserError(
            f"--masks {config.masks}: it is unclear which mask belongs to which volume: "
            f"{few(found.unclear)}. Keep one a volume."
        )
    missing = [name for name in volumes if name not in found.files]
    unreadable = {bare(_stem(path)) for path, _ in failed}
    if set(map(bare, missing)) - unreadable:
        raise UserError(
            f"--masks {config.masks}: {len(missing)} of {counted(len(volumes), 'volume')} "
            f"{'has' if len(missing) == 1 else 'have'} no mask: {few(missing)}. "
            "Expected a file of that name."
        )
    _say_files(found.files, found.extra)
    return [
        (image, _with_parts(found.files[name]), {"group": name})
        for name, image in volumes.items()
        if name in found.files
    ]


def _say_channels(further: Sequence[Path]) -> None:
    if further:
        say(
            "note: nnU-Net's channel 0000 of each volume is used, "
            + counted(
                len(further),
                "file of a further channel is left out",
                "files of further channels are left out",
            )
            + f": {few(path.name for path in further)}",
            style="yellow",
        )


def _with_parts(masks: Sequence[Source]) -> Source:
    """The first of a volume's masks, with the others as its parts."""
    return replace(masks[0], parts=tuple(masks[1:]))


def _volumes(
    option: str, folder: Path, config: SlicesConfig, failed: list[tuple[Path, str]]
) -> list[Source]:
    """The volumes in a folder; what else is in it is named.

    Raises:
        UserError: there is none, nor anything that cannot be read; or two have one name.
    """
    rest: list[Path] = []
    sources, failures = find_sources([folder], config.output, rest, option=option)
    failed += [failure for failure in failures if failure not in failed]
    volumes = [source for source in sources if source.kind == "volume"]
    if not volumes and all(EMPTY in why for _, why in failures):
        packed, what = unpacking(rest, folder)
        kinds = "; expected NIfTI, NRRD, MHA or DICOM series. Name another folder"
        raise UserError(f"{option} {folder} holds no volume{f' but {what}' if packed else kinds}.")
    first: dict[str, Source] = {}
    for source in volumes:
        if source.name in first:
            raise UserError(
                f"{option}: {first[source.name].path} and {source.path.name} are two volumes of "
                "one name. Rename or remove one of them."
            )
        first[source.name] = source
    rest += [source.path for source in sources if source.kind != "volume"]
    if left := left_out(rest, folder):
        say(left, style="yellow")
    return volumes


def _say_files(found: Mapping[str, Sequence[Source]], extra: Sequence[Source]) -> None:
    """Say which masks are joined, and which fit no volume."""
    joined = [masks for masks in found.values() if len(masks) > 1]
    if joined:
        names = ", ".join(mask.path.name for mask in joined[0][:2])
        say(
            f"note: the masks of {counted(len(joined), 'volume')} are in several files "
            f"({sum(map(len, joined))} in all, such as {names}); those of one volume are joined",
            style="yellow",
        )
    for note in lone_notice([mask.path.name for mask in extra], what="volume"):
        say(note, style="yellow")


def _stem(path: Path) -> str:
    """A file's name without the ending of a volume or of DICOM; a folder's name."""
    ending = volume_ending(path) or path.suffix
    return one_form(path.name[: len(path.name) - len(ending)])


def _listed(table: Path) -> list[Pair]:
    """The volumes of a table with their masks, groups and parts."""
    pairs: list[Pair] = []
    parts_of = table_cases(table)
    listed = [case for cases in parts_of.values() for case in cases]
    for note in table_notes(table, listed, of_labels=False):
        say(note, style="yellow")
    for part, cases in parts_of.items():
        for case in cases:
            assert case.mask is not None
            masks = (case.mask, *case.opinions)
            for path in (case.image, *masks):
                if not volume_ending(path):
                    why = f"{path} is no volume, expected {few(VOLUMES, 9)}."
                    raise UserError(f"{table}: {unpack_first(path) or why}")
            image, *parts = (Source(path, case.id, "volume") for path in (case.image, *masks))
            mask = _with_parts(parts)
            split = {} if part == "all" else {"split": part}
            pairs.append((image, mask, {"group": case.group or case.id, **split}))
    return pairs
