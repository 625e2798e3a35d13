"""Read images and masks as arrays, whatever way they were saved."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gpsseg.data.formats import colours
from gpsseg.data.formats.deep import holds_deep_colour, read_deep_colour, read_odd_tiff
from gpsseg.data.formats.filenames import image_endings
from gpsseg.data.formats.greys import Greys, show
from gpsseg.data.formats.levels import Marked, mark, whole
from gpsseg.data.formats.pages import pages, refuse_pages, refuse_several
from gpsseg.errors import UserError, naming
from gpsseg.files import replacing

EXTENSIONS = image_endings()
SIXTEEN = frozenset({"I;16", "I;16L", "I;16B"})
PHOTOMETRIC = 262  # TIFF's tag
DEEP = SIXTEEN | {"I", "F"}  # Pillow's modes of more than 8 bits


@dataclass(frozen=True)
class Labels:
    """The classes of a label map.

    Attributes:
        classes: of each class its stored value, (v,), or its colour, (red, green, blue), 0..255.
        chosen: which of them are foreground, by index; everything else is background.
        separate: whether a network is to tell them apart.
    """

    classes: tuple[tuple[int, ...], ...]
    chosen: tuple[int, ...]
    separate: bool = False


def read_image(path: Path, greys: Greys | None = None) -> np.ndarray:
    """Read an image as uint8 (H, W, 3) RGB, upright (EXIF rotation applied).

    Grey images are repeated, an alpha channel is dropped, values of more than 8 bits are scaled to
    8 bits by the rule of ``gpsseg.data.formats.greys``.

    Args:
        path: of the image.
        greys: of the set or the run that it belongs to; None lets it go by itself.

    Raises:
        UserError: the file is missing, empty, truncated or no image; the text names it.
    """
    if greys is not None and greys.old:
        values = np.asarray(_decode(path, {"RGB", *DEEP}, turn_white=False))
    else:
        values = read_stored(path)
    return as_rgb(values, greys, path)


def read_pages(path: Path, greys: Greys | None = None) -> Iterator[np.ndarray]:
    """Read the pages of a TIFF, or the pictures of an animation, each as ``read_image`` does.

    Raises:
        UserError: as ``read_image``; after the pages that are there.
    """
    if odd := read_odd_tiff(path):
        yield from (as_rgb(values, greys, path) for values in odd)
        return
    old = greys is not None and greys.old
    with _opened(path) as image:
        for page in pages(image):
            image.seek(page)
            if old:
                values = np.asarray(_upright(image, {"RGB", *DEEP}, turn_white=False))
            else:
                values = _stored(image, path, page)
            yield as_rgb(values, greys, path)


def as_rgb(values: np.ndarray, greys: Greys | None, path: Path) -> np.ndarray:
    """What ``read_stored`` gave as uint8 (H, W, 3) RGB; the path is for errors."""
    with naming(path):
        shown = show(values, greys)
        return shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)


def read_stored(path: Path) -> np.ndarray:
    """Read an image upright: uint8 (H, W, 3) RGB, or (H, W) or (H, W, 3) of more than 8 bits.

    Raises:
        UserError: as ``read_image``.
    """
    try:
        with _opened(path) as image:
            refuse_pages(image, path)
            return _stored(image, path)
    except UserError:
        odd = read_odd_tiff(path)
        if not odd:
            raise
        refuse_several(len(odd), path)
        return odd[0]


def _stored(image: Image.Image, path: Path, page: int = 0) -> np.ndarray:
    """The page that an open image is at, as ``read_stored`` gives it."""
    orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    upright = _upright(image, {"RGB", *DEEP})
    values = np.asarray(upright)
    if upright.mode != "RGB" or not holds_deep_colour(path, page):
        return values
    deep = read_deep_colour(path, values, orientation, page)
    if deep is None and page:
        raise UserError(
            f"{path}: the colours of page {page + 1} have more than 8 bits, which cannot be read "
            "of this kind of file. Save each page as a PNG of its own."
        )
    return values if deep is None else deep


def _upright(
    image: Image.Image, modes: Collection[str], turn_white: bool = True, in_place: bool = False
) -> Image.Image:
    """Turn an image upright, and make it RGB unless its mode is in ``modes``.

    Args:
        image: open; of several pages the one that it is at.
        modes: Pillow's modes to leave alone.
        turn_white: of 16-bit greys that count from white; version 0.1 left these as they were.
        in_place: for a file of one page: what is returned then knows its format.
    """
    image.load()
    white_is_0 = turn_white and _white_is_0(image)
    if in_place:
        ImageOps.exif_transpose(image, in_place=True)
    upright = _black_is_0(image if in_place else ImageOps.exif_transpose(image), white_is_0)
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


def read_mask(path: Path, labels: Labels | None = None) -> np.ndarray:
    """Read a mask as bool (H, W), upright; True is foreground.

    Which of its values are foreground is said in ``gpsseg.data.formats.levels``, what colours and
    transparency mean in ``gpsseg.data.formats.colours``. With ``labels`` foreground is where one of
    the chosen classes is: by its value, or by the nearest of their colours and black (which removes
    JPEG artefacts too). NumPy files and two-dimensional volume files are read too.

    Raises:
        UserError: as ``read_image``, or the mask holds several classes (as 0, 1, 2) and there are
            no labels, a value that is no class, or one that no mask can hold (NaN, below 0).
    """
    return look_at_mask(path, labels).mask


def look_at_mask(path: Path, labels: Labels | None = None) -> Marked:
    """Read a mask as ``read_mask``, with what is worth knowing of it."""
    if labels is not None:
        numbers = read_labels(path, labels)
        return Marked(numbers > 0, classes=frozenset(np.unique(numbers).tolist()) - {0})
    values, lossy = read_values(path)
    return mark(values, path, lossy)


def read_labels(path: Path, labels: Labels | None = None) -> np.ndarray:
    """Read a mask as uint8 (H, W): 0 is background, n the n-th of the chosen classes.

    Without ``labels`` there is one class. The rules and the errors are those of ``read_mask``.
    """
    if labels is None:
        return read_mask(path).view(np.uint8)
    numbers = np.zeros(1 + len(labels.classes), np.uint8)
    for number, index in enumerate(labels.chosen, start=1):
        numbers[1 + index] = number
    return numbers[_read_classes(path, labels)]


def read_votes(paths: Sequence[Path], labels: Labels | None = None) -> np.ndarray:
    """Read one or several annotators' masks of one image as bool (H, W), by majority.

    Half of the votes is not a majority: two annotators must agree.

    Raises:
        UserError: as ``read_mask``, or the masks differ in size.
    """
    return _majority(paths, [read_mask(path, labels) for path in paths])


def read_label_votes(paths: Sequence[Path], labels: Labels | None) -> np.ndarray:
    """The same as ``read_labels``: uint8 (H, W). Where no class has a majority is background.

    Raises:
        UserError: as ``read_votes``.
    """
    maps = [read_labels(path, labels) for path in paths]
    if len(maps) == 1:
        return maps[0]
    voted = np.zeros_like(maps[0])
    for number in range(1, 1 + (len(labels.chosen) if labels else 1)):
        voted[_majority(paths, [labelled == number for labelled in maps])] = number
    return voted


def _majority(paths: Sequence[Path], masks: Sequence[np.ndarray]) -> np.ndarray:
    """Where most of bool masks are True; the paths are for the error."""
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != masks[0].shape:
            got, other = ("x".join(map(str, size)) for size in (mask.shape, masks[0].shape))
            raise UserError(
                f"{path} is {got} but {paths[0]} is {other} (height x width): the annotators' "
                "masks of one image must have one size. Export them again."
            )
    return masks[0] if len(masks) == 1 else np.sum(masks, axis=0) * 2 > len(masks)


def _read_classes(path: Path, labels: Labels) -> np.ndarray:
    """A label map as integers (H, W): 0 is background, 1 + i the class of index i."""
    if len(labels.classes[0]) == 3:
        return _read_colours(path, labels)
    values = whole(_class_values(path), path)
    known = [value for (value,) in labels.classes]
    foreign = set(np.unique(values).tolist()) - {0, *known}
    if foreign:
        raise UserError(
            f"{path} holds the value {min(foreign)}, expected 0 or a class of the data card: "
            f"{', '.join(map(str, known))}. Add it to `classes`, or mend the mask."
        )
    classes = np.zeros(values.shape, np.uint8)
    for index, value in enumerate(known, start=1):
        classes[values == value] = index
    return classes


def _class_values(path: Path) -> np.ndarray:
    """The values of a label map (H, W); of a palette its numbers, of one bit 0 and 1."""
    if path.suffix.lower() not in EXTENSIONS:
        return read_values(path)[0]
    image = _decode(path, colours.MODES)
    return np.asarray(image) if image.mode == "P" else colours.one_channel(image, path)


def _read_colours(path: Path, labels: Labels) -> np.ndarray:
    """A label map by the nearest of the classes' colours and black, as ``_read_classes``."""
    picture = _decode(path, colours.MODES)
    pixels = np.asarray(colours.hide_transparent(picture))
    nearest, far = colours.nearest(pixels, [(0, 0, 0), *labels.classes])
    foreign = colours.foreign_colour(pixels, far, colours.is_lossy(picture))
    if foreign:
        raise UserError(
            f"{path} holds the colour {list(foreign[0])} in {foreign[1]:.1%} of its pixels, "
            f"expected black or a class of the data card: {list(map(list, labels.classes))}. Add "
            "it to `classes` (and choose others with --classes), or mend the mask."
        )
    return nearest


