"""Masks and probability maps that any tool wrote: what their files are called, and finding them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from gpsseg.data.formats.dicom_masks import is_segmentation
from gpsseg.data.formats.filenames import (
    DICOM,
    DOUBT,
    OVERLAY,
    OVERLAYS,
    USUAL,
    VOLUMES,
    files_below,
    holds_prediction,
    image_endings,
    one_form,
    unpacking,
)
from gpsseg.errors import UserError
from gpsseg.veil import plain

ENDINGS = (*VOLUMES, ".npy", *sorted(image_endings()))


def ending(path: Path) -> str:
    """The file's known ending in lower case (".nii.gz" is one), or an empty string."""
    return next((end for end in ENDINGS if path.name.lower().endswith(end)), "")


def stem(path: Path) -> str:
    """The name without its known ending; bytes that are no UTF-8 become U+FFFD."""
    known = next((end for end in (*ENDINGS, *DICOM) if path.name.lower().endswith(end)), "")
    return utf8(path.name[: len(path.name) - len(known)])


def relative_name(path: Path, folder: Path) -> str:
    """The path below a folder, with slashes; bytes that are no UTF-8 become U+FFFD."""
    return utf8(path.relative_to(folder).as_posix())


def utf8(name: str) -> str:
    """A name that can be written anywhere, in one of Unicode's forms.

    Bytes that are no UTF-8, and controls, become U+FFFD.
    """
    return one_form(plain(os.fsencode(name).decode("utf-8", "replace")))


def find_maps(folder: Path, option: str, segments: bool = False) -> list[Path]:
    """Every mask or map in a folder and below, sorted; hidden files and overlays do not count.

    Args:
        folder: where to look.
        option: what error messages call it.
        segments: whether DICOM segmentations count, too.

    Raises:
        UserError: there is no such folder, or nothing in it; the text names ``option``.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{option} {folder} {what}. Pass a folder of masks or probability maps.")
    files = files_below(folder)
    found = [path for path in without_beside(files) if _is_map(path, segments)]
    if not found:
        packed, what = unpacking(files, folder)
        if packed:
            raise UserError(f"{option} {folder} holds no mask or map but {what}.")
        raise UserError(
            f"{option} {folder} holds no mask or map; expected files ending in "
            f"{', '.join((*VOLUMES, '.npy'))}, or pictures such as {USUAL}."
        )
    return found


def without_beside(files: Iterable[Path]) -> list[Path]:
    """The files without what ``predict`` leaves beside masks: x_overlay and x_uncertainty.

    They are known by x, which is among the files, whatever its ending, or a folder of frames, and
    by predict.json above them; where one is not there, another tool may have called its masks so.
    """
    files = [*files]
    there = {file.parent / stem(file) for file in files} | {file.parent for file in files}
    return [file for file in files if not (_is_beside(file, there) and _is_predicted(file))]


def _is_beside(file: Path, there: Container[Path | None]) -> bool:
    """Whether a file is called as the overlay or uncertainty of one of those, or lies in such."""
    added = (OVERLAY, DOUBT) if file.suffix == OVERLAYS else (DOUBT,)
    named = (file.parent / stem(file), file.parent)
    return any(_of(path, each) in there for path in named for each in added)


def _of(path: Path, added: str) -> Path | None:
    """The mask, without ending, or the folder of masks that something beside it would be of."""
    name = path.name.removesuffix(added)
    return path.with_name(name) if name not in ("", path.name) else None


def _is_predicted(file: Path) -> bool:
    """Whether ``predict`` has written above a file."""
    return any(map(holds_prediction, file.absolute().parents))


def unread_files(folder: Path) -> list[Path]:
    """The files in a folder and below that are neither masks nor maps."""
    return [path for path in files_below(folder) if not _is_map(path, segments=True)]


def _is_map(path: Path, segments: bool) -> bool:
    return bool(ending(path)) or (segments and is_segmentation(path))
