"""A user's file of boxes or points: read, given to images by their names, and checked."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.data.formats.filenames import DICOM, one_form
from gpsseg.data.formats.headers import picture_size
from gpsseg.data.formats.images import EXTENSIONS
from gpsseg.data.formats.video import ENDINGS as VIDEOS
from gpsseg.data.formats.volumes import volume_ending
from gpsseg.errors import UserError, few, name_text, shown
from gpsseg.reading import csv_rows, once_each, parse_json, read_text

COLUMNS = {"box": ("x0", "y0", "x1", "y1"), "point": ("x", "y")}
BEYOND = 0.1  # of a side: a box may reach this far out of its image; it is cut off there
Numbers = tuple[float, ...]


def read_prompts(path: Path, prompt: str) -> dict[str, Numbers]:
    """Read image name, as it is written there -> numbers.

    Raises:
        UserError: the file cannot be read, names an image twice, or holds something else than
            prompts in pixels.
    """
    found: dict[str, Numbers] = {}
    for name, values, _ in _rows(path, COLUMNS[prompt]):
        numbers = in_pixels(values, prompt, f"{path}: the {prompt} of {name_text(name)}")
        key = _key(name)
        if key in found:
            raise _twice(path, key, prompt)
        found[key] = numbers
    return found


def read_frames(path: Path, prompt: str) -> dict[str, int]:
    """Read video or volume, as it is written there -> the frame that its prompt is for, from 0.

    Raises:
        UserError: the file cannot be read, or a frame is no such number.
    """
    found = {}
    for name, _, frame in _rows(path, COLUMNS[prompt]):
        if frame is None or str(frame).strip() == "":
            continue
        text = str(frame).strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise UserError(
                f"{path}: the frame of {name_text(name)} is {shown(frame)}, expected a whole "
                "number: 0 is the first."
            )
        found[_key(name)] = int(text)
    return found


def _key(name: str) -> str:
    return one_form(name.strip().replace("\\", "/")).removeprefix("./")


def in_pixels(values: Sequence[Any], prompt: str, what: str) -> Numbers:
    """A box or a point as numbers: x0, y0, x1, y1 or x, y.

    Args:
        values: as given.
        prompt: "box" or "point".
        what: what errors call it, such as "The box".

    Raises:
        UserError: they are no such numbers in pixels.
    """
    columns = COLUMNS[prompt]
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != len(columns) or not all(map(math.isfinite, numbers)):
        raise UserError(
            f"{what} is {shown(values)}, expected {len(columns)} numbers: {', '.join(columns)}."
        )
    if fault := _fault(prompt, numbers):
        raise UserError(f"{what}, {list(numbers)}, {fault}")
    return numbers


def prompts_for(
    path: Path, prompt: str, images: Sequence[Path], needed: Collection[int] | None = None
) -> dict[int, Numbers]:
    """The prompts of images, by their names: with their ending or without, with folders or without.

    Args:
        path: of the file.
        prompt: "box" or "point".
        images: all that a name may mean.
        needed: which of them need a prompt, by their place; None stands for all.

    Returns:
        The numbers of each that needs some, by its place.

    Raises:
        UserError: as ``read_prompts``; or an image has none, or two, or a name fits two images, or
            a prompt lies outside of its image.
    """
    wanted = range(len(images)) if needed is None else sorted(needed)
    given = read_prompts(path, prompt)
    owners = _owners(images)
    chosen: dict[int, tuple[str, Numbers]] = {}
    for name, numbers in given.items():
        fits = _fitting(name, owners)
        if len(fits) > 1:
            several = few(images[i] for i in sorted(fits))
            raise UserError(
                f"{path}: {name} may be any of {several}. Name it with its folder and its ending."
            )
        for i in fits:
            if i in chosen:
                raise _twice(path, chosen[i][0], prompt)
            chosen[i] = name, numbers
    missing = [images[i].name for i in wanted if i not in chosen]
    if missing:
        raise UserError(
            f"{path} has no {prompt} for {len(missing)} of {len(wanted)} images: {few(missing)}. "
            "Add a row for each."
        )
    for i in wanted:
        size = picture_size(images[i])
        if size is not None:
            shares_of(chosen[i][1], prompt, size, f"{path}: the {prompt} of {images[i].name}")
    return {i: chosen[i][1] for i in wanted}


def frames_for(path: Path, prompt: str, sources: Sequence[Path]) -> dict[int, int]:
    """The frames that the prompts of videos and volumes are for, where the file names them.

    Args:
        path: of the file; a CSV may have the column frame, a JSON {"image": {"frame": 0, ...}}.
        prompt: "box" or "point".
        sources: all that a name may mean.

    Returns:
        The number of the frame of each that has one, by its place; the first is 0.

    Raises:
        UserError: as ``read_frames``.
    """
    owners, given = _owners(sources), read_frames(path, prompt)
    return {i: frame for name, frame in given.items() for i in _fitting(name, owners)}


def shares_of(numbers: Numbers, prompt: str, size: tuple[float, float], what: str) -> list[float]:
    """A prompt in shares of its image, 0..1; what reaches out of it a little is cut off.

    Args:
        numbers: x0, y0, x1, y1 or x, y in pixels.
        prompt: "box" or "point".
        size: (width, height) of the image in pixels.
        what: what errors call it, as for ``in_pixels``.

    Raises:
        UserError: it lies outside of the image, or far outside with a part.
    """
    shares = [value / size[i % 2] for i, value in enumerate(numbers)]
    cut = [min(1.0, max(0.0, share)) for share in shares]
    empty = prompt == "box" and not (cut[0] < cut[2] and cut[1] < cut[3])
    pixels = f"{size[0]:g}x{size[1]:g} pixels"
    if empty:
        raise UserError(
            f"{what}, {list(numbers)}, holds nothing of the image's {pixels}. "
            "Expected x0 < x1 and y0 < y1, in pixels."
        )
    allowed = [max(BEYOND, 2 / size[i % 2]) if prompt == "box" else 0 for i in range(len(numbers))]
    if any(not -out <= share <= 1 + out for share, out in zip(shares, allowed, strict=True)):
        raise UserError(
            f"{what}, {list(numbers)}, reaches out of the image's {pixels}. "
            "Expected pixels of the image as it is, from its upper left corner."
        )
    return cut


def _fault(prompt: str, numbers: Numbers) -> str:
    """Why numbers cannot be a prompt in pixels, or an empty string."""
    top, low = max(numbers), min(numbers)
    whole = all(value == int(value) for value in numbers)
    shares = top <= 1 if prompt == "box" else top <= 1 and not whole
    if low >= -0.5 and top > 0 and (shares or (top <= 1.5 and not whole)):
        return (
            "looks like shares of the image (0 to 1); expected pixels: multiply x by the image's "
            "width and y by its height."
        )
    if prompt == "box" and not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        return (
            "holds nothing: expected x0 < x1 and y0 < y1, two corners in pixels. Of x, y, width, "
            "height, add x to the width and y to the height."
        )
    return ""


def _twice(path: Path, name: str, prompt: str) -> UserError:
    return UserError(
        f"{path} names {name_text(name)} twice. One {prompt} an image; join several boxes into one."
    )


def _owners(images: Sequence[Path]) -> dict[tuple[bool, str], set[int]]:
    """Which images a name may mean: (whether it has the ending, name with any of its folders)."""
    owners: dict[tuple[bool, str], set[int]] = {}
    for i, image in enumerate(images):
        for path in {image, Path(os.path.abspath(image))}:
            parts = one_form(path.as_posix()).split("/")
            for depth in range(1, len(parts) + 1):
                name = "/".join(parts[-depth:])
                bare = name[: len(name) - len(_ending(image.name))]
                owners.setdefault((True, name), set()).add(i)
                owners.setdefault((False, bare), set()).add(i)
    return owners


def _fitting(name: str, owners: Mapping[tuple[bool, str], set[int]]) -> set[int]:
    """Which images a name means."""
    return next((found for key in _keys(name) if (found := owners.get(key))), set())


def _keys(name: str) -> Iterator[tuple[bool, str]]:
    """What a name in the file may mean, the most exact first."""
    yield True, name
    yield False, name
    if ending := _ending(name):  # a.png for a.jpg
        yield False, name[: len(name) - len(ending)]


def _ending(name: str) -> str:
    """The ending of what can be segmented, or an empty string: in scan.2 the 2 is none."""
    if of_volume := volume_ending(Path(name)):
        return name[-len(of_volume) :]
    ending = Path(name).suffix
    return ending if ending.lower() in (*EXTENSIONS, *DICOM, *VIDEOS) else ""


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[str, Any, Any]]:
    """Name, numbers and frame (None without) of each row."""
    text = read_text(path, "--prompts ")
    if path.suffix.lower() == ".json":
        return _json_rows(path, text, columns)
    lines = list(csv_rows(text, path, strict=False))
    names = once_each([name.strip() for name in lines[0][1]], path) if lines else []
    lacking = [c for c in ("image", *columns) if len(lines) < 2 or c not in names]
    if lacking:
        raise UserError(
            f"{path} lacks the columns {', '.join(lacking)}; expected a first line "
            f"image,{','.join(columns)} and a row for each image."
        )
    rows = [dict(zip(names, [*line, *[None] * len(names)], strict=False)) for _, line in lines[1:]]
    return [
        (row["image"] or "", [row[column] for column in columns], row.get("frame")) for row in rows
    ]


def _json_rows(path: Path, text: str, columns: Sequence[str]) -> list[tuple[str, Any, Any]]:
    content = parse_json(text, str(path))
    if not isinstance(content, dict):
        raise UserError(
            f'{path} holds {shown(content)}, expected {{"image": [{", ".join(columns)}]}}.'
        )
    return [
        (name, [row.get(column) for column in columns], row.get("frame"))
        if isinstance(row, dict)
        else (name, row, None)
        for name, row in content.items()
    ]
