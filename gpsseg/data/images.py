"""Read images and masks as arrays, whatever way they were saved."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError

from gpsseg.data.filenames import image_endings
from gpsseg.data.pages import pages, refuse_pages
from gpsseg.errors import UserError, naming

EXTENSIONS = image_endings()
DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "F"})  # Pillow's modes of more than 8 bits
RANGES = (1, 255, 4095, 65535)  # of a deep image's values: float, 8, 12 and 16 bits


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


def read_image(path: Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3) RGB, upright (EXIF rotation applied).

    Grey images are repeated, an alpha channel is dropped, grey of more than 8 bits is scaled to
    8 bits by the smallest of the ranges 0..1, 0..255, 0..4095 and 0..65535 that holds its values.

    Raises:
        UserError: the file is missing, empty, truncated or no image; the text names it.
    """
    return _as_rgb(_decode(path, {"RGB", *DEEP}), path)


def read_pages(path: Path) -> Iterator[np.ndarray]:
    """Read the pages of a TIFF, or the pictures of an animation, each as ``read_image`` does.

    Raises:
        UserError: as ``read_image``; after the pages that are there.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            for page in pages(image):
                image.seek(page)
                yield _as_rgb(_upright(image, {"RGB", *DEEP}), path)
    except UserError:
        raise
    except Exception as error:  # damaged files make decoders fail in every way there is
        raise UserError(f"{path} {_why(path, error)}. Copy it again from its source.") from None


def _as_rgb(image: Image.Image, path: Path) -> np.ndarray:
    """A decoded image, of mode RGB or a deep one, as uint8 (H, W, 3)."""
    with naming(path):
        if image.mode in DEEP:
            image = Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
        return np.asarray(image)


def _upright(image: Image.Image, modes: Collection[str]) -> Image.Image:
    """Turn an image upright, and make it RGB unless its mode is in ``modes``."""
    image = ImageOps.exif_transpose(image)
    return image if image.mode in modes else image.convert("RGB")


def read_mask(path: Path, labels: Labels | None = None) -> np.ndarray:
    """Read a mask as bool (H, W), upright; True is foreground.

    Foreground is what lies above the middle of the range: 127 for a mask of 0 and 255 (which
    removes JPEG artefacts), half of the largest value for any other (0 and 1, 0 and 100, 0 and
    65535). A coloured mask counts by its brightest channel. With ``labels`` foreground is where one
    of the chosen classes is: by its value, or by the nearest of their colours and black (which
    removes JPEG artefacts too).

    Raises:
        UserError: as ``read_image``, or the mask holds several classes (as 0, 1, 2) and there are
            no labels, or a value that is no class.
    """
    return read_labels(path, labels) > 0


def read_labels(path: Path, labels: Labels | None = None) -> np.ndarray:
    """Read a mask as uint8 (H, W): 0 is background, n the n-th of the chosen classes.

    Without ``labels`` there is one class. The rules and the errors are those of ``read_mask``.
    """
    if labels is None:
        return to_mask(read_channel(path), path).view(np.uint8)
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
        image = np.asarray(_decode(path, {"RGB"}), np.int32)
        colours = [(0, 0, 0), *labels.classes]
        distances = np.stack([((image - colour) ** 2).sum(axis=2) for colour in colours])
        return distances.argmin(axis=0)
    image = np.asarray(_decode(path, {"1", "L", "P", "RGB", *DEEP}))
    if image.dtype == bool:
        image = (image.view(np.uint8) > 0).astype(np.uint8)
    values = image.max(axis=2) if image.ndim == 3 else image
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


def read_channel(path: Path) -> np.ndarray:
    """Read a grey image as (H, W) with the values as stored; of a coloured one, its brightest.

    Raises:
        UserError: as ``read_image``.
    """
    image = _decode(path, {"1", "L", "RGB", *DEEP})
    if image.mode == "RGB":  # seven times faster than NumPy's max(axis=2)
        red, green, blue = image.split()
        image = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    values = np.asarray(image)
    if values.dtype == bool:  # Pillow's True is the byte 255, NumPy's is 1
        return values.view(np.uint8) > 0
    return values


def to_mask(values: np.ndarray, path: Path) -> np.ndarray:
    """The foreground of stored values, by the rule of ``read_mask``.

    Raises:
        UserError: there are several classes; the text names ``path``.
    """
    low, top = values.min(), values.max()
    if 1 < top <= 127 and not ((values == low) | (values == top)).all():
        levels = np.unique(values)
        raise UserError(
            f"{path} holds {len(levels)} different values from {low} to {top}: a mask of several "
            "classes? Expected two values, such as 0 and 255. Save one mask per class."
        )
    return values > (127 if 127 < top <= 255 else top / 2)


def read_small(path: Path, side: int, mode: Literal["L", "RGB"] = "L") -> Image.Image:
    """Read an image reduced to a longest side of ``side`` to twice that (or smaller), upright.

    A JPEG is decoded at a fraction of its size, which is many times faster than ``read_image``.

    Raises:
        UserError: as ``read_image``.
    """
    image = _decode(path, {"L", "RGB", *DEEP}, (mode, side))
    with naming(path):
        if image.mode in DEEP:
            image = Image.fromarray(_to_8_bits(np.asarray(image)))
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
    try:
        with Image.open(path) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # reading it will say what is wrong
        return False


def _decode(
    path: Path, modes: Collection[str], draft: tuple[str, int] | None = None
) -> Image.Image:
    """Decode a whole file, turn it upright, and make it RGB unless its mode is in ``modes``.

    Args:
        path: of the file.
        modes: Pillow's modes to leave alone.
        draft: decode a JPEG in this mode and at a fraction of its size, not below these pixels.
    """
    with naming(path):
        if not path.is_file() and path.exists():  # opening a pipe would wait for ever
            what = "a folder" if path.is_dir() else "no file"
            raise UserError(
                f"{path} cannot be read: it is {what}, expected a JPEG, PNG, BMP, TIFF or GIF "
                "image."
            )
    try:  # opened here: given a path, Pillow 13 garbles a rotated TIFF that it maps into memory
        with path.open("rb") as file, Image.open(file) as image:
            if draft is not None:
                image.draft(draft[0], (draft[1], draft[1]))
            refuse_pages(image, path)
            image.load()
            return _upright(image, modes)
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


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(values)
    top = next((top for top in RANGES if values.max() <= top), values.max())
    return (values.clip(0, top) * (255.0 / top)).round().astype(np.uint8)
