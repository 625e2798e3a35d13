"""Prepared images on disk: where they lie, when one still holds, and how one is read and written.

An entry is one file named by a hash of everything that it depends on. Nothing is ever changed in
place: a changed image, data card or program asks for another name.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import PIL
import torch

from gpsseg import __version__
from gpsseg.console import say
from gpsseg.data import cache_limit
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.errors import size_text
from gpsseg.faults import DiskError
from gpsseg.files import sha256_of_file
from gpsseg.writing import replacing

LEAST_FREE = 2 * 10**9  # bytes
HERE = Path(__file__).resolve().parent
# What an entry's values depend on; all that reads files, so that none is forgotten.
CODE = ("cache.py", "case.py", "loader.py", "steps.py", "transforms.py", "formats/*.py")


def cache_folder(asked: str | None) -> Path | None:
    """Return the folder of prepared images, made and writable, or None for no cache.

    Once in a process it is tidied: see ``gpsseg.data.cache_limit``.

    Args:
        asked: a folder, "off", or None for $GPSSEG_CACHE or else the user's cache folder. A
            folder that cannot be used, or a disk with less than 2 GB free, is one note and no
            error.

    Raises:
        UserError: $GPSSEG_CACHE_LIMIT holds no size.
    """
    folder = cache_limit.place(asked)
    if folder is None:
        return None
    most = cache_limit.limit()
    try:
        for path in (folder.parent, folder):  # mode= does not reach the parents that parents= makes
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        _note(f"{folder} cannot be written to ({error.strerror})")
        return None
    if free < LEAST_FREE:
        _note(f"only {size_text(free)} are free where {folder} lies, 2 GB are needed")
        return None
    _tidy(folder, most)
    return folder


@functools.cache  # once, although a loader is made in every epoch
def _tidy(folder: Path, most: int) -> None:
    cache_limit.remove_stale(folder)
    cache_limit.evict(folder, most)


@functools.cache  # once, although a loader is made in every epoch
def _note(why: str) -> None:
    say(
        f"Prepared images are not kept on disk: {why}. Name another folder by --cache, or pass "
        "--cache off.",
        style="yellow",
    )


def pipeline_key(card: Card, image_size: int) -> str:
    """Name the card's load steps, and the program that carries them out.

    The source of the steps counts too, so that no version number needs to be kept in step with it.
    """
    versions = (__version__, monai.__version__, torch.__version__, np.__version__, PIL.__version__)
    code = [sha256_of_file(path) for name in CODE for path in sorted(HERE.glob(name))]
    return repr((image_size, card.transforms.get("load"), versions, code))


def entry_name(case: Case, pipeline: str) -> str | None:
    """Return the file name of a case's entry: a hash of its files as they are now.

    Files count by path, size, and times of last change, of content and of status: the latter also
    tells a file put in place of another with its time. None where a file cannot be looked at.
    """
    facts: list[object] = [pipeline, case.labels, case.greys, case.joined]
    try:
        for path in (case.image, case.mask, *case.opinions):
            if path is not None:
                now = path.stat()
                facts += [str(path.resolve()), now.st_size, now.st_mtime_ns, now.st_ctime_ns]
    except OSError:
        return None
    return hashlib.sha256(repr(facts).encode()).hexdigest() + ".npz"


def read_entry(path: Path) -> dict[str, np.ndarray] | None:
    """Return an entry's arrays, of any shape; None if there is none, a damaged file is removed.

    Every array is read whole, and so checked against its CRC-32, before its header is believed;
    nothing in the file is ever run (no pickle).
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
            arrays = {name: _whole(entry, name) for name in entry.files}
    except FileNotFoundError:
        return None
    except Exception:  # damaged bytes make zip and NumPy fail in every way there is
        cache_limit.remove(path)
        return None
    cache_limit.touch(path)
    return arrays


def _whole(entry: Any, name: str) -> np.ndarray:
    """One array of a NumPy archive, which itself reads no more of it than its header asks for."""
    array: np.ndarray = np.load(io.BytesIO(entry.zip.read(f"{name}.npy")), allow_pickle=False)
    return array


@dataclass(frozen=True)
class Folder:
    """Entries in a folder, see ``cache_folder``, by their names."""

    path: Path

    def wants(self, name: str) -> bool:
        """Whether there is none of this name; one that is there may be damaged."""
        return not (self.path / name).exists()

    def read(self, name: str) -> dict[str, np.ndarray] | None:
        """As ``read_entry``."""
        return read_entry(self.path / name)

    def write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """As ``write_entry``."""
        write_entry(self.path / name, arrays)


def write_entry(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays of any shape under a name of their own and rename the file.

    So no reader sees half of it. Now and then the longest unused entries make room. A cache that
    cannot be written (a full disk, a folder gone) is no error.
    """
    with (
        contextlib.suppress(DiskError),
        replacing(path, private=True, flush=False, shared=True) as partial,
        partial.open("wb") as file,
    ):
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its allow_pickle is no array
    if cache_limit.is_due(path.name):
        cache_limit.evict(path.parent, cache_limit.limit())
