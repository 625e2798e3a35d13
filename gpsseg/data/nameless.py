"""Cases without their names: hashed ids and groups, and what the veil is told of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.private import FILE as FILE
from gpsseg.data.case import Case
from gpsseg.data.formats.filenames import files_below
from gpsseg.scope import hide
from gpsseg.veil import Veil, hashed

if TYPE_CHECKING:
    pass


def anonymous_case(case: Case, salt: str) -> Case:
    """The case with its id and its group hashed; its files stay what they are."""
    group = None if case.group is None else hashed_group(case.group, salt)
    return dataclasses.replace(case, id=hashed(case.id, salt), group=group, own=case.own_id)


def hashed_group(group: str, salt: str) -> str:
    """The hash of a group, which is never that of an image of its name."""
    return hashed(f"group {group}", salt)


def hide_cases(cases: Iterable[Case], root: Path | None = None) -> None:
    """Let the running command, if it writes no names, hide those of cases.

    Args:
        cases: with their own ids and groups.
        root: the set's folder.
    """
    cases = list(cases)
    hide(lambda veil: veil.hide(_names_of(cases, root, veil.salt)))


def _names_of(cases: Iterable[Case], root: Path | None, salt: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for case in cases:
        own = hashed(case.id, salt)
        for path in (case.image, case.mask, *case.opinions):
            if path is None:
                continue
            names |= dict.fromkeys((str(path), os.path.abspath(path), path.name, path.stem), own)
            if root is not None and path.is_relative_to(root):
                below = path.relative_to(root)
                names |= {part: hashed(part, salt) for part in below.parent.parts}
                names |= {str(below): own, below.as_posix(): own}
        names |= {part: hashed(part, salt) for part in Path(case.id).parts[:-1]}
        names[case.id] = own
        if case.group is not None:
            names.setdefault(case.group, hashed_group(case.group, salt))
    return names


def hide_files(folder: Path) -> None:
    """The same for all files below a folder, whether they belong to a case or not."""

    def more(veil: Veil) -> Veil:
        found = files_below(folder)
        names = {text: hashed(path.stem, veil.salt) for path in found for text in _spelt(path)}
        parts = {part for path in found for part in path.relative_to(folder).parent.parts}
        return veil.hide({**{part: hashed(part, veil.salt) for part in parts}, **names})

    hide(more)


def _spelt(path: Path) -> tuple[str, ...]:
    return str(path), os.path.abspath(path), path.name, path.stem