def read_values(path: Path) -> tuple[np.ndarray, bool]:
    """A mask's values as stored (H, W), and whether they were compressed as JPEG is.

    Raises:
        UserError: as ``read_image``, its colours do not say what is foreground, or it is a volume.
    """
    if path.suffix.lower() in EXTENSIONS:
        image = _decode(path, colours.MODES)
        return colours.one_channel(image, path), colours.is_lossy(image)
    from gpsseg.data.formats.maps import ending, read_stored

    if not ending(path):
        _decode(path, colours.MODES)  # says what it is
    values = read_stored(path).values
    if values.ndim != 2:
        raise UserError(f"{path} has the shape {values.shape}, expected a mask of one image.")
    return values, False


def read_channel(path: Path) -> np.ndarray:
    """The values of ``read_values``: of a grey image as stored, of a coloured one the brightest.

    Raises:
        UserError: as ``read_values``.
    """
    return read_values(path)[0]


def to_mask(values: np.ndarray, path: Path) -> np.ndarray:
    """The foreground of stored values, by the rule of ``read_mask``.

    Raises:
        UserError: there are several classes; the text names ``path``.
    """
    return mark(values, path).mask


def read_small(path: Path, side: int, mode: Literal["L", "RGB"] = "L") -> Image.Image:
    """Read an image reduced to a longest side of ``side`` to twice that (or smaller), upright.

    A JPEG is decoded at a fraction of its size, which is many times faster than ``read_image``.

    Raises:
        UserError: as ``read_image``.
    """
    try:
        image = _decode(path, {"L", "RGB", *DEEP}, (mode, side))
    except UserError:
        odd = read_odd_tiff(path)
        if not odd:
            raise
        image = Image.fromarray(show(odd[0]))
    with naming(path):
        if image.mode in DEEP:
            image = Image.fromarray(show(np.asarray(image)))
        elif image.mode == "RGB" and holds_deep_colour(path):
            image = Image.fromarray(show(read_stored(path)))
        image = image.convert(mode)
        image.thumbnail((2 * side, 2 * side), Image.Resampling.BOX)
        return image


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) in pixels, upright, by an image's header; None if that cannot be read."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
            return (image.height, image.width) if turned else (image.width, image.height)
    except Exception:  # reading it will say what is wrong
        return None


