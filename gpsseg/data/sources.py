"""What there is to segment: images, volumes, DICOM series and videos, in folders or by pattern."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpsseg.console import progress
from gpsseg.data.formats import dicom, images, video, volumes
from gpsseg.data.formats.dicom_series import group_headers
from gpsseg.data.formats.filenames import DICOM, USUAL, as_named, fits, leads_on, one_form
from gpsseg.data.formats.pages import count_pages
from gpsseg.errors import UserError
from gpsseg.faults import fault_of

EMPTY = "is an empty folder"
Failures = list[tuple[Path, str]]


@dataclass(frozen=True)
class Source:
    """One thing to segment, of which comes one mask, or a folder of them.

    Attributes:
        path: the file, or the folder of a DICOM series: what messages call it.
        name: its path below the input without ending, with slashes; results are named so.
        kind: image; frames (a video, a multi-frame DICOM file); or volume.
        headers: of a DICOM source its files, in order.
        frames: how many pictures it holds; None where only reading tells.
        parts: of a mask that is in several files the others.
    """

    path: Path
    name: str
    kind: Literal["image", "frames", "volume"]
    headers: tuple[dicom.Header, ...] = ()
    frames: int | None = 1
    parts: tuple[Source, ...] = ()


def find_sources(
    inputs: Sequence[Path], output: Path, rest: list[Path] | None = None
) -> tuple[list[Source], Failures]:
    """Find everything to segment, in the order of its names; DICOM headers are read.

    Names keep the sub-folders below the input; of several inputs, below the folder that all of
    them share. Hidden files and whatever lies in ``output`` do not count.

    Args:
        inputs: files, folders (searched with their sub-folders) and patterns such as ``a/*.png``.
        output: where results go.
        rest: is given the files that are nothing to segment.

    Returns:
        The sources, and what cannot be read with the reason: DICOM files, folders that may not be
        looked into, and what is called like an image but is no file.

    Raises:
        UserError: an input does not exist, or there is nothing to segment.
    """
    bases, files = [], []
    odd: Failures = []
    rest = [] if rest is None else rest
    for given in map(as_named, inputs):
        base, found = _expand(given, output, odd)
        bases.append(os.path.abspath(base))
        files += found
    base = Path(os.path.commonpath(bases))
    named = {path for path in inputs if _kind(path) == "file"}
    sources, in_folders = [], defaultdict(list)
    for path in sorted(set(files)):
        if volumes.volume_ending(path):
            end = volumes.volume_ending(path)
            sources.append(Source(path, _name(path, base, end), "volume", frames=None))
        elif path.suffix.lower() in video.ENDINGS:
            count = video.count_frames(path)
            sources.append(Source(path, _name(path, base, path.suffix), "frames", frames=count))
        elif path.suffix.lower() in images.EXTENSIONS:
            sources.append(_picture(path, base))
        elif dicom.is_dicom(path):
            in_folders[path.parent].append(path)
        elif path in named:  # reading it will say what is wrong
            sources.append(Source(path, _name(path, base, path.suffix), "image"))
        else:
            rest.append(path)
    found_dicom, unreadable = _dicom_sources(in_folders, base, rest)
    failures = [*{path: (path, why) for path, why in odd}.values(), *unreadable]
    sources = sorted([*sources, *found_dicom], key=lambda source: source.name)
    if not sources and all(EMPTY in why for _, why in failures):
        _refuse_nothing(inputs)
    return sources, failures


def _expand(given: Path, output: Path, odd: Failures) -> tuple[Path, list[Path]]:
    """The folder that names are counted from, and the files of one input."""
    kind = _kind(given)
    if kind == "file":
        return given.parent, [given]
    if kind == "folder":
        return given, list(_walk(given, output, odd))
    if kind == "other":
        raise UserError(f"--input {given} is neither a file nor a folder.")
    if not glob.has_magic(str(given)):
        raise UserError(
            f"--input {given} does not exist. Pass images, volumes, videos, folders of them, or a "
            "pattern in quotes such as 'scans/**/*.nii.gz'."
        )
    plain = list(given.parts)
    while any(glob.has_magic(part) for part in plain):
        plain.pop()
    base, parts = Path(*plain), given.parts[len(plain) :]
    deep = parts.index("**") if "**" in parts else len(parts)
    files: list[Path] = []
    for path in sorted(base.glob(str(Path(*parts[:deep])))) if deep else [base]:
        kind = _kind(path)
        if kind == "folder":
            own: Failures = []
            found, tail = _walk(path, output, own), parts[deep:]
            files += [f for f in found if fits(f.relative_to(path).parts, tail)]
            odd += [o for o in own if o[0].is_dir() or fits(o[0].relative_to(path).parts, tail)]
        elif kind == "file" and deep == len(parts) and not path.name.startswith("."):
            files.append(path)
        elif deep == len(parts):
            _note_odd(path, odd)
    if not files and not odd:
        raise UserError(f"--input {given} matches no file. Check the pattern.")
    return base, files


