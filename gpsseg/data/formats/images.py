"""Read images as arrays, whatever way they were saved."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gpsseg.data.formats.beyond import Reaches
from gpsseg.data.formats.deep import holds_deep_colour, read_deep_colour
from gpsseg.data.formats.filenames import image_endings
from gpsseg.data.formats.greys import Greys, show
from gpsseg.data.formats.lossy import is_lossy_file
from gpsseg.data.formats.odd_tiff import read_odd_tiff
from gpsseg.data.formats.pages import pages, refuse_pages, refuse_several
from gpsseg.data.formats.room import refuse_large_picture
from gpsseg.errors import UserError, shown
from gpsseg.faults import file_error, is_machines, naming
from gpsseg.files import write_bytes

EXTENSIONS = image_endings()
ROWS = 1024  # of an image at a time
SIXTEEN = frozenset({"I;16", "I;16L", "I;16B"})
PHOTOMETRIC = 262  # TIFF's tag
DEEP = SIXTEEN | {"I", "F"}  # Pillow's modes of more than 8 bits


def read_image(
    path: Path, greys: Greys | None = None, reaches: Reaches | None = None
) -> np.ndarray:
    """Read an image as uint8 (H, W, 3) RGB, upright (EXIF rotation applied).

    Grey images are repeated, an alpha channel is dropped, values of more than 8 bits are scaled to
    8 bits by the rule of ``gpsseg.data.formats.greys``.

    Args:
        path: of the image.
        greys: of the set or the run that it belongs to; None lets it go by itself.
        reaches: is given what it holds.

    Raises:
        UserError: the file is missing, empty, truncated or no image; the text names it.
    """
    if greys is not None and greys.old:
        values = np.asarray(decode(path, {"RGB", *DEEP}, turn_white=False))
    else:
        values = read_picture(path)
    return as_rgb(values, greys, path, reaches)


def read_pages(
    path: Path, greys: Greys | None = None, reaches: Reaches | None = None
) -> Iterator[np.ndarray]:
    """Read pages of a TIFF, or pictures of an animation, each uint8 (H, W, 3) as ``read_image``.

    Raises:
        UserError: as ``read_image``; after the pages that are there.
    """
    if odd := read_odd_tiff(path):
        yield from (as_rgb(values, greys, path, reaches) for values in odd)
        return
    old = greys is not None and greys.old
    with _opened(path) as (image, _):
        for page in pages(image):
            image.seek(page)
            if old:
                values = np.asarray(_upright(image, path, {"RGB", *DEEP}, turn_white=False))
            else:
                values = _stored(image, path, page)
            yield as_rgb(values, greys, path, reaches)


def as_rgb(
    values: np.ndarray, greys: Greys | None, path: Path, reaches: Reaches | None = None
) -> np.ndarray:
    """What ``read_picture`` gave as uint8 (H, W, 3) RGB; ``reaches`` is given what it holds."""
    with naming(path):
        if reaches is not None:
            reaches.add(path, values)
        picture = show(values, greys)
        return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def read_picture(path: Path) -> np.ndarray:
    """Read an image upright: uint8 (H, W, 3) RGB, or (H, W) or (H, W, 3) of more than 8 bits.

    Raises:
        UserError: as ``read_image``.
    """
    try:
        with _opened(path) as (image, _):
            refuse_pages(image, path)
            return _stored(image, path)
    except UserError:
        odd = read_odd_tiff(path)
        if not odd:
            raise
        refuse_several(len(odd), path)
        return odd[0]


def _stored(image: Image.Image, path: Path, page: int = 0) -> np.ndarray:
    """The page that an open image is at, as ``read_picture`` gives it."""
    orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    upright = _upright(image, path, {"RGB", *DEEP})
    values = _array_of(upright)
    if upright.mode != "RGB" or not holds_deep_colour(path, page):
        return values
    deep = read_deep_colour(path, values, orientation, page)
    if deep is None and page:
        raise UserError(
            f"{path}: the colours of page {page + 1} have more than 8 bits, which cannot be read "
            "of this kind of file. Save each page as a PNG of its own."
        )
    return values if deep is None else deep


def _array_of(image: Image.Image) -> np.ndarray:
    """An image's values; a stripe at a time, as Pillow holds all of its bytes twice meanwhile."""
    size = image.width, image.height
    rows = (
        image.crop((0, top, size[0], min(size[1], top + ROWS))) for top in range(0, size[1], ROWS)
    )
    first = np.asarray(next(rows))
    values = np.empty((size[1], *first.shape[1:]), first.dtype)
    values[:ROWS] = first
    for number, stripe in enumerate(rows, 1):
        values[number * ROWS : (number + 1) * ROWS] = np.asarray(stripe)
    return values


