"""The folder that is handed on: it has its name when it is whole and checked, and not before."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

from gpsseg.folders import refuse_existing
from gpsseg.writing import (
    PARTIAL,
    flush_file,
    make_folder,
    remove_folder,
    rename_folder,
    writing_to,
)


@contextlib.contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that gets its name if all goes well; else it goes.

    What a killed process has left of an earlier one goes too.

    Raises:
        DiskError: it cannot be written.
        UserError: there is something at ``path`` by now.
    """
    path = path.absolute()  # "." has no name
    partial = path.with_name(f"{PARTIAL}{path.name}")
    remove_folder(partial)
    make_folder(partial)
    try:
        with writing_to(path):
            yield partial
            plain = stat.S_IMODE(partial.stat().st_mode) & 0o666
            for file in sorted(partial.rglob("*")):
                if file.is_file():
                    file.chmod(plain)  # some libraries let only the user read
                    flush_file(file)
        refuse_existing(path)
        rename_folder(partial, path)
    finally:
        remove_folder(partial)
