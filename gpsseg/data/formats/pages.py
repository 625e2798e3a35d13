"""Files that hold several pictures: the pages of a TIFF, the frames of a GIF, PNG or WEBP loop."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from gpsseg.data.formats.headers import upright_size
from gpsseg.data.formats.odd_tiff import read_odd_tiff
from gpsseg.errors import UserError

# Layers of a painting, a stereo camera's second view, a telephone's gain map: no further pictures.
ONE_PICTURE = frozenset({"MPO", "PSD", "JPEG", "ICO", "ICNS", "CUR"})
SUBFILE = 254  # TIFF's tag NewSubfileType: bit 0 is a smaller copy, bit 2 a mask of another page
NO_PAGE = 0b101
MOST = 10_000  # pages


def pages(image: Image.Image) -> list[int]:
    """The numbers of an open image's pages; smaller copies in a TIFF (pyramids) do not count.

    The image is at its first page afterwards.
    """
    count = 1 if image.format in ONE_PICTURE else _count(image)
    if count == 1:
        return [0]
    found = list(range(count))
    if image.format == "TIFF":
        found = [page for page in found if page == 0 or _is_page(image, page)]
    image.seek(0)
    return found


def _count(image: Image.Image) -> int:
    """How many frames Pillow finds; of a TIFF it takes longer with each, so that is bounded."""
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    for page in range(1, MOST + 1):
        try:
            image.seek(page)
        except EOFError:
            return page
    raise ValueError(f"it has more than {MOST:,} pages")  # whoever reads it names the file


def count_pages(path: Path) -> int:
    """How many pictures an image file holds; 1 where that cannot be told (reading it will say)."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return len(pages(image))
    except UnidentifiedImageError:
        return max(1, len(read_odd_tiff(path)))
    except Exception:  # damaged files make decoders fail in every way there is
        return 1


def page_sizes(path: Path) -> list[tuple[int, int]]:
    """(width, height) of each picture of a file, upright; empty where that cannot be told."""
    found = []
    try:
        with path.open("rb") as file, Image.open(file) as image:
            for number in pages(image):
                image.seek(number)
                found.append(upright_size(image))
    except Exception:  # damaged files make decoders fail in every way there is
        return []
    return found


def refuse_pages(image: Image.Image, path: Path) -> None:
    """Refuse an open image that holds several pictures, where one is expected.

    Raises:
        UserError: it does; the text names ``path``.
    """
    refuse_several(len(pages(image)), path)


def refuse_several(count: int, path: Path) -> None:
    """The same of a file whose pages are counted.

    Raises:
        UserError: there are several; the text names ``path``.
    """
    if count > 1:
        raise UserError(
            f"{path} holds {count} pages (or frames), expected one picture. Save each as a file "
            "of its own, with a mask of its own."
        )


def _is_page(image: Image.Image, number: int) -> bool:
    image.seek(number)
    tags = getattr(image, "tag_v2", None)
    kind = tags.get(SUBFILE, 0) if isinstance(image, ImageFile.ImageFile) and tags else 0
    return not (isinstance(kind, int) and kind & NO_PAGE)
