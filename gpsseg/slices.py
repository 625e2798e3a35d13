"""`python -m gpsseg.slices`: volumes with masks -> pictures to train a 2-D network on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.predict import SlicesConfig
from gpsseg.console import progress, run_command, say
from gpsseg.errors import SomeFailedError, UserError, fault_of, few, stops_all
from gpsseg.files import make_folder, new_folder, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from gpsseg.data.greys import Greys
    from gpsseg.data.levels import Marked
    from gpsseg.data.notices import Seen
    from gpsseg.data.sources import Source

OF_A_VOLUME = 50_000  # voxels of each are enough to tell the percentiles of a set


def cut(config: SlicesConfig) -> Path:
    """Write images/, masks/ and cases.csv, and return the table's path; see ``SlicesConfig``.

    Beside the table, slices.json says how they were cut, for the run that is trained on them.

    Raises:
        UserError: there is no volume, or one has no mask; nothing was written.
        SomeFailedError: some volumes cannot be read or do not fit their mask; the others are there.
    """
    from gpsseg.data.notices import notices
    from gpsseg.data.shown import save_cut

    failed: list[tuple[Path, str]] = []
    pairs = _pair(config, failed)
    new_folder(config.output)
    for _, why in failed:
        say(f"failed: {why}", style="yellow")
    greys = _greys_of([image for image, _, _ in pairs], config)
    rows: list[dict[str, str]] = []
    seen: list[Seen] = []
    volumes = len(pairs) + len(failed)
    for image, mask, facts in progress(pairs, "cutting", len(pairs)):
        written: list[Path] = []
        try:
            rows += _cut_one(image, mask, facts, config, greys, written, seen)
        except Exception as error:
            for path in written:  # half a volume is none
                path.unlink(missing_ok=True)
            why = fault_of(image.path, error)
            if stops_all(error):
                raise UserError(f"{config.output} cannot be written to: {why}") from None
            say(f"failed: {why}", style="yellow")
            failed.append((image.path, why))
    _refuse_no_label(config, seen)
    for note in notices(seen):
        say(note, style="yellow")
    table = config.output / "cases.csv"
    if rows:
        write_rows(table, rows)
        save_cut(table, greys)
    say(f"{len(rows)} slices of {volumes - len(failed)} volumes are listed in {table}.")
    if failed:
        raise SomeFailedError(
            f"{len(failed)} of {volumes} volumes could not be cut:\n"
            + "\n".join(why for _, why in failed),
            failed,
        )
    return table


def _refuse_no_label(config: SlicesConfig, seen: Sequence[Seen]) -> None:
    """Refuse --labels that no mask holds, and say which of them none holds.

    Raises:
        UserError: all masks are empty.
    """
    there = {number for each in seen for number in each.classes}
    lacking = [label for label in config.labels if label not in there]
    listed = " ".join(map(str, lacking))
    if seen and config.labels and not there:
        for path in sorted(config.output.rglob("*"), reverse=True):  # all of it is ours
            path.rmdir() if path.is_dir() else path.unlink()
        raise UserError(
            f"--labels {listed}: none of {len(seen)} masks holds such a value. Name others, or "
            "leave --labels out for masks of two levels."
        )
    if seen and lacking:
        say(f"note: no mask holds the labels {listed}.", style="yellow")


def _greys_of(images: Sequence[Source], config: SlicesConfig) -> Greys:
    """How the volumes are shown: by the window that was named; without one, all CT alike.

    Of CT that is the window that most of the series have, or else the percentiles of all of them:
    Hounsfield units mean the same in each. Every other volume goes by itself.
    """
    from gpsseg.data.greys import Greys

    greys = Greys(window=config.window, axis=config.axis, labels=config.labels)
    known = [source for source in images if source.headers and source.headers[0].hounsfield]
    if config.window is not None or not known:
        return greys
    middles = [source.headers[len(source.headers) // 2].window for source in known]
    windows = [window for window in middles if window is not None]
    low, high = Counter(windows).most_common(1)[0][0] if windows else _range_of(known)
    window = ((low + high) / 2, high - low)
    say(
        f"CT is shown by one window, {window[0]:g} {window[1]:g}, "
        + ("as most of these series ask for." if windows else "from the percentiles of all of it.")
        + " Name another by --window."
    )
    return dataclasses.replace(greys, window=window, of_ct=len(known) < len(images))


def _range_of(known: Sequence[Source]) -> tuple[float, float]:
    """(low, high): the percentiles of several volumes together; each is read once for it."""
    import numpy as np

    from gpsseg.data.dicom_series import read_dicom
    from gpsseg.data.greys import between
    from gpsseg.data.slicing import sample_of

    samples = []
    for source in progress(known, "looking at greys", len(known)):
        try:
            sample = sample_of(read_dicom(source.headers, source.path, curves=False))
        except Exception:  # cutting it will say what is wrong
            continue
        samples.append(sample[:: -(-sample.size // OF_A_VOLUME)].astype(np.float32))
    low, high = between(np.concatenate(samples)) if samples else (-1000.0, 1000.0)
    return low, max(high, low + 1)


def _cut_one(
    image: Source,
    mask: Source,
    facts: dict[str, str],
    config: SlicesConfig,
    greys: Greys,
    written: list[Path],
    seen: list[Seen],
) -> list[dict[str, str]]:
    """Write one volume's slices and return their rows; ``written`` names each file as it comes.

    ``seen`` grows by what the mask is like.
    """
    from gpsseg.outputs import save_picture

    rows = []
    for index, picture, truth in _slices(image, mask, config, greys, seen):
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
    """Find the mask of every volume: by its name, words such as _seg or _mask left out.

    Files that cannot be read, and volumes that lack their mask for it, are added to ``failed``.
    """
    from gpsseg.data.notices import lone_notice
    from gpsseg.data.pairs import bare
    from gpsseg.data.sources import find_sources

    if config.table:
        return _listed(config.table)
    assert config.images is not None
    assert config.masks is not None
    found = []
    for option, folder in (("--images", config.images), ("--masks", config.masks)):
        sources, failures = find_sources([folder], config.output)
        failed += failures
        volumes = [source for source in sources if source.kind == "volume"]
        if not volumes and not failures:
            raise UserError(f"{option} {folder} holds no volume: NIfTI, NRRD, MHA or DICOM series.")
        found.append(volumes)
    images, masks = found
    by_name = {bare(mask.name): mask for mask in masks}
    missing = [image.name for image in images if bare(image.name) not in by_name]
    unreadable = {bare(_stem(path)) for path, _ in failed}
    if set(map(bare, missing)) - unreadable:
        raise UserError(
            f"--masks {config.masks}: {len(missing)} of {len(images)} volumes have no mask: "
            f"{few(missing)}. Expected a file of that name."
        )
    used = {bare(image.name) for image in images}
    for note in lone_notice([m.name for m in masks if bare(m.name) not in used], what="volume"):
        say(note, style="yellow")
    return [
        (image, by_name[bare(image.name)], {"group": image.name})
        for image in images
        if bare(image.name) in by_name
    ]


def _stem(path: Path) -> str:
    """A file's name without the ending of a volume or of DICOM; a folder's name."""
    from gpsseg.data.volumes import volume_ending

    return path.name.removesuffix(volume_ending(path) or path.suffix)


def _listed(table: Path) -> list[Pair]:
    """The volumes of a table with their masks, groups and parts."""
    from gpsseg.data.sources import Source
    from gpsseg.data.tables import table_cases
    from gpsseg.data.volumes import ENDINGS, volume_ending

    pairs: list[Pair] = []
    for part, cases in table_cases(table).items():
        for case in cases:
            assert case.mask is not None
            for path in (case.image, case.mask):
                if not volume_ending(path):
                    raise UserError(f"{table}: {path} is no volume, expected {few(ENDINGS, 9)}.")
            image, mask = (Source(path, case.id, "volume") for path in (case.image, case.mask))
            split = {} if part == "all" else {"split": part}
            pairs.append((image, mask, {"group": case.group or case.id, **split}))
    return pairs


def _slices(
    image: Source, mask: Source, config: SlicesConfig, greys: Greys, seen: list[Seen]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index, picture, truth): (H, W, 3) uint8 RGB and (H, W) bool, upright."""
    import numpy as np

    from gpsseg.data.dicom_series import read_dicom
    from gpsseg.data.notices import look
    from gpsseg.data.slicing import find_slicing, grey_range, to_rgb
    from gpsseg.data.volumes import read_volume
    from gpsseg.writer import read_shown

    volume = read_shown(image, config.window, greys)
    if mask.headers:  # as stored: a mask is not there to be looked at
        marked = read_dicom(mask.headers, mask.path, old=True)
    else:
        marked = read_volume(mask.path)
    if volume.shape != marked.shape or not np.allclose(
        volume.affine, marked.affine, rtol=1e-3, atol=1e-2
    ):
        sizes = ["x".join(map(str, each.shape)) for each in (volume, marked)]
        raise UserError(
            f"{mask.path} does not lie on the grid of {image.path} ({sizes[1]} and {sizes[0]} "
            "voxels, or another place in space). Resample the mask on its image."
        )
    slicing, (low, high) = (
        find_slicing(volume.affine, config.axis),
        grey_range(volume, config.window, greys),
    )
    found = _foreground(marked.values, mask.path, config.labels)
    truths = slicing.view(found.mask)
    seen.append(look(mask.path, dataclasses.replace(found, mask=truths)))
    for index, values in enumerate(slicing.view(volume.values)):
        yield index, to_rgb(values, low, high, volume.inverted), truths[index]


def _foreground(values: np.ndarray, path: Path, labels: tuple[int, ...]) -> Marked:
    """A mask's foreground: two levels, or the chosen of several."""
    import numpy as np

    from gpsseg.data.colours import grey_of
    from gpsseg.data.levels import Marked, mark, whole

    if values.ndim == 4:
        values = grey_of(values, path)
    if labels:
        numbers = whole(values, path, negative=True)
        there = frozenset(label for label in labels if (numbers == label).any())
        return Marked(np.isin(numbers, labels), classes=there)
    try:
        return mark(values, path)
    except UserError as error:
        raise UserError(f"{error} Or name the foreground's values, such as --labels 1.") from None


if __name__ == "__main__":
    run_command(cut, SlicesConfig, "slices")
