"""Read the masks of an image: what is foreground, which class, and several masks as one.

Every command reads masks here: which of the values are foreground is said in
``gpsseg.data.formats.levels``, what colours and transparency mean in
``gpsseg.data.formats.colours``, what kinds of files there are in ``gpsseg.data.formats.stored``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.data.formats import colours
from gpsseg.data.formats.distinct import distinct_colours
from gpsseg.data.formats.filenames import image_endings
from gpsseg.data.formats.images import decode
from gpsseg.data.formats.levels import BY_LABELS, Marked, by_labels, mark, whole
from gpsseg.data.formats.maps import ending
from gpsseg.data.formats.stored import Stored, read_stored, size_text
from gpsseg.errors import UserError
from gpsseg.faults import naming


@dataclass(frozen=True)
class Labels:
    """The classes of a label map.

    Attributes:
        classes: of each class its stored value, (v,), or its colour, (red, green, blue), 0..255.
        chosen: which of them are foreground, by index; everything else is background.
        separate: whether a network is to tell them apart.
    """

    classes: tuple[tuple[int, ...], ...]
    chosen: tuple[int, ...]
    separate: bool = False


def foreground_of(
    stored: Stored,
    path: Path,
    labels: Collection[int] = (),
    grounds: Collection[float] = (),
    choice: str = BY_LABELS,
) -> Marked:
    """The foreground of a stored mask.

    Args:
        stored: from ``read_stored``.
        path: names the file in errors.
        labels: the values that are foreground, of a map of classes; none for masks of two levels.
        grounds: values that are background in other masks of the set, as for ``mark``.
        choice: a sentence on how else several classes can be read, as for ``mark``.

    Raises:
        UserError: as ``mark`` and ``by_labels``.
    """
    if labels:
        return by_labels(stored.values, labels, path)
    if stored.part is not None and stored.values.dtype.kind == "f":
        return Marked(stored.values >= 0.5)  # DICOM says that these are probabilities
    return mark(stored.values, path, stored.lossy, grounds, choice)


def read_mask(path: Path, labels: Labels | None = None) -> np.ndarray:
    """Read a mask as bool (H, W), upright; True is foreground.

    With ``labels`` foreground is where one of the chosen classes is: by its value, or by the
    nearest of their colours and black (which removes JPEG artefacts too). NumPy files and
    two-dimensional volume files are read too.

    Raises:
        UserError: the file cannot be read, or the mask holds several classes (as 0, 1, 2) and there
            are no labels, a value that is no class, or one that no mask can hold (NaN, below 0).
    """
    return look_at_mask(path, labels).mask


def look_at_mask(path: Path, labels: Labels | None = None) -> Marked:
    """Read a mask as ``read_mask``, with what is worth knowing of it."""
    with naming(path):
        if labels is not None:
            numbers = read_labels(path, labels)
            return Marked(numbers > 0, classes=frozenset(np.unique(numbers).tolist()) - {0})
        return foreground_of(_flat(path), path, choice="")


def read_labels(path: Path, labels: Labels | None = None) -> np.ndarray:
    """Read a mask as uint8 (H, W): 0 is background, n the n-th of the chosen classes.

    Without ``labels`` there is one class. The rules and the errors are those of ``read_mask``.
    """
    if labels is None:
        return read_mask(path).view(np.uint8)
    numbers = np.zeros(1 + len(labels.classes), np.uint8)
    for number, index in enumerate(labels.chosen, start=1):
        numbers[1 + index] = number
    return numbers[_read_classes(path, labels)]


def holds_colours(path: Path, labels: Labels) -> bool:
    """Whether a picture holds colours, and classes have these; a palette's must be the classes'.

    Raises:
        UserError: it cannot be decoded.
    """
    if len(labels.classes[0]) != 3 or ending(path) not in image_endings():
        return False
    picture = decode(path, colours.MODES)
    if picture.mode in colours.PLAIN:
        return False
    pixels = np.asarray(colours.hide_transparent(picture))
    if picture.mode != "P":
        return bool(np.ptp(pixels, axis=2).max() > colours.TINT)
    there = {tuple(colour) for colour in distinct_colours(pixels)[0].tolist()}
    return there <= {(0, 0, 0), *labels.classes} and len(there) > 1


def joined(paths: Sequence[Path], looks: Sequence[Marked], votes: bool) -> Marked:
    """Several masks of one image as one: what most of them mark, or all that they mark together.

    Half of the votes is not a majority: two annotators must agree.

    Args:
        paths: of the masks.
        looks: at each, in their order.
        votes: whether they are annotators' opinions, and not parts of what is marked.

    Raises:
        UserError: they differ in size.
    """
    masks = [each.mask for each in looks]
    refuse_sizes(paths, masks, votes)
    if len(looks) == 1:
        return looks[0]
    mask = np.sum(masks, axis=0) * 2 > len(masks) if votes else np.logical_or.reduce(masks)
    return Marked(
        mask,
        max(each.grey for each in looks),
        frozenset().union(*(each.classes for each in looks)),
        _agreed([each.level for each in looks if each.level is not None]),
        shade=_agreed([each.shade for each in looks if each.shade is not None]),
    )


def joined_labels(paths: Sequence[Path], maps: Sequence[np.ndarray], votes: bool) -> np.ndarray:
    """The same as ``joined`` of maps of classes: uint8 (H, W).

    Of votes, where no class has a majority is background; of parts, the first one counts.
    """
    refuse_sizes(paths, maps, votes)
    found = maps[0].copy()
    if votes and len(maps) > 1:
        found[:] = 0
        for number in range(1, 1 + max(int(each.max()) for each in maps)):
            found[np.sum([each == number for each in maps], axis=0) * 2 > len(maps)] = number
        return found
    for each in maps[1:]:
        np.copyto(found, each, where=found == 0)
    return found


def refuse_sizes(paths: Sequence[Path], masks: Sequence[np.ndarray], votes: bool) -> None:
    """Refuse masks (H, W), or volumes (D, H, W), of one image that differ in size.

    Raises:
        UserError: two do; the text names them.
    """
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != masks[0].shape:
            got, other = size_text(mask.shape), size_text(masks[0].shape)
            order = " (height x width)" if mask.ndim == 2 else ""
            are = "the annotators' masks of one image" if votes else "the masks of one image are"
            must = "must have" if votes else "joined and must have"
            raise UserError(
                f"{path} is {got} but {paths[0]} is {other}{order}: {are} {must} one size. Export "
                "them again."
            )


def _agreed(values: Sequence[float]) -> float | None:
    """What all say; None where they do not agree, or nothing is said."""
    return values[0] if len(set(values)) == 1 else None


def _flat(path: Path, numbers: bool = False) -> Stored:
    """A mask of one image, as stored.

    Raises:
        UserError: it is a volume.
    """
    stored = read_stored(path, numbers)
    if stored.values.ndim != 2:
        raise UserError(
            f"{path} has the shape {stored.values.shape}, expected a mask of one image."
        )
    return stored


def _read_classes(path: Path, labels: Labels) -> np.ndarray:
    """A label map as integers (H, W): 0 is background, 1 + i the class of index i."""
    if len(labels.classes[0]) == 3:
        return _read_colours(path, labels)
    values = whole(_class_values(path), path)
    known = [value for (value,) in labels.classes]
    foreign = set(np.unique(values).tolist()) - {0, *known}
    if foreign:
        raise UserError(
            f"{path} holds the value {min(foreign)}, expected 0 or a class of the data card: "
            f"{', '.join(map(str, known))}. Add it to `classes`, or mend the mask."
        )
    classes = np.zeros(values.shape, np.uint8)
    for index, value in enumerate(known, start=1):
        classes[values == value] = index
    return classes


def _class_values(path: Path) -> np.ndarray:
    """The values of a label map (H, W); of a palette its numbers, of one bit 0 and 1."""
    return _flat(path, numbers=True).values


def _read_colours(path: Path, labels: Labels) -> np.ndarray:
    """A label map by the nearest of the classes' colours and black, as ``_read_classes``."""
    picture = decode(path, colours.MODES)
    pixels = np.asarray(colours.hide_transparent(picture))
    nearest, far = colours.nearest_colours(pixels, [(0, 0, 0), *labels.classes])
    foreign = colours.foreign_colour(pixels, far, colours.is_lossy(picture))
    if foreign:
        raise UserError(
            f"{path} holds the colour {list(foreign[0])} in {foreign[1]:.1%} of its pixels, "
            f"expected black or a class of the data card: {list(map(list, labels.classes))}. Add "
            "it to `classes` (and choose others with --classes), or mend the mask."
        )
    return nearest
