"""What an image file says of itself ahead of its pixels, none of which is decoded."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags, Image

TURNED, ASIDE = range(2, 9), range(5, 9)  # EXIF's orientations: other than upright; on a side


def orientation_of(path: Path) -> int:
    """An image's EXIF orientation, 1 if it does not say."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # reading it will say what is wrong
        return 1


def is_turned(path: Path) -> bool:
    """Whether an image's EXIF orientation turns or mirrors it."""
    return orientation_of(path) in TURNED


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) in pixels, upright; None if that cannot be read."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return upright_size(image)
    except Exception:  # reading it will say what is wrong
        return None


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) in pixels of an open image, as it is shown."""
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in ASIDE
    return (image.height, image.width) if turned else (image.width, image.height)


def pixel_count(path: Path) -> int:
    """How many pixels an image has; 0 if that cannot be read."""
    width, height = picture_size(path) or (0, 0)
    return width * height
