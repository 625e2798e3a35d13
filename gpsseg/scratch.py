"""Folders for as long as a process lives; those of processes that were killed are removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gpsseg.processes import begun_at

ABANDONED = 3600.0  # seconds without a change; a process in another container cannot be asked
NAME = re.compile(r"gpsseg-(?P<host>.+)-(?P<process>\d+)-[a-z0-9_]{8}")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder that goes when the block ends; what killed processes left goes before."""
    remove_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"gpsseg-{_host()}-{os.getpid()}-") as folder:
        yield Path(folder)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64] or "here"


def remove_abandoned(folder: Path) -> int:
    """Remove this user's folders of processes of this machine that are gone; returns how many."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for item in found:
            name = NAME.fullmatch(item.name)
            if name and name["host"] == _host() and _is_abandoned(item, int(name["process"])):
                shutil.rmtree(item.path, ignore_errors=True)
                removed += 1
    return removed


def _is_abandoned(item: os.DirEntry[str], process: int) -> bool:
    try:
        facts = item.stat(follow_symlinks=False)
        mine = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
        old = facts.st_mtime < time.time() - ABANDONED
        is_folder = item.is_dir(follow_symlinks=False)
    except OSError:
        return False
    return mine and old and is_folder and begun_at(process) is None
