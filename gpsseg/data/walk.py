"""The files that an input names: a file, a folder with all below it, or a pattern."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path
from typing import Literal

from gpsseg.data.formats import images, video, volumes
from gpsseg.data.formats.dicom import is_dicom
from gpsseg.data.formats.filenames import DICOM, fits, holds_prediction, leads_on
from gpsseg.errors import UserError

EMPTY = "is an empty folder"
Failures = list[tuple[Path, str]]


def expand(
    given: Path,
    output: Path,
    odd: Failures,
    earlier: list[Path] | None = None,
    option: str = "",
) -> tuple[Path, list[Path]]:
    """The folder that names are counted from, and the files of one input.

    Hidden files and whatever lies in ``output`` do not count.

    Args:
        given: a file, a folder (searched with its sub-folders), or a pattern.
        output: where results go.
        odd: is given what may not be looked into, or is called like an image and is no file, with
            the reason.
        earlier: is given the folders below that hold an earlier prediction, which are left out;
            without it, they are taken as any other.
        option: that has named it, of those that ask for volumes alone.

    Raises:
        UserError: there is nothing, or nothing that fits.
    """
    kind = kind_of(given)
    if kind == "file":
        return given.parent, [given]
    if kind == "folder":
        return given, _walk(given, output, odd, earlier)
    if kind == "other":
        raise UserError(f"{option or '--input'} {given} is neither a file nor a folder.")
    if not glob.has_magic(str(given)):
        if option:
            raise UserError(f"{option} {given} does not exist. Pass a folder of volumes.")
        raise UserError(
            f"--input {given} does not exist. Pass images, volumes, videos, folders of them, or a "
            "pattern in quotes such as 'scans/**/*.nii.gz'."
        )
    return base_of(given), _matches(given, output, odd, earlier, option or "--input")


def base_of(given: Path) -> Path:
    """The folder that one input is searched from: of a pattern what comes before its wildcards."""
    kind = kind_of(given)
    if kind == "folder":
        return given
    plain = list(given.parts)
    while kind == "none" and any(glob.has_magic(part) for part in plain):
        plain.pop()
    return Path(*plain) if len(plain) < len(given.parts) else given.parent


def _matches(
    given: Path, output: Path, odd: Failures, earlier: list[Path] | None, option: str
) -> list[Path]:
    """The files that fit a pattern.

    Raises:
        UserError: there is none, nor anything odd or earlier.
    """
    base, results = base_of(given), output.resolve()
    old: list[Path] = []
    aside = {base: False}

    def is_aside(folder: Path) -> bool:
        """Whether a folder below the base is or lies in the output, or an earlier prediction."""
        if folder not in aside:
            aside[folder] = is_aside(folder.parent) or folder.resolve() == results
            if not aside[folder] and earlier is not None and holds_prediction(folder):
                aside[folder] = True
                old.append(folder)
        return aside[folder]

    parts = given.parts[len(base.parts) :]
    deep = parts.index("**") if "**" in parts else len(parts)
    files: list[Path] = []
    for path in sorted(base.glob(str(Path(*parts[:deep])))) if deep else [base]:
        kind = kind_of(path)
        if path != base and is_aside(path if kind == "folder" else path.parent):
            continue
        if kind == "folder":
            own: Failures = []
            found, tail = _walk(path, output, own, None if earlier is None else old), parts[deep:]
            files += [f for f in found if fits(f.relative_to(path).parts, tail)]
            odd += [o for o in own if o[0].is_dir() or fits(o[0].relative_to(path).parts, tail)]
        elif kind == "file" and deep == len(parts) and not path.name.startswith("."):
            files.append(path)
        elif deep == len(parts):
            _note_odd(path, odd)
    if earlier is not None:
        earlier += old
    if not files and not odd and not old:
        raise UserError(f"{option} {given} matches no file. Check the pattern.")
    return files


def _walk(folder: Path, output: Path, odd: Failures, earlier: list[Path] | None) -> list[Path]:
    """The files below a folder, without hidden ones and results of an earlier call.

    What may not be looked into, or is called like an image and is none, is added to ``odd``.
    """
    above, results = folder.resolve(), output.resolve()
    inside = results != above and results.is_relative_to(above)

    def refused(error: OSError) -> None:
        path = Path(error.filename)
        odd.append((path, f"{path} cannot be looked into: {error.strerror}."))

    found: list[Path] = []
    seen = {above}
    for place, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        here = Path(place)
        folders[:] = [name for name in folders if leads_on(here / name, seen)]
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not (inside and (above / (here / name).relative_to(folder)) == results)
        )
        if earlier is not None:
            old = [here / name for name in folders if holds_prediction(here / name)]
            earlier += old
            folders[:] = [name for name in folders if here / name not in old]
        for name in folders:
            path = here / name
            if _is_medium(path) and _is_empty(path):
                odd.append((path, f"{path} {EMPTY}, expected a file."))
        for name in names:
            path = here / name
            if name.startswith("."):
                continue
            if kind_of(path) == "file":
                found.append(path)
            else:
                _note_odd(path, odd)
    return sorted(found)


def first_medium(folder: Path) -> Path | None:
    """An image, volume, video or DICOM file in a folder or below it that `predict` did not write.

    None where there is none, or no folder. Hidden files do not count, nor earlier predictions.
    """
    for place, folders, names in os.walk(folder):
        here = Path(place)
        if holds_prediction(here):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (here / name for name in sorted(names) if not name.startswith(".")):
            if kind_of(path) == "file" and (_is_medium(path) or is_dicom(path)):
                return path
    return None


def kind_of(path: Path) -> Literal["file", "folder", "other", "none"]:
    """What a path is: a pipe or a device is neither file nor folder, a broken link is nothing."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "none"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def _note_odd(path: Path, odd: Failures) -> None:
    """Note what is called like something to segment, but is no file."""
    if path.name.startswith(".") or not _is_medium(path):
        return
    why = "is a link to nothing" if path.is_symlink() else "is no file"
    if kind_of(path) == "other":
        why = "is a pipe or a device"
    odd.append((path, f"{path} {why}, expected a file."))


def _is_medium(path: Path) -> bool:
    """Whether a path is called like an image, a volume, a video or a DICOM file."""
    return (
        bool(volumes.volume_ending(path))
        or path.suffix.lower() in (*video.ENDINGS, *images.EXTENSIONS)
        or path.name.lower().endswith(DICOM)
    )


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:
        return False  # it is reported already
