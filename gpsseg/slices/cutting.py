"""One volume -> its slices as pictures, each with its mask; and the greys of all volumes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpsseg.config.slices import SlicesConfig
from gpsseg.console import progress, say
from gpsseg.data.checks.notices import MaskFacts, mask_facts
from gpsseg.data.formats.dicom_series import read_dicom
from gpsseg.data.formats.greys import Greys, between
from gpsseg.data.formats.images import save_picture
from gpsseg.data.formats.levels import Marked
from gpsseg.data.formats.masks import foreground_of, joined
from gpsseg.data.formats.slicing import grey_range, sample_of, slicing_of, to_rgb
from gpsseg.data.formats.stored import Stored, grey_volume, same_place
from gpsseg.data.formats.volumes import Volume, read_volume
from gpsseg.data.shown import read_shown
from gpsseg.data.sources import Source
from gpsseg.errors import UserError
from gpsseg.writing import make_folder

OF_A_VOLUME = 50_000  # voxels of each are enough to tell the percentiles of a set


def cut_volume(
    image: Source,
    mask: Source,
    facts: dict[str, str],
    config: SlicesConfig,
    greys: Greys,
    written: list[Path],
    seen: list[MaskFacts],
    flat: list[str],
) -> list[dict[str, str]]:
    """Write one volume's slices and return their rows; ``written`` names each file as it comes.

    ``seen`` grows by what the mask is like, ``flat`` by a volume of a single slice.
    """
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


def _slices(
    image: Source,
    mask: Source,
    config: SlicesConfig,
    greys: Greys,
    seen: list[MaskFacts],
    flat: list[str],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index, picture, truth): (H, W, 3) uint8 RGB and (H, W) bool, upright."""
    volume = read_shown(image, config.window, greys)
    slicing = slicing_of(volume, config.axis, flat)
    low, high = grey_range(volume, config.window, greys)
    masks = (mask, *mask.parts)
    looks = [_foreground(each, image, volume, config.labels) for each in masks]
    looks = [replace(found, mask=slicing.view(found.mask)) for found in looks]
    seen += [mask_facts(each.path, found) for each, found in zip(masks, looks, strict=True)]
    truths = joined([each.path for each in masks], looks, votes=False).mask
    for index, values in enumerate(slicing.view(volume.values)):
        yield index, to_rgb(values, low, high, volume.inverted), truths[index]


def _foreground(mask: Source, image: Source, volume: Volume, labels: tuple[int, ...]) -> Marked:
    """A mask's foreground, (D, H, W): two levels, or the chosen of several.

    Raises:
        UserError: it does not lie on the grid of its volume, or ``masks.foreground_of`` refuses it.
    """
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
    return foreground_of(Stored(grey_volume(marked, mask.path)), mask.path, labels)


def greys_of_volumes(images: Sequence[Source], config: SlicesConfig) -> Greys:
    """How the volumes are shown: by the window that was named; without one, all CT alike.

    Of CT that is the window that most of the series have, or else the percentiles of all of them:
    Hounsfield units mean the same in each. Every other volume goes by itself.
    """
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
