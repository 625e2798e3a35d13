"""What there is to segment: images, volumes, DICOM series and videos, in folders or by pattern."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpsseg.console import progress
from gpsseg.data.formats import dicom, images, video, volumes
from gpsseg.data.formats.dicom_series import group_headers
from gpsseg.data.formats.filenames import DICOM, USUAL, VOLUMES, as_named, one_form, unpacking
from gpsseg.data.formats.packed import unpack_first
from gpsseg.data.formats.pages import count_pages
from gpsseg.data.walk import EMPTY, Failures, base_of, expand, kind_of
from gpsseg.errors import UserError, few
from gpsseg.faults import fault_of


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

    @property
    def files(self) -> list[Path]:
        """What is read of it."""
        return [header.path for header in self.headers] or [self.path]


def find_sources(
    inputs: Sequence[Path],
    output: Path,
    rest: list[Path] | None = None,
    earlier: list[Path] | None = None,
    option: str = "",
) -> tuple[list[Source], Failures]:
    """Find everything to segment, in the order of its names; DICOM headers are read.

    Names keep the sub-folders below the input; of several inputs, below the folder that all of
    them share. Hidden files and whatever lies in ``output`` do not count.

    Args:
        inputs: files, folders (searched with their sub-folders) and patterns such as ``a/*.png``.
        output: where results go.
        rest: is given the files that are nothing to segment.
        earlier: is given the folders below the inputs that hold an earlier prediction, which are
            left out; without it, they are taken as any other.
        option: that has named volumes, and whose caller says so if there are none; else images of
            every kind are asked for, by ``--input``.

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
        base, found = expand(given, output, odd, earlier, option)
        bases.append(os.path.abspath(base))
        files += found
    base = Path(os.path.commonpath(bases))
    named = {path for path in inputs if kind_of(path) == "file"}
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
        elif path in named and (why := unpack_first(path)):
            odd.append((path, why))
        elif path in named:  # reading it will say what is wrong
            sources.append(Source(path, _name(path, base, path.suffix), "image"))
        else:
            rest.append(path)
    found_dicom, unreadable = _dicom_sources(in_folders, base, rest)
    failures = [*{path: (path, why) for path, why in odd}.values(), *unreadable]
    sources = sorted([*sources, *found_dicom], key=lambda source: source.name)
    if not sources and not option and all(EMPTY in why for _, why in failures):
        _refuse_nothing(inputs, earlier or (), rest)
    return sources, failures


def _name(path: Path, base: Path, ending: str) -> str:
    """The path below a folder, without its ending, with slashes."""
    below = Path(os.path.abspath(path)).relative_to(base).as_posix()
    return one_form(below[: len(below) - len(ending)] if ending else below)


def _picture(path: Path, base: Path) -> Source:
    """An image file; one of several pages or frames is taken as a video is."""
    name = _name(path, base, path.suffix)
    count = count_pages(path)
    return Source(path, name, "frames" if count > 1 else "image", frames=count)


def _refuse_nothing(inputs: Sequence[Path], earlier: Sequence[Path], rest: Sequence[Path]) -> None:
    if earlier:
        raise UserError(
            f"--input {inputs[0]} holds no image but in {few(dict.fromkeys(earlier))}, where an "
            "earlier prediction is, so that it is left out. Name that folder to segment its masks."
        )
    packed, what = unpacking(rest, base_of(inputs[0]))
    if packed:
        raise UserError(f"--input {inputs[0]} holds no image but {what}.")
    raise UserError(
        f"--input {inputs[0]} holds no image; expected files such as {USUAL}, volumes "
        f"({', '.join(VOLUMES)}), DICOM, or videos ({', '.join(sorted(video.ENDINGS))})."
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
            grouped = _grouped(folder, found, base)
        except Exception as error:  # numbers of a header that no scanner writes
            failures.append((folder, fault_of(folder, error)))
            continue
        empty = [path for path in rest if path.parent == folder and not path.stat().st_size]
        broken = [*(path for path, _ in failures if path.parent == folder), *empty]
        lacking = {each.name: why for each in grouped if (why := _may_lack(each, broken))}
        sources += [each for each in grouped if each.name not in lacking]
        failures += [(each.path, lacking[each.name]) for each in grouped if each.name in lacking]
    return sources, failures


def _may_lack(source: Source, broken: Sequence[Path]) -> str:
    """Why a series may lack a slice, at its end where no gap tells so; else ''."""
    if source.kind != "volume" or source.headers[0].shape[0] > 1:
        return ""
    series = source.headers[0].series
    own = [path for path in broken if dicom.series_of(path) in ("", series)]
    if not own:
        return ""
    return (
        f"{source.path}: {few(path.name for path in own)} cannot be read, and may be of the series "
        f"that would become {source.name}, whose mask would lack it. Mend it, or move it elsewhere."
    )


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
