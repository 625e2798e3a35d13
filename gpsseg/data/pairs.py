"""Which prediction, or which mask, belongs to which case: the files of a folder, by their names."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpsseg.data.case import Case, capitals_hints
from gpsseg.data.formats.maps import ending, find_maps, relative_name, stem
from gpsseg.data.formats.matching import bare, last_of, match, numbered
from gpsseg.errors import UserError, counted, few


@dataclass(frozen=True)
class Pairs:
    """Predictions found for cases.

    Attributes:
        files: prediction of every case, by id.
        extra: files that belong to no case.
        aside: masks beside the probability map of their case (or maps beside masks) not used.
        more: further files of a case, each a part of what is marked, by id.
    """

    files: Mapping[str, Path]
    extra: tuple[Path, ...]
    aside: tuple[Path, ...]
    more: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def all_of(self, case: Case) -> tuple[Path, ...]:
        """All files of a case."""
        return (self.files[case.id], *self.more.get(case.id, ()))


def truth_cases(folder: Path) -> list[Case]:
    """The masks in a folder, as cases without an image (the mask's path stands in for it).

    An id is the file's stem, or its path below the folder where two stems are alike. ``x_mask_1``
    beside ``x_mask`` is a part of it.

    Raises:
        UserError: there is none, or two differ in their ending only.
    """
    paths = find_maps(folder, "--truth", segments=True)
    names = [stem(path) for path in paths]
    if len(set(names)) < len(names):
        names = [below(path, folder) for path in paths]
    first: dict[str, Path] = {}
    for name, path in zip(names, paths, strict=True):
        if name in first:
            raise UserError(
                f"--truth holds two masks of one name, {first[name]} and {path.name}. Remove one."
            )
        first[name] = path
    parts: dict[str, list[Path]] = {}
    for name in sorted(first):
        several = numbered(last_of(name))
        whole = name[: len(name) - len(last_of(name))] + several[0] if several else name
        parts.setdefault(whole if whole in first else name, []).append(first[name])
    return [
        Case(name, path, path, opinions=tuple(parts[name][1:]), joined=len(parts[name]) > 1)
        for name, path in first.items()
        if name in parts
    ]


def pair(
    folder: Path,
    cases: Sequence[Case],
    option: str = "--predictions",
    what: str = "prediction",
    own: bool = False,
    partial: bool = False,
    masks_first: bool = False,
) -> Pairs:
    """Find the prediction (or the mask) of every case, by the rules of ``formats.matching``.

    Several masks of one image (``x_mask``, ``x_mask_1``) are parts of what is marked in it, in the
    truth and in predictions.

    Args:
        folder: is searched with its sub-folders.
        cases: what needs a prediction; ids are unique.
        option: what error messages call the folder.
        what: what they call a file in it.
        own: whether masks are looked for; the cases' images may lie in the folder too.
        partial: whether cases without prediction are no error.
        masks_first: whether a mask goes before the probability map beside it.

    Raises:
        UserError: a case has no prediction, or several, or a file fits several cases.
    """
    images = {case.image for case in cases} if own else set()
    files = [path for path in find_maps(folder, option, segments=not own) if path not in images]
    wanted = [(case.id, _names(case)) for case in cases]
    files_by_name = [(path, below(path, folder)) for path in files]
    found = match(wanted, files_by_name, masks_first=masks_first)
    if found.unclear:
        raise UserError(
            f"{option} {folder}: it is unclear which file belongs to which image: "
            f"{few(found.unclear)}. Keep one file an image, named as its truth."
        )
    missing = [case.id for case in cases if case.id not in found.files]
    if missing and not partial:
        raise UserError(
            f"{option} {folder}: {len(missing)} of {counted(len(cases), 'image')} "
            f"{'has' if len(missing) == 1 else 'have'} no {what}: {few(missing)}. Expected "
            f"a file of that name, such as {few(missing[:1])}.png; words such as _mask, _pred or "
            f"_probability after it are fine.{_left_over(found.extra, folder, missing)}"
        )
    more = {name: paths[1:] for name, paths in found.files.items() if len(paths) > 1}
    first = {name: paths[0] for name, paths in found.files.items()}
    return Pairs(first, found.extra, found.aside, more)


def _left_over(files: Sequence[Path], folder: Path, missing: Sequence[str]) -> str:
    """The files that belong to no image, which may be those that are missed; '' without any."""
    if not files:
        return ""
    named = few(relative_name(path, folder) for path in files)
    text = f" Of the files there, {counted(len(files), 'fits', 'fit')} no image: {named}."
    return text + next(iter(capitals_hints(missing, files).values()), "")


def parts_of(mask: Path) -> tuple[Path, ...]:
    """Masks of further lesions beside an image's mask: ``x_mask_1`` beside ``x_mask``."""
    if bare(stem(mask)) == stem(mask):  # without a word such as _mask, a number may mean anything
        return ()
    try:
        there = _numbered_in(mask.parent, mask.parent.stat().st_mtime_ns)
    except (OSError, ValueError):
        return ()
    return there.get((stem(mask).lower(), ending(mask)), ())


@functools.lru_cache(maxsize=16)
def _numbered_in(folder: Path, changed: int) -> dict[tuple[str, str], tuple[Path, ...]]:
    """The numbered masks in a folder by the stem that they are parts of, and by their ending.

    ``changed`` tells an older look apart.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.iterdir()):
        several = numbered(stem(path))
        if several is not None and ending(path) and path.is_file():
            found.setdefault((several[0].lower(), ending(path)), []).append(path)
    return {key: tuple(paths) for key, paths in found.items()}


def below(path: Path, folder: Path) -> str:
    """The path below a folder without its ending, with slashes."""
    return relative_name(path.with_name(stem(path) or path.name), folder)


def _names(case: Case) -> set[str]:
    """What a prediction of a case may be called: its id, or its mask's name."""
    last = last_of(case.id)
    return {last} if case.mask is None else {last, stem(case.mask)}
