"""Patterns of a data card: shell wildcards, and places such as {id}."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpsseg.data.formats.filenames import as_named, matching, names_below, one_form
from gpsseg.data.formats.images import EXTENSIONS
from gpsseg.errors import shown, told

LONGEST_NAME = 255  # bytes of a file's or a folder's
NOWHERE = "no such folder"
PLACE = re.compile(r"\{(\w+)(?::([^{}]*))?\}")

WILD = re.compile(r"\*\*/?|\*|\?|\[!?[^\]]+\]")

Places = dict[str, str]


def find_files(root: Path, pattern: str) -> list[tuple[Path, Places]]:
    """Find the files that fit a pattern, sorted, with what its places stand for.

    ``**`` also stands for folders that are linked to. Hidden files do not count, nor, where the
    pattern leaves the ending open, files of other endings than an image's.
    """
    fits = re.compile(_expression(one_form(pattern)))
    ending_open = pattern.endswith("*")
    wild = PLACE.sub(lambda place: place[2] or "*", pattern)
    found = []
    for path in _candidates(root, wild):
        name = one_form(path.relative_to(root).as_posix())
        fit = fits.fullmatch(name)
        if not fit or any(part.startswith(".") for part in name.split("/")):
            continue
        if ending_open and (path.suffix.lower() not in EXTENSIONS or path.is_dir()):
            continue
        found.append((path, {"id": one_form(path.stem), **fit.groupdict()}))
    return found


def _candidates(root: Path, wild: str) -> list[Path]:
    """What may fit a pattern with a shell's wildcards."""
    if "**" in wild:
        return names_below(as_named(base_of(root, wild)))
    return matching(root, wild)


def long_name_fault(path: str) -> str:
    """Say that a part of a path is longer than a name can be, or return an empty string."""
    parts = re.split(r"[/\\]", path)
    if any(len(part.encode("utf-8", "replace")) > LONGEST_NAME for part in parts):
        return f"is {told(path)}, expected names of up to {LONGEST_NAME} bytes"
    return ""


def pattern_fault(pattern: Any) -> str:
    """Say why this cannot be a pattern of files below a set's folder, or return an empty string.

    >>> pattern_fault("images/*.png"), pattern_fault(5)
    ('', 'is 5, expected a pattern such as images/*.png')
    """
    if not isinstance(pattern, str) or not pattern.strip() or "\0" in pattern:
        return f"is {shown(pattern)}, expected a pattern such as images/*.png"
    if Path(pattern).is_absolute():
        return (
            f"is {told(pattern)}, expected a path below the set's folder; root says where that is"
        )
    if fault := long_name_fault(pattern):
        return fault
    if any("**" in part and part != "**" for part in Path(pattern).parts):
        return f"is {told(pattern)}, which is no pattern (** has to be a whole part of a path)"
    try:
        re.compile(_expression(pattern))
        next(Path(NOWHERE).glob(PLACE.sub(lambda place: place[2] or "*", pattern)), None)
    except (re.error, ValueError, NotImplementedError, OverflowError, RecursionError) as error:
        return f"is {told(pattern)}, which is no pattern ({told(str(error))})"
    return ""


def fill_places(pattern: str, places: Mapping[str, str]) -> str:
    """Put text into a pattern's places; a place without text stays.

    >>> fill_places("masks_{centre}/{id}_mask.jpg", {"centre": "C1", "id": "7"})
    'masks_C1/7_mask.jpg'
    """
    return PLACE.sub(lambda place: places.get(place[1], place[0]), pattern)


def base_of(root: Path, pattern: str) -> Path:
    """The folder that a pattern's wildcards begin in."""
    folder = root
    for part in pattern.split("/")[:-1]:
        literal = re.sub(r"\[([?*\[])\]", r"\1", part)
        if glob.has_magic(part) and glob.escape(literal) != part:
            break
        folder /= literal
    return folder


def _expression(pattern: str) -> str:
    """A pattern as a regular expression with a named group for each place."""
    parts, seen, end = [], set(), 0
    for place in PLACE.finditer(pattern):
        parts.append(_wild(pattern[end : place.start()]))
        name = place[1]
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{_wild(place[2] or '*')})")
        seen.add(name)
        end = place.end()
    return "".join([*parts, _wild(pattern[end:])])


def _wild(text: str) -> str:
    """The wildcards of a shell as a regular expression."""
    parts, end = [], 0
    for wild in WILD.finditer(text):
        parts.append(re.escape(text[end : wild.start()]))
        sign = wild[0]
        if sign.startswith("**"):
            parts.append(".*")
        elif sign in "*?":
            parts.append("[^/]*" if sign == "*" else "[^/]")
        else:
            inside = re.sub(r"([\\\[^&~|])", r"\\\1", sign[1:-1].removeprefix("!"))
            parts.append(f"[{'^' if sign[1] == '!' else ''}{inside}]")
        end = wild.end()
    return "".join([*parts, re.escape(text[end:])])
