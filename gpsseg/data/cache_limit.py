"""The cache of prepared images as a whole: where it lies, how large it may grow, what goes first.

Only files that gpsseg wrote there are ever counted or removed: entries, which are named by a hash,
and what a process that was killed left half written.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpsseg.errors import UserError

OFF = "off"
DEFAULT_LIMIT = "20GB"
ENTRY = re.compile(r"[0-9a-f]{64}\.npz")
# As gpsseg.writing.replacing names them, and as version 0.1 did.
PARTIAL = re.compile(r"\.partial-\d+-\d+-[0-9a-f]{12}-[0-9a-f]{26}\.npz|tmp[a-z0-9_]{8}\.partial")
STALE = 3600.0  # seconds after which nobody is still writing a file
ROOM = 0.9  # of the limit is what an eviction leaves, so that the next is not due at once
CHECKED = "00"  # names that begin so, one in 256, have their writer look at the size again
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|GB|TB)?", re.IGNORECASE)
BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def place(asked: str | None) -> Path | None:
    """The folder of prepared images, which may not be there yet; None for no cache.

    Args:
        asked: a folder, "off", or None for $GPSSEG_CACHE or else the user's cache folder.
    """
    asked = asked or os.environ.get("GPSSEG_CACHE") or str(_users_folder())
    return None if asked == OFF else Path(asked).expanduser().absolute() / "prepared"


def _users_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base) / "gpsseg"


def limit() -> int:
    """The most bytes that entries may take together: $GPSSEG_CACHE_LIMIT, or else 20 GB.

    Raises:
        UserError: the variable holds no size.
    """
    asked = os.environ.get("GPSSEG_CACHE_LIMIT", "").strip() or DEFAULT_LIMIT
    size = SIZE.fullmatch(asked)
    if size is None or not 0 < float(size[1]) < 1e9:
        raise UserError(
            f"GPSSEG_CACHE_LIMIT is '{asked[:40]}', expected a size above 0 such as 500MB, 20GB or "
            "1TB. To keep no prepared images pass --cache off."
        )
    return round(float(size[1]) * BYTES[(size[2] or "GB").upper()])


@dataclass(frozen=True)
class CacheEntry:
    """One entry.

    Attributes:
        path: its file.
        size: in bytes.
        used: when it was written or last read, in seconds since 1970.
    """

    path: Path
    size: int
    used: float


def entries(folder: Path) -> list[CacheEntry]:
    """What a cache holds, the longest unused first. What goes meanwhile is left out."""
    kept = [CacheEntry(path, size, used) for path, size, used in _files(folder, ENTRY)]
    return sorted(kept, key=lambda entry: (entry.used, entry.path.name))


def _files(folder: Path, name: re.Pattern[str]) -> Iterator[tuple[Path, int, float]]:
    """Path, size and time of each regular file of such a name; others' files are none."""
    try:
        with os.scandir(folder) as found:
            for item in found:
                try:
                    if name.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                        facts = item.stat(follow_symlinks=False)
                        yield Path(item.path), facts.st_size, facts.st_mtime
                except OSError:  # another process removed it
                    continue
    except OSError:
        return


def touch(path: Path) -> None:
    """Note that an entry was used now; what cannot be noted is no error."""
    try:
        os.utime(path)
    except OSError:
        return


def remove(path: Path) -> bool:
    """Remove a file, if that can be done. Whoever is reading it reads on, or finds no entry."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def evict(folder: Path, most: int) -> int:
    """Remove the longest unused entries if all together take more than ``most`` bytes.

    Returns:
        How many were removed.
    """
    kept = entries(folder)
    size = sum(entry.size for entry in kept)
    if size <= most:
        return 0
    removed = 0
    for entry in kept:
        if size <= ROOM * most:
            break
        if remove(entry.path):
            size -= entry.size
            removed += 1
    return removed


def remove_stale(folder: Path) -> int:
    """Remove what writers that were killed left half written; returns how many files."""
    old = time.time() - STALE
    return sum(remove(path) for path, _, used in _files(folder, PARTIAL) if used < old)


def is_due(name: str) -> bool:
    """Whether the writer of this entry is to look at the size: one in 256, by the hash."""
    return name.startswith(CHECKED)


def clear(folder: Path) -> tuple[int, int]:
    """Remove all entries, and stale halves; returns how many entries went, and their bytes."""
    gone = [entry.size for entry in entries(folder) if remove(entry.path)]
    remove_stale(folder)
    return len(gone), sum(gone)
