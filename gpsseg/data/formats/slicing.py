"""Volumes as pictures for a two-dimensional network: which slices, which way up, which greys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpsseg.data.formats import greys_0_1
from gpsseg.data.formats.greys import Greys, between, finite, scaled
from gpsseg.data.formats.volumes import Volume
from gpsseg.errors import UserError, counted, few

LEFT, BACK, HEAD = 0, 1, 2  # the axes of LPS
PLANES = {  # plane -> the axis its slices follow, and where rows and columns lead on a screen
    "axial": (HEAD, (BACK, 1), (LEFT, 1)),
    "coronal": (BACK, (HEAD, -1), (LEFT, 1)),
    "sagittal": (LEFT, (HEAD, -1), (BACK, 1)),
}
SAMPLE = 2_000_000  # voxels are enough to tell a volume's range of values


@dataclass(frozen=True)
class Slicing:
    """A way to cut an array (D, H, W, ...) into upright slices.

    Attributes:
        order: which of D, H and W (0, 1, 2) become slices, rows and columns.
        flips: which of the results, rows (1) and columns (2), run backwards.
    """

    order: tuple[int, int, int]
    flips: tuple[int, ...]

    def view(self, values: np.ndarray) -> np.ndarray:
        """The slices (N, rows, columns, ...): a view, so that what is written to it arrives.

        >>> volume = np.zeros((2, 3, 4))
        >>> Slicing((2, 0, 1), (1,)).view(volume)[3, 0, 2] = 7
        >>> volume[1, 2, 3]
        np.float64(7.0)
        """
        rest = range(3, values.ndim)
        return np.flip(values.transpose(*self.order, *rest), self.flips)


def find_slicing(affine: np.ndarray, axis: str = "auto") -> Slicing:
    """How to cut a volume so that its slices lie as a radiologist is used to see them.

    Axial slices have the patient's front at the top and the right side on the left; coronal and
    sagittal ones the head at the top. An oblique volume is cut along the axis nearest to the one
    asked for; nothing is resampled.

    Args:
        affine: (4, 4), index (d, h, w) -> LPS mm.
        axis: axial, coronal or sagittal; auto cuts along D, as most scanners store slices.
    """
    from nibabel.orientations import io_orientation

    nearest = io_orientation(affine)  # for each of D, H, W: the axis of LPS, and 1 or -1
    leads = {int(world): (array, sign) for array, (world, sign) in enumerate(nearest)}
    if axis == "auto":
        axis = next(plane for plane, (along, *_) in PLANES.items() if leads[along][0] == 0)
    along, *shown = PLANES[axis]
    order = (leads[along][0], *(leads[world][0] for world, _ in shown))
    flips = tuple(i for i, (world, wanted) in enumerate(shown, 1) if leads[world][1] != wanted)
    return Slicing((order[0], order[1], order[2]), flips)


def slicing_of(volume: Volume, axis: str, flat: list[str]) -> Slicing:
    """How to cut a volume, see ``find_slicing``; one of a single slice is cut along that alone.

    Args:
        volume: to cut.
        axis: that was asked for.
        flat: is given the volume's name where its one slice lies in another plane than asked for.
    """
    own = own_plane(volume.shape, volume.affine)
    if own is not None and axis not in ("auto", own) and volume.source.name not in flat:
        flat.append(volume.source.name)
    return find_slicing(volume.affine, own or axis)


def own_plane(shape: tuple[int, ...], affine: np.ndarray) -> str | None:
    """The plane of the only slice of a volume (D, H, W); None of several slices, or of a line."""
    from nibabel.orientations import io_orientation

    thin = [axis for axis, length in enumerate(shape) if length == 1]
    if len(thin) != 1:
        return None
    world = int(io_orientation(affine)[thin[0]][0])
    return next(plane for plane, (along, *_) in PLANES.items() if along == world)


def flat_note(flat: Sequence[str], axis: str) -> str:
    """One line on volumes of a single slice that were not cut as asked for; '' without any."""
    if not flat:
        return ""
    what = counted(len(flat), "volume is a single slice", "volumes are single slices")
    one = "it is one picture, whatever" if len(flat) == 1 else "each is one picture, whatever"
    return f"note: {what}: {one} the axis ({axis}): {few(flat)}"


def grey_range(
    volume: Volume, window: tuple[float, float] | None = None, greys: Greys | None = None
) -> tuple[float, float]:
    """What is shown as black and as white.

    Args:
        volume: grey; of a coloured one it does not matter.
        window: centre and width, as given by the user.
        greys: of the run, if there is one.

    Returns:
        (low, high): from the window given, else the run's, else the file's own, else 0 to 255 for
        8-bit values, else the 0.5 and 99.5 percentiles of the whole volume. A file's own window
        that shows nothing of what is in it does not count.

    Raises:
        UserError: no value is a number.
    """
    if volume.values.dtype == np.uint8 and window is None and volume.window is None:
        window = shared_window(greys, volume.hounsfield)
        if window is None:
            return 0.0, 255.0
    sample = sample_of(volume)
    window = window or shared_window(greys, volume.hounsfield)
    if greys is not None and greys.old:
        return greys_0_1.grey_range(volume, window)
    if window is not None:
        return window[0] - window[1] / 2, window[0] + window[1] / 2
    found = between(sample)
    if volume.window is None or _shows_nothing(volume.window, found):
        return found
    return volume.window


def shared_window(greys: Greys | None, hounsfield: bool) -> tuple[float, float] | None:
    """Centre and width that a run shows all volumes by, or all CT; None where it has none."""
    if greys is None or (greys.of_ct and not hounsfield):
        return None
    return greys.window


def _shows_nothing(window: tuple[float, float], found: tuple[float, float]) -> bool:
    """Whether a window leaves all of a volume black, or white, though it is not flat."""
    return found[0] < found[1] and (found[1] <= window[0] or found[0] >= window[1])


def sample_of(volume: Volume) -> np.ndarray:
    """(n,) enough of the values that count.

    Raises:
        UserError: there is none.
    """
    step = max(1, round((volume.values.size / SAMPLE) ** (1 / 3)))
    sample = finite(volume.values[::step, ::step, ::step])
    if not sample.size:
        sample = finite(volume.values)
    if not sample.size:
        raise UserError(f"{volume.source} holds NaN or infinity only, expected an image.")
    return sample


def to_rgb(values: np.ndarray, low: float, high: float, inverted: bool = False) -> np.ndarray:
    """A slice as uint8 (H, W, 3) RGB; ``low`` and what lies below it is black, and so is NaN.

    >>> to_rgb(np.array([[-200.0, 40.0, 500.0]]), -160, 240)[0, :, 0]
    array([  0, 128, 255], dtype=uint8)
    """
    if values.ndim == 3:
        return np.ascontiguousarray(values)
    return np.repeat(scaled(values, low, high, inverted)[..., None], 3, axis=2)