def _upright(
    image: Image.Image,
    path: Path,
    modes: Collection[str],
    turn_white: bool = True,
    in_place: bool = False,
) -> Image.Image:
    """Turn an image upright, and make it RGB unless its mode is in ``modes``.

    Args:
        image: open; of several pages the one that it is at.
        path: of its file, for the error.
        modes: Pillow's modes to leave alone.
        turn_white: of 16-bit greys that count from white; version 0.1 left these as they were.
        in_place: for a file of one page: what is returned then knows its format.
    """
    refuse_large_picture(image, path)
    image.load()
    white_is_0 = turn_white and _white_is_0(image)
    if in_place:
        ImageOps.exif_transpose(image, in_place=True)
    elif image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it is copied for nothing
        image = ImageOps.exif_transpose(image)
    upright = _black_is_0(image, white_is_0)
    return upright if upright.mode in modes else upright.convert("RGB")


def _white_is_0(image: Image.Image) -> bool:
    """Whether a TIFF of 16-bit greys counts from white; of 8 bits Pillow turns these around."""
    return image.mode in SIXTEEN and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0


def _black_is_0(image: Image.Image, white_is_0: bool) -> Image.Image:
    if not white_is_0:
        return image
    values = 65535 - np.asarray(image).astype(np.uint16)
    turned = Image.fromarray(values)
    turned.format, turned.info = image.format, image.info
    return turned


def read_small(
    path: Path, side: int, mode: Literal["L", "RGB"] = "L", greys: Greys | None = None
) -> Image.Image:
    """Read an image reduced to a longest side of ``side`` to twice that (or smaller), upright.

    A JPEG is decoded at a fraction of its size, which is many times faster than ``read_image``.
    Values of more than 8 bits are shown by ``greys``, else each image goes by itself.

    Raises:
        UserError: as ``read_image``.
    """
    try:
        image = decode(path, {"L", "RGB", *DEEP}, (mode, side))
    except UserError:
        odd = read_odd_tiff(path)
        if not odd:
            raise
        image = Image.fromarray(show(odd[0], greys))
    with naming(path):
        if image.mode in DEEP:
            image = Image.fromarray(show(np.asarray(image), greys))
        elif image.mode == "RGB" and holds_deep_colour(path):
            image = Image.fromarray(show(read_picture(path), greys))
        image = image.convert(mode)
        image.thumbnail((2 * side, 2 * side), Image.Resampling.BOX)
        return image


def decode(
    path: Path,
    modes: Collection[str],
    draft: tuple[str, int] | None = None,
    turn_white: bool = True,
) -> Image.Image:
    """Decode a whole file, turn it upright, and make it RGB unless its mode is in ``modes``.

    Args:
        path: of the file.
        modes: Pillow's modes to leave alone.
        draft: decode a JPEG in this mode and at a fraction of its size, not below these pixels.
        turn_white: as for ``_upright``.
    """
    with _opened(path) as (image, file):
        if draft is not None:
            image.draft(draft[0], (draft[1], draft[1]))
        refuse_pages(image, path)
        upright = _upright(image, path, modes, turn_white, in_place=True)
        upright.info["lossy"] = is_lossy_file(image.format, file)
        return upright


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, IO[bytes]]]:
    """An image and its file; what is wrong within the block is said as ``read_image`` does."""
    with naming(path):
        if not path.is_file() and path.exists():  # opening a pipe would wait for ever
            what = "a folder" if path.is_dir() else "no file"
            raise UserError(
                f"{path} cannot be read: it is {what}, expected a JPEG, PNG, BMP, TIFF or GIF "
                "image."
            )
    try:  # opened here: given a path, Pillow 13 garbles a rotated TIFF that it maps into memory
        with path.open("rb") as file, Image.open(file) as image:
            yield image, file
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise UserError(
            f"{path} has more than {most:.0f} million pixels, the most that are read of one image. "
            "Cut it into parts, or save it smaller."
        ) from None
    except Exception as error:  # damaged files make decoders fail in every way there is
        if is_machines(error):
            raise file_error(path, error) from None
        raise UserError(
            f"{path} {_why(path, error)}; expected a JPEG, PNG, BMP, TIFF or GIF image. Copy it "
            "again from its source."
        ) from None


def _why(path: Path, error: Exception) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "is an empty file (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is not a readable image"
    return f"cannot be read ({shown(str(error))})"


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture by its path's ending, atomically.

    Args:
        path: ends as one of Pillow's formats does, such as .png.
        picture: (H, W) or (H, W, 3) RGB uint8 or bool; bool becomes 0 and 255.

    Raises:
        KeyError: no format has that ending.
        OSError: it cannot be written, or the format takes no such values.
    """
    write_picture(path, picture.astype(np.uint8) * 255 if picture.dtype == bool else picture)


def write_picture(path: Path, pixels: np.ndarray, quality: int = 90) -> None:
    """Write uint8 pixels (H, W) or (H, W, 3) by the path's ending, atomically.

    A JPEG has a quality. They are encoded in memory: Pillow itself does not notice a file that was
    cut off as the disk was full.
    """
    kind = Image.registered_extensions()[path.suffix.lower()]
    encoded = io.BytesIO()
    options = {"quality": quality} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(encoded, kind, **options)
    write_bytes(path, encoded.getvalue())