def _walk(folder: Path, output: Path, odd: Failures) -> Iterator[Path]:
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
        for name in folders:
            path = here / name
            if _is_medium(path) and _is_empty(path):
                odd.append((path, f"{path} {EMPTY}, expected a file."))
        for name in names:
            path = here / name
            if name.startswith("."):
                continue
            if _kind(path) == "file":
                found.append(path)
            else:
                _note_odd(path, odd)
    return iter(sorted(found))


def _kind(path: Path) -> Literal["file", "folder", "other", "none"]:
    """What a path is; a pipe or a device is neither file nor folder, a broken link is nothing."""
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
    if _kind(path) == "other":
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


def _name(path: Path, base: Path, ending: str) -> str:
    """The path below a folder, without its ending, with slashes."""
    below = Path(os.path.abspath(path)).relative_to(base).as_posix()
    return one_form(below[: len(below) - len(ending)] if ending else below)


def _picture(path: Path, base: Path) -> Source:
    """An image file; one of several pages or frames is taken as a video is."""
    name = _name(path, base, path.suffix)
    count = count_pages(path)
    return Source(path, name, "frames" if count > 1 else "image", frames=count)


def _refuse_nothing(inputs: Sequence[Path]) -> None:
    raise UserError(
        f"--input {inputs[0]} holds no image; expected files such as {USUAL}, volumes "
        f"({', '.join(volumes.ENDINGS)}), DICOM, or videos ({', '.join(sorted(video.ENDINGS))})."
    )


def _dicom_sources(
    in_folders: dict[Path, list[Path]], base: Path, rest: list[Path]
) -> tuple[list[Source], Failures]:
    """Read every header, and group the files of each folder; files without image join the rest."""
    paths = [path for found in in_folders.values() for path in found]
    sources: list[Source] = []
    failures: Failures = []
    headers: dict[Path, list[dicom.Header]] = defaultdict(list)
    with ThreadPoolExecutor() as pool:
        looks: Iterable[dicom.Header | str | None] = pool.map(_look, paths)
        if paths:
            looks = progress(looks, "reading DICOM", len(paths))
        for path, look in zip(paths, looks, strict=True):
            if isinstance(look, dicom.Header):
                headers[path.parent].append(look)
            elif look is not None:
                failures.append((path, look))
            else:
                rest.append(path)
    for folder, found in headers.items():
        try:
            sources += _grouped(folder, found, base)
        except Exception as error:  # numbers of a header that no scanner writes
            failures.append((folder, fault_of(folder, error)))
    return sources, failures


def _grouped(folder: Path, found: Sequence[dicom.Header], base: Path) -> list[Source]:
    """The series and the single files of one folder."""
    groups = group_headers(found)
    series = [group for group in groups if len(group) > 1]
    names = _series_names(folder, base, series)
    sources = [
        Source(folder, name, "volume", tuple(group), len(group))
        for group, name in zip(series, names, strict=True)
    ]
    return sources + [_one_file(group[0], base) for group in groups if len(group) == 1]


def _one_file(header: dicom.Header, base: Path) -> Source:
    """A DICOM file that is by itself is named as it is called."""
    ending = next((end for end in DICOM if header.path.name.lower().endswith(end)), "")
    kind: Literal["image", "frames", "volume"] = "frames" if header.shape[0] > 1 else "image"
    if header.spatial:
        kind = "volume"
    name = _name(header.path, base, ending)
    return Source(header.path, name, kind, (header,), header.shape[0])


def _look(path: Path) -> dicom.Header | str | None:
    """A header, what is wrong with the file, or None if it is no image."""
    try:
        return dicom.read_header(path) if dicom.holds_image(path) else None
    except Exception as error:
        return fault_of(path, error)


def _series_names(folder: Path, base: Path, series: Sequence[Sequence[dicom.Header]]) -> list[str]:
    """Name each series: after its folder, or if that holds several, by a hash of its UID."""
    below = Path(os.path.abspath(folder)).relative_to(base).as_posix()
    if len(series) == 1:
        return [base.name if below == "." else below]
    names: list[str] = []
    for group in series:
        short = hashlib.sha256(group[0].series.encode()).hexdigest()[:8]
        name = f"series-{short}" if below == "." else f"{below}/series-{short}"
        same = sum(other == name or other.startswith(f"{name}-") for other in names)
        names.append(f"{name}-{same + 1}" if same else name)
    return names
