"""A mask's picture -> one channel of values: what its colours, palette and transparency mean.

Greys are taken as they are. One colour on black, whichever, counts by its brightest channel. Any
other colours (on white, or several) do not say which is foreground, and are refused. Transparency
that is the same everywhere means nothing; where it varies and the colour does not, it is the mask;
where both vary, they must mark the same (of a map of classes: everything but 0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageChops

from gpsseg.data.formats.distinct import BLOCK, FEW, distinct, distinct_colours, percent
from gpsseg.data.formats.levels import ADVICE, mark
from gpsseg.errors import UserError

PLAIN = frozenset({"1", "L", "I", "I;16", "I;16L", "I;16B", "F"})
WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
MODES = frozenset({"P", "RGB", *WITH_ALPHA, *PLAIN})  # what need not become RGB before
BLACK = 32  # brightest channel of what counts as black beside a colour
TINT = 24  # between channels: less of it is what JPEG adds to a grey
FAR = 64  # distance in red, green and blue from which on a colour is another
TURN = 0.25  # how far one colour's channels may be apart, as shares of the brightest, in a JPEG


def is_lossy(image: Image.Image) -> bool:
    """Whether a decoded file was compressed as JPEG is."""
    return bool(image.info.get("lossy")) or image.info.get("compression") == "jpeg"


def one_channel(
    image: Image.Image, path: Path, deep: Callable[[], np.ndarray] | None = None
) -> np.ndarray:
    """The values of a decoded mask: (H, W), of the stored type; True of one bit is 1.

    Args:
        image: decoded.
        path: names the file in errors.
        deep: gives the colours as stored, (H, W, 3), of a picture that has more than 8 bits.

    Raises:
        UserError: colours or transparency do not say what is foreground; the text names ``path``.
    """
    if image.mode in PLAIN:
        values = np.asarray(image)  # Pillow's True is the byte 255, NumPy's is 1
        return values.view(np.uint8) > 0 if values.dtype == bool else values
    if image.mode in WITH_ALPHA or image.info.get("transparency") is not None:
        alpha = image.convert("RGBA").getchannel("A")
        if len(set(alpha.getextrema())) > 1:
            return _with_alpha(image, path)
        pixels = np.asarray(image.convert("RGB"))
        if alpha.getextrema() == (0, 0) and (pixels == pixels[:1, :1]).all():
            return np.zeros(alpha.size[::-1], np.uint8)  # nothing is seen, and nothing hidden
    if deep is not None:
        return deep_channel(deep(), path)
    full = image.convert("RGBA") if image.mode in WITH_ALPHA else image
    values = _colours(full.convert("RGB"), path, is_lossy(image))
    return _indices(image, values)


def deep_channel(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The grey values of (H, W, 3) colours of more than 8 bits, of the stored type.

    Raises:
        UserError: as ``one_channel``.
    """
    if pixels.ndim == 2:
        return pixels
    if (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    top = float(pixels.max())
    shown = Image.fromarray((pixels * (255 / top)).round().clip(0, 255).astype(np.uint8))
    _colours(shown, path, False)
    return np.asarray(pixels.max(axis=2))


def grey_of(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The values of a coloured volume: (D, H, W) of (D, H, W, 3) uint8 RGB.

    Raises:
        UserError: as ``one_channel``.
    """
    rows = np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-2], 3)
    return _colours(Image.fromarray(rows), path, False).reshape(pixels.shape[:-1])


def hide_transparent(image: Image.Image) -> Image.Image:
    """A picture of classes in RGB, black where it is transparent, if that varies."""
    shown = image.convert("RGB")
    if image.mode in WITH_ALPHA or image.info.get("transparency") is not None:
        alpha = image.convert("RGBA").getchannel("A")
        if len(set(alpha.getextrema())) > 1:
            return Image.composite(
                shown,
                Image.new("RGB", shown.size),
                alpha.point([255 * (a > 127) for a in range(256)]),
            )
    return shown


def _indices(image: Image.Image, values: np.ndarray) -> np.ndarray:
    """A palette's numbers where its colours do not tell them apart; else the values."""
    if image.mode == "P" and values.min() == values.max():
        numbers = np.asarray(image)
        return numbers if numbers.min() != numbers.max() else values
    return values


def _with_alpha(image: Image.Image, path: Path) -> np.ndarray:
    """The values of a mask whose transparency varies."""
    full = image.convert("RGBA")
    alpha = np.asarray(full.getchannel("A"))
    least, most = alpha.min(), alpha.max()
    lossy = is_lossy(image)
    try:
        colour = _indices(image, _colours(full.convert("RGB"), path, lossy))
        if not lossy and _same_classes(colour, mark(alpha, path).mask):
            return colour
        seen = mark(colour, path, lossy).mask
    except UserError:
        return _alpha_of_one_colour(full, alpha, path)
    if seen.any() != seen.all() and image.mode not in WITH_ALPHA:
        return colour  # of a palette only a colour is transparent, often by chance
    if seen.all() or not seen.any():
        return alpha if colour.min() == colour.max() else _refuse_alpha(path)
    edge = (alpha > least) & (alpha < most)
    if ((mark(alpha, path).mask == seen) | edge).all():
        return colour
    _refuse_alpha(path)


def _same_classes(values: np.ndarray, opaque: np.ndarray) -> bool:
    """Whether values (H, W) are several levels, as of classes, just where they are opaque."""
    return np.array_equal(values > 0, opaque) and 2 < len(distinct(values)[0]) <= FEW


def _alpha_of_one_colour(full: Image.Image, alpha: np.ndarray, path: Path) -> np.ndarray:
    """The transparency, if what is seen is all of one colour, and not black."""
    opaque = mark(alpha, path).mask
    colours = np.unique(np.asarray(full)[opaque][:, :3], axis=0)
    if len(colours) == 1 and colours.max() > BLACK:
        return alpha
    _refuse_alpha(path)


def _refuse_alpha(path: Path) -> NoReturn:
    raise UserError(
        f"{path} has colours and a transparency that both vary and do not mark the same, expected "
        "one of them. Save it as grey without transparency, 0 and 255."
    )


def _colours(image: Image.Image, path: Path, lossy: bool) -> np.ndarray:
    """The grey values of an RGB picture: uint8 (H, W)."""
    red, green, blue = image.split()
    one = np.asarray(red)
    if np.array_equal(one, np.asarray(green)) and np.array_equal(one, np.asarray(blue)):
        return one
    pairs = ((red, green), (green, blue))
    tint = max(int(np.asarray(ImageChops.difference(*pair)).max()) for pair in pairs)
    if not (lossy and tint <= TINT):
        _refuse_colours(np.asarray(image), path, lossy)
    return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))