def is_turned(path: Path) -> bool:
    """Whether an image's EXIF orientation turns or mirrors it; the pixels are not decoded."""
    return _orientation(path) in range(2, 9)


def _orientation(path: Path) -> int:
    """An image's EXIF orientation, 1 if it does not say."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # reading it will say what is wrong
        return 1


def _decode(
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
    with _opened(path) as image:
        if draft is not None:
            image.draft(draft[0], (draft[1], draft[1]))
        refuse_pages(image, path)
        return _upright(image, modes, turn_white, in_place=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file; whatever is wrong with it within the block is said as ``read_image`` does."""
    with naming(path):
        if not path.is_file() and path.exists():  # opening a pipe would wait for ever
            what = "a folder" if path.is_dir() else "no file"
            raise UserError(
                f"{path} cannot be read: it is {what}, expected a JPEG, PNG, BMP, TIFF or GIF "
                "image."
            )
    try:  # opened here: given a path, Pillow 13 garbles a rotated TIFF that it maps into memory
        with path.open("rb") as file, Image.open(file) as image:
            yield image
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
        raise UserError(
            f"{path} {_why(path, error)}; expected a JPEG, PNG, BMP, TIFF or GIF image. Copy it "
            "again from its source, or remove it together with its mask."
        ) from None


def _why(path: Path, error: Exception) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "is an empty file (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is not a readable image"
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    return f"cannot be read ({error})"


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture by its ending, atomically; a mask (bool) as 0 and 255."""
    from PIL import Image

    values = picture.astype(np.uint8) * 255 if picture.dtype == bool else picture
    with replacing(path) as partial:
        Image.fromarray(values).save(partial, quality=90)
