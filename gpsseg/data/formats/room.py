"""Whether what a file promises fits into memory: asked before anything of it is decoded."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from gpsseg.errors import UserError, size_text
from gpsseg.faults import MachineError
from gpsseg.memory import free_memory

COPIES = 3  # of a picture or volume that there are at once: as stored, as numbers, as shown
BYTES = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # of Pillow's modes


def refuse_without_room(path: Path, size: float, what: str) -> None:
    """Refuse what memory would not hold.

    Args:
        path: of the file, for the error.
        size: bytes of it decoded, once.
        what: it promises, such as "4000 x 3000 pixels".

    Raises:
        UserError: the machine has not as much memory.
        MachineError: it has, but it is not free.
    """
    needed = COPIES * size
    free, there = free_memory()
    if needed > free:
        raise (UserError if needed > there else MachineError)(
            f"{path} does not fit into memory: it promises {what}, which take "
            f"{size_text(needed)} to read, and {size_text(free)} are free. Cut it into "
            "parts, save it smaller, or close other programs."
        )


def refuse_large_picture(image: Image.Image, path: Path) -> None:
    """The same of an open picture that is not decoded yet.

    Raises:
        UserError: as ``refuse_without_room``.
    """
    width, height = image.size
    pixel = max(3, len(image.getbands()) * BYTES.get(image.mode, 1))
    refuse_without_room(path, float(width) * height * pixel, f"{width:,} x {height:,} pixels")