def _refuse_colours(pixels: np.ndarray, path: Path, lossy: bool) -> None:
    """Refuse anything but one colour on black.

    Raises:
        UserError: there are others; the text names some with their shares.
    """
    colours, counts = distinct_colours(pixels)
    if lossy or len(colours) > 16:
        even = _even(pixels, 16 if lossy else 0)
        if even.mean() >= 0.5:
            colours, counts = distinct_colours(pixels[even])
    brightest = colours.max(axis=1)
    lit = brightest > BLACK
    shares = colours[lit] / np.maximum(brightest[lit], 1)[:, None]
    first = shares[counts[lit].argmax()] if lit.any() else 0
    # Rounding moves the channels of dark colours most.
    allowed = TURN if lossy else 2 / np.maximum(brightest[lit], 1)
    other = counts[lit][np.abs(shares - first).max(axis=1, initial=0) > allowed].sum()
    if other <= (0.01 * counts.sum() if lossy else 0):
        return
    order = np.argsort(-counts)[:4]
    named = ", ".join(
        f"{'/'.join(map(str, colours[i].tolist()))} ({percent(counts[i] / counts.sum())})"
        for i in order
    )
    more = f" and {len(colours) - 4} more" if len(colours) > 4 else ""
    raise UserError(
        f"{path} holds the colours {named}{more} (red/green/blue), which do not say what is "
        f"foreground; expected greys, or one colour on black. Save it as grey, 0 and 255. {ADVICE}"
    )


def _even(pixels: np.ndarray, most: int) -> np.ndarray:
    """Where each channel differs by ``most`` or less within a square of three pixels: (H, W)."""
    from scipy import ndimage

    low, high = (f(pixels, (3, 3, 1)) for f in (ndimage.minimum_filter, ndimage.maximum_filter))
    return np.asarray((high - low <= most).all(axis=2))


def nearest_colours(
    pixels: np.ndarray, known: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Which known colour is nearest to each pixel, uint8 (H, W), and where none is near, bool.

    Worked out a few rows at a time, as distances take many times the picture's memory.
    """
    best = np.zeros(pixels.shape[:2], np.uint8)
    far = np.zeros(pixels.shape[:2], bool)
    rows = max(1, BLOCK // pixels.shape[1])
    for start in range(0, len(pixels), rows):
        band = slice(start, start + rows)
        part = pixels[band].astype(np.int32)
        distances = np.stack([((part - colour) ** 2).sum(axis=2) for colour in known])
        best[band], far[band] = distances.argmin(axis=0), distances.min(axis=0) > FAR**2
    return best, far


def foreign_colour(
    pixels: np.ndarray, far: np.ndarray, lossy: bool
) -> tuple[tuple[int, ...], float] | None:
    """A colour far from all that are known, away from edges, and its own share; None without one.

    Args:
        pixels: (H, W, 3) uint8.
        far: (H, W) bool, where no known colour is near.
        lossy: whether it is a JPEG.
    """
    if not far.any():
        return None
    areas = far & _even(pixels, 16 if lossy else 0)
    if areas.mean() <= (0.01 if lossy else 0):
        return None
    colours, counts = distinct_colours(pixels[areas])
    colour = colours[counts.argmax()]
    reach = FAR**2 if lossy else 0
    same = far & (((pixels.astype(np.int32) - colour) ** 2).sum(axis=2) <= reach)
    return tuple(colour.tolist()), float(same.mean())
