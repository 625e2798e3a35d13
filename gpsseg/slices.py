"""`python -m gpsseg.slices`: volumes with masks -> pictures to train a 2-D network on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.slices import SlicesConfig
from gpsseg.console import progress, run_command, say
from gpsseg.errors import SomeFailedError, UserError, counted, fault_of, few, stops_all
from gpsseg.files import make_folder, new_folder, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from gpsseg.data.checks.notices import Seen
    from gpsseg.data.formats.greys import Greys
    from gpsseg.data.formats.levels import Marked
    from gpsseg.data.formats.volumes import Volume
    from gpsseg.data.sources import Source

OF_A_VOLUME = 50_000  # voxels of each are enough to tell the percentiles of a set


def cut(config: SlicesConfig) -> Path:
    """Write images/, masks/ and cases.csv, and return the table's path; see ``SlicesConfig``.

    Beside the table, slices.json says how they were cut, for the run that is trained on them.

    Raises:
        UserError: there is no volume, or one has no mask; nothing was written.
        SomeFailedError: some volumes cannot be read or do not fit their mask; the others are there.
    """
    from gpsseg.data.checks.notices import notices
    from gpsseg.data.checks.readable import first_of
    from gpsseg.data.formats.slicing import flat_note
    from gpsseg.runs.greys import save_cut

    failed: list[tuple[Path, str]] = []
    pairs = _pair(config, failed)
    new_folder(config.output)
    greys = _greys_of([image for image, _, _ in pairs], config)
    rows: list[dict[str, str]] = []
    seen: list[Seen] = []
    flat: list[str] = []
    volumes = len(pairs) + len(failed)
    for image, mask, facts in progress(pairs, "cutting", len(pairs)):
        written: list[Path] = []
        try:
            rows += _cut_one(image, mask, facts, config, greys, written, seen, flat)
        except Exception as error:
            for path in written:  # half a volume is none
                path.unlink(missing_ok=True)
            why = fault_of(image.path, error)
            if stops_all(error):
                raise UserError(f"{config.output} cannot be written to: {why}") from None
            failed.append((image.path, why))
    _refuse_no_label(config, seen)
    for note in filter(None, (*notices(seen), flat_note(flat, config.axis))):
        say(note, style="yellow")
    table = config.output / "cases.csv"
    if rows:
        write_rows(table, rows)
        save_cut(table, greys)
        done = counted(volumes - len(failed), "volume")
        say(
            f"{counted(len(rows), 'slice')} of {done} "
            f"{'is' if len(rows) == 1 else 'are'} listed in {table}."
        )
    else:
        _remove(config.output)
    if failed:
        none = "" if rows else "; nothing was written"
        raise SomeFailedError(
            f"{len(failed)} of {counted(volumes, 'volume')} could not be cut{none}:\n"
            + first_of([(path.name, why) for path, why in failed]),
            failed,
        )
    if not rows:
        raise UserError(
            "No slice shows foreground, so with --skip-empty none is left. Leave it out."
        )
    return table


def _remove(output: Path) -> None:
    """Remove a folder that holds nothing but what this call wrote."""
    for path in sorted(output.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    output.rmdir()


def _refuse_no_label(config: SlicesConfig, seen: Sequence[Seen]) -> None:
    """Refuse --labels that no mask holds, and say which of them none holds.

    Raises:
        UserError: all masks are empty.
    """
    from gpsseg.data.formats.distinct import listed

    there = {number for each in seen for number in each.classes}
    lacking = [label for label in config.labels if label not in there]
    names = " ".join(map(str, lacking))
    held = sorted({value for each in seen for value in each.held})
    if seen and config.labels and not there:
        _remove(config.output)
        raise UserError(
            f"--labels {names}: none of {counted(len(seen), 'mask')} holds such a value; they "
            f"hold {listed(held)}. Name others, or leave --labels out for masks of two levels."
        )
    if seen and lacking:
        say(f"note: no mask holds the labels {names}.", style="yellow")


def _greys_of(images: Sequence[Source], config: SlicesConfig) -> Greys:
    """How the volumes are shown: by the window that was named; without one, all CT alike.

    Of CT that is the window that most of the series have, or else the percentiles of all of them:
    Hounsfield units mean the same in each. Every other volume goes by itself.
    """
    from gpsseg.data.formats.greys import Greys

    greys = Greys(window=config.window, axis=config.axis, labels=config.labels)
    known = [source for source in images if source.headers and source.headers[0].hounsfield]
    if config.window is not None or not known:
        return greys
    middles = [source.headers[len(source.headers) // 2].asked for source in known]
    windows = [window for window in middles if window is not None]
    window = Counter(windows).most_common(1)[0][0] if windows else _range_of(known)
    say(
        f"CT is shown by one window, {window[0]:g} {window[1]:g}, "
        + ("as most of these series ask for." if windows else "from the percentiles of all of it.")
        + " Name another by --window."
    )
    return dataclasses.replace(greys, window=window, of_ct=len(known) < len(images))


def _range_of(known: Sequence[Source]) -> tuple[float, float]:
    """Centre and width, by the percentiles of several volumes together; each is read once."""
    import numpy as np

    from gpsseg.data.formats.dicom_series import read_dicom
    from gpsseg.data.formats.greys import between
    from gpsseg.data.formats.slicing import sample_of

    samples = []
    for source in progress(known, "looking at greys", len(known)):
        try:
            sample = sample_of(read_dicom(source.headers, source.path, curves=False))
        except Exception:  # cutting it will say what is wrong
            continue
        samples.append(sample[:: -(-sample.size // OF_A_VOLUME)].astype(np.float32))
    low, high = between(np.concatenate(samples)) if samples else (-1000.0, 1000.0)
    high = max(high, low + 1)
    return (low + high) / 2, high - low


def _cut_one(
    image: Source,
    mask: Source,
    facts: dict[str, str],
    config: SlicesConfig,
    greys: Greys,
    written: list[Path],
    seen: list[Seen],
    flat: list[str],
) -> list[dict[str, str]]:
    """Write one volume's slices and return their rows; ``written`` names each file as it comes.

    ``seen`` grows by what the mask is like, ``flat`` by a volume of a single slice.
    """
    from gpsseg.data.formats.images import save_picture

    rows = []
    for index, picture, truth in _slices(image, mask, config, greys, seen, flat):
        if config.skip_empty and not truth.any():
            continue
        name = f"{image.name}_{index:04d}.png"
        for kind, pixels in (("images", picture), ("masks", truth)):
            path = config.output / kind / name
            make_folder(path.parent)
            written.append(path)
            save_picture(path, pixels)
        rows.append({"image": f"images/{name}", "mask": f"masks/{name}", **facts})
    return rows


Pair = tuple["Source", "Source", dict[str, str]]  # a volume, its mask, columns of its slices' rows


def _pair(config: SlicesConfig, failed: list[tuple[Path, str]]) -> list[Pair]:
    """Find the mask of every volume, by the rules of ``gpsseg.data.formats.matching``.

    Files that cannot be read, and volumes that lack their mask for it, are added to ``failed``.
    """
    from gpsseg.data.cards.nnunet import further_channels
    from gpsseg.data.formats.matching import are_masks, bare, match, one_channel

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
    cases = one_channel([i.name for i in images], [mask.name for mask in masks])
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
    from gpsseg.data.formats.filenames import left_out
    from gpsseg.data.sources import find_sources

    rest: list[Path] = []
    sources, failures = find_sources([folder], config.output, rest)
    failed += [failure for failure in failures if failure not in failed]
    volumes = [source for source in sources if source.kind == "volume"]
    if not volumes and not failures:
        raise UserError(f"{option} {folder} holds no volume: NIfTI, NRRD, MHA or DICOM series.")
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
    from gpsseg.data.checks.notices import lone_notice

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
    from gpsseg.data.formats.filenames import one_form
    from gpsseg.data.formats.volumes import volume_ending

    ending = volume_ending(path) or path.suffix
    return one_form(path.name[: len(path.name) - len(ending)])


def _listed(table: Path) -> list[Pair]:
    """The volumes of a table with their masks, groups and parts."""
    from gpsseg.data.cards.tables import table_cases, table_notes
    from gpsseg.data.formats.volumes import ENDINGS, volume_ending
    from gpsseg.data.sources import Source

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
                    raise UserError(f"{table}: {path} is no volume, expected {few(ENDINGS, 9)}.")
            image, *parts = (Source(path, case.id, "volume") for path in (case.image, *masks))
            mask = _with_parts(parts)
            split = {} if part == "all" else {"split": part}
            pairs.append((image, mask, {"group": case.group or case.id, **split}))
    return pairs


def _slices(
    image: Source,
    mask: Source,
    config: SlicesConfig,
    greys: Greys,
    seen: list[Seen],
    flat: list[str],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index, picture, truth): (H, W, 3) uint8 RGB and (H, W) bool, upright."""
    from gpsseg.data.checks.notices import look
    from gpsseg.data.formats.masks import joined
    from gpsseg.data.formats.slicing import grey_range, slicing_of, to_rgb
    from gpsseg.data.shown import read_shown

    volume = read_shown(image, config.window, greys)
    slicing = slicing_of(volume, config.axis, flat)
    low, high = grey_range(volume, config.window, greys)
    masks = (mask, *mask.parts)
    looks = [_foreground(each, image, volume, config.labels) for each in masks]
    looks = [replace(found, mask=slicing.view(found.mask)) for found in looks]
    seen += [look(each.path, found) for each, found in zip(masks, looks, strict=True)]
    truths = joined([each.path for each in masks], looks, votes=False).mask
    for index, values in enumerate(slicing.view(volume.values)):
        yield index, to_rgb(values, low, high, volume.inverted), truths[index]


def _foreground(mask: Source, image: Source, volume: Volume, labels: tuple[int, ...]) -> Marked:
    """A mask's foreground, (D, H, W): two levels, or the chosen of several.

    Raises:
        UserError: it does not lie on the grid of its volume, or ``masks.foreground`` refuses it.
    """
    from gpsseg.data.formats.dicom_series import read_dicom
    from gpsseg.data.formats.masks import foreground
    from gpsseg.data.formats.stored import Stored, grey_volume, same_place
    from gpsseg.data.formats.volumes import read_volume

    if mask.headers:  # as stored: a mask is not there to be looked at
        marked = read_dicom(mask.headers, mask.path, old=True)
    else:
        marked = read_volume(mask.path)
    if volume.shape != marked.shape or not same_place(volume.affine, marked.affine):
        sizes = ["x".join(map(str, each.shape)) for each in (volume, marked)]
        raise UserError(
            f"{mask.path} does not lie on the grid of {image.path} ({sizes[1]} and {sizes[0]} "
            "voxels, or another place in space). Resample the mask on its image."
        )
    return foreground(Stored(grey_volume(marked, mask.path)), mask.path, labels)


if __name__ == "__main__":
    run_command(cut, SlicesConfig, "slices")
