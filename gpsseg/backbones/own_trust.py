"""Which code of the user's own was named on this machine: nothing else runs because a run names it.

A run's folder, a delta or a repository may come from anybody, and names its backbone. Where that is
code, importing it would run whatever file of that name lies around. So whenever the user names code
(--backbone, load_backbone), its name and place are noted in a folder of the user's own; and what a
run names is imported only where that was noted before.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from gpsseg.backbones.own_code import OwnCode, find_code
from gpsseg.errors import UserError
from gpsseg.reading import read_text
from gpsseg.writing import make_folder, replacing


def folder_of_notes() -> Path:
    """$GPSSEG_TRUST, or else a folder in the user's place for settings; may not be there yet."""
    if own := os.environ.get("GPSSEG_TRUST"):
        return Path(own).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or "~/AppData/Roaming"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return (Path(base) / "gpsseg" / "own-backbones").expanduser()


def note(code: OwnCode) -> None:
    """Note that the user has named some code.

    Raises:
        UserError: it cannot be noted.
    """
    file = _file_of(code)
    if file.is_file():
        return
    try:
        make_folder(file.parent)
        with replacing(file, private=True, shared=True) as partial:
            partial.write_text(f"{code.name}\n{code.root}\n{code.file}\n", encoding="utf-8")
    except (UserError, OSError):
        raise UserError(
            f"{file.parent} cannot be written, where gpsseg notes that you have named "
            f"{code.name}: runs of it are not loaded without. Set GPSSEG_TRUST to a folder of "
            "your own."
        ) from None


def require_noted(name: str) -> OwnCode:
    """The code that a run names, where its user has named it before.

    Where no such module is found from here, it is looked for where it was then.

    Raises:
        UserError: nobody has, or it is not there.
    """
    here = find_code(name)
    if here is not None and _file_of(here).is_file():
        return here
    before = [code for code in _noted_as(name) if code.file.is_file()]
    if here is None and len(before) == 1:
        return before[0]
    if here is None:
        places = " or ".join(str(code.root) for code in before)
        where = f"work in {places}" if places else "get it, and work in the folder that holds it"
        raise UserError(
            f"This run's network is code, {name}, and there is no such module in {Path.cwd()} or "
            f"where Python looks. To use the run {where}."
        )
    raise UserError(
        f"This run's network is code, {name}, which is {here.file} here, and a run's folder runs "
        "no code that you have not named. Where you trust that file, name it once: python -m "
        f"gpsseg.backbones --details {name}"
    )


def _file_of(code: OwnCode) -> Path:
    told = f"{code.name}\0{code.file}".encode("utf-8", "surrogateescape")
    return folder_of_notes() / f"{hashlib.sha256(told).hexdigest()[:32]}.txt"


def _noted_as(name: str) -> Iterator[OwnCode]:
    """All that was noted by a name."""
    folder = folder_of_notes()
    for file in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
        lines = read_text(file, errors="replace").splitlines()
        if len(lines) == 3 and lines[0] == name:
            code = OwnCode(name, Path(lines[1]), Path(lines[2]))
            if _file_of(code) == file:
                yield code
