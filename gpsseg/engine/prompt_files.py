"""A user's file of boxes or points: read, given to images by their names, and checked."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpsseg.data.formats.filenames import one_form
from gpsseg.data.formats.images import EXTENSIONS, picture_size
from gpsseg.errors import UserError, few

COLUMNS = {"box": ("x0", "y0", "x1", "y1"), "point": ("x", "y")}
BEYOND = 0.1  # of a side: a box may reach this far out of its image; it is cut off there
Numbers = tuple[float, ...]


def read_prompts(path: Path, prompt: str) -> dict[str, Numbers]:
    """Read image name, as it is written there -> numbers.

    Raises:
        UserError: the file cannot be read, names an image twice, or holds something else than
            prompts in pixels.
    """
    columns = COLUMNS[prompt]
    found: dict[str, Numbers] = {}
    for name, values in _rows(path, columns):
        try:
            numbers = tuple(float(value) for value in values)
        except (TypeError, ValueError, OverflowError):
            numbers = ()
        if len(numbers) != len(columns) or not all(map(math.isfinite, numbers)):
            raise UserError(
                f"{path}: {name} has {values!r:.200}, expected {len(columns)} numbers: "
                f"{', '.join(columns)}."
            )
        if fault := _fault(prompt, numbers):
            raise UserError(f"{path}: the {prompt} of {name}, {list(numbers)}, {fault}")
        key = one_form(name.strip().replace("\\", "/")).removeprefix("./")
        if key in found:
            raise _twice(path, key, prompt)
        found[key] = numbers
    return found


def prompts_for(path: Path, prompt: str, images: Sequence[Path]) -> list[Numbers]:
    """The prompt of each image, by its name: with its ending or without, with folders or without.

    Raises:
        UserError: as ``read_prompts``; or an image has none, or two, or a name fits two images, or
            a prompt lies outside of its image.
    """
    given = read_prompts(path, prompt)
    owners = _owners(images)
    chosen: dict[int, tuple[str, Numbers]] = {}
    for name, numbers in given.items():
        fits = next((found for key in _keys(name) if (found := owners.get(key))), ())
        if len(fits) > 1:
            several = few(images[i] for i in fits)
            raise UserError(
                f"{path}: {name} may be any of {several}. Name it with its folder and its ending."
            )
        for i in fits:
            if i in chosen:
                raise _twice(path, chosen[i][0], prompt)
            chosen[i] = name, numbers
    missing = [image.name for i, image in enumerate(images) if i not in chosen]
    if missing:
        raise UserError(
            f"{path} has no {prompt} for {len(missing)} of {len(images)} images: {few(missing)}. "
            "Add a row for each."
        )
    for i, image in enumerate(images):
        size = picture_size(image)
        if size is not None:
            shares_of(path, prompt, image, chosen[i][1], size)
    return [chosen[i][1] for i in range(len(images))]


def shares_of(
    path: Path, prompt: str, image: Path, numbers: Numbers, size: tuple[float, float]
) -> list[float]:
    """A prompt in shares of its image, 0..1; what reaches out of it a little is cut off.

    Args:
        path: of the file, for the error.
        prompt: "box" or "point".
        image: whose prompt it is.
        numbers: x0, y0, x1, y1 or x, y in pixels.
        size: (width, height) in pixels.

    Raises:
        UserError: it lies outside of the image, or far outside with a part.
    """
    shares = [value / size[i % 2] for i, value in enumerate(numbers)]
    cut = [min(1.0, max(0.0, share)) for share in shares]
    empty = prompt == "box" and not (cut[0] < cut[2] and cut[1] < cut[3])
    pixels = f"{size[0]:g}x{size[1]:g} pixels"
    if empty:
        raise UserError(
            f"{path}: the box of {image.name}, {list(numbers)}, holds nothing of its {pixels}. "
            "Expected x0 < x1 and y0 < y1, in pixels."
        )
    allowed = [max(BEYOND, 2 / size[i % 2]) if prompt == "box" else 0 for i in range(len(numbers))]
    if any(not -far <= share <= 1 + far for share, far in zip(shares, allowed, strict=True)):
        raise UserError(
            f"{path}: the {prompt} of {image.name}, {list(numbers)}, reaches out of its {pixels}. "
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
        f"{path} names {name} twice. One {prompt} an image; join several boxes into one."
    )


def _owners(images: Sequence[Path]) -> dict[tuple[bool, str], list[int]]:
    """Which images a name may mean: (whether it has the ending, name with any of its folders)."""
    owners: dict[tuple[bool, str], list[int]] = {}
    for i, image in enumerate(images):
        parts = one_form(image.as_posix()).split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[-depth:])
            owners.setdefault((True, name), []).append(i)
            bare = name[: len(name) - len(_ending(image.name))]
            owners.setdefault((False, bare), []).append(i)
    return owners


def _keys(name: str) -> Iterator[tuple[bool, str]]:
    """What a name in the file may mean, the most exact first."""
    yield True, name
    yield False, name
    if ending := _ending(name):  # a.png for a.jpg
        yield False, name[: len(name) - len(ending)]


def _ending(name: str) -> str:
    """The ending of a picture (or of DICOM), or an empty string: in scan.2 the 2 is none."""
    ending = Path(name).suffix
    return ending if ending.lower() in (*EXTENSIONS, ".dcm", ".dicom", ".ima") else ""


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"--prompts {path} cannot be read. Pass a CSV or JSON file with one prompt an image."
        ) from None
    if path.suffix.lower() == ".json":
        return _json_rows(path, text, columns)
    try:
        rows = list(csv.DictReader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise UserError(f"{path} is not readable as CSV ({error}).") from None
    lacking = [c for c in ("image", *columns) if not rows or c not in rows[0]]
    if lacking:
        raise UserError(
            f"{path} lacks the columns {', '.join(lacking)}; expected a first line "
            f"image,{','.join(columns)} and a row for each image."
        )
    return [(row["image"] or "", [row[column] for column in columns]) for row in rows]


def _json_rows(path: Path, text: str, columns: Sequence[str]) -> list[tuple[str, Any]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        if twice:
            raise UserError(f"{path} names {few(twice)} twice. One prompt an image.")
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not readable as JSON ({error}).") from None
    if not isinstance(content, dict):
        raise UserError(f'{path} holds a list, expected {{"image": [{", ".join(columns)}]}}.')
    return [(str(name), values) for name, values in content.items()]
