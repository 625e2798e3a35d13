"""A case: one image with its mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gpsseg.config.missing import named_in
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.headers import is_turned
from gpsseg.data.formats.images import read_image
from gpsseg.data.formats.levels import Marked
from gpsseg.data.formats.maps import stem
from gpsseg.data.formats.masks import Labels, joined, joined_labels, look_at_mask, read_labels
from gpsseg.data.formats.matching import bare, last_of, numbered
from gpsseg.data.formats.stored import size_text


@dataclass(frozen=True)
class Case:
    """One image with its mask.

    Attributes:
        id: unique within the set; the image's name without extension, or what the data card says.
        image: path of the image.
        mask: path of its mask; None where there is no truth.
        group: cases of one group (a patient, a sequence) belong on one side of a split.
        opinions: masks of further annotators; a pixel is foreground where most of all masks say so.
        labels: which stored values or colours are foreground; None for masks of two levels.
        greys: what is black and white in an image of more than 8 bits; None lets it go by itself.
        joined: whether opinions are no votes but further lesions, each in a mask of its own: a
            pixel is foreground where one of all masks says so.
        facts: (column, value) of what else its table or its path says of it, such as its centre.
        own: its id where that is hashed, to find it by in what others wrote; never written.
        none: the word that stands where its group would, and means that it has none, such as NA.
    """

    id: str
    image: Path
    mask: Path | None = None
    group: str | None = None
    opinions: tuple[Path, ...] = ()
    labels: Labels | None = None
    greys: Greys | None = None
    joined: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    own: str = field(default="", repr=False, compare=False)
    none: str = field(default="", repr=False, compare=False)

    @property
    def own_id(self) -> str:
        """Its id as the set has it, also where ``id`` is a hash of that."""
        return self.own or self.id


def grouped(case: Case, told: str) -> Case:
    """A case with the group that a cell, a list or its name tells; told of none, it keeps its own.

    Args:
        case: with a group or without.
        told: the group, perhaps with blanks around it; or nothing, or a word for nothing.

    >>> case = Case("a", Path("a.png"))
    >>> grouped(case, " p1 ").group, grouped(case, "NA").group, grouped(case, "NA").none
    ('p1', None, 'NA')
    """
    group = named_in(told)
    if group:
        return replace(case, group=group, none="")
    return replace(case, none=told.strip()) if case.group is None and told.strip() else case


def case_image(case: Case) -> np.ndarray:
    """Read a case's image as uint8 (H, W, 3) RGB, see ``gpsseg.data.formats.images.read_image``.

    Raises:
        UserError: see there.
    """
    return read_image(case.image, case.greys)


def case_mask(case: Case) -> np.ndarray:
    """Read a case's truth as bool (H, W), by the rule of ``gpsseg.data.formats.masks.read_mask``.

    Raises:
        UserError: see there; or the annotators' masks differ in size.
    """
    return look_at_case(case).mask


def look_at_case(case: Case) -> Marked:
    """Read a case's truth as ``case_mask``, with what is worth knowing of its masks."""
    assert case.mask is not None
    return look_at_masks((case.mask, *case.opinions), case.labels, case.joined)


def look_at_masks(paths: Sequence[Path], labels: Labels | None, together: bool) -> Marked:
    """Read the masks of one image: all that they mark together, or what most of them mark.

    Raises:
        UserError: as ``case_mask``.
    """
    return joined(paths, [look_at_mask(path, labels) for path in paths], votes=not together)


def mask_of(paths: Sequence[Path], labels: Labels | None, together: bool) -> np.ndarray:
    """The same as ``look_at_masks``: bool (H, W)."""
    return look_at_masks(paths, labels, together).mask


def case_labels(case: Case) -> np.ndarray:
    """Read a case's truth as uint8 (H, W): 0 is background, n the n-th of the chosen classes.

    Raises:
        UserError: as ``case_mask``.
    """
    assert case.mask is not None
    return labels_of((case.mask, *case.opinions), case.labels, case.joined)


def labels_of(paths: Sequence[Path], labels: Labels | None, together: bool) -> np.ndarray:
    """The same as ``case_labels``: uint8 (H, W).

    Raises:
        UserError: as ``case_mask``.
    """
    maps = [read_labels(path, labels) for path in paths]
    return joined_labels(paths, maps, votes=not together)


def size_fault(case: Case, mask: tuple[int, ...], image: tuple[int, ...]) -> str:
    """What to say of a mask whose (height, width) is not its image's."""
    got, expected = size_text(mask), size_text(image)
    alike = case.mask is None or bare(stem(case.mask)) == bare(stem(case.image))
    which = "" if alike else f" {case.image}"  # one mask of all images tells none of them
    text = f"{case.mask}: the mask is {got} but its image{which} is {expected} (height x width)."
    if mask == image[::-1] and is_turned(case.image):
        return f"{text} The image is turned by its EXIF orientation; turn the mask too."
    return f"{text} Masks must match their image; export it again at the image's size."


def capitals_hints(names: Iterable[str], files: Iterable[Path]) -> dict[str, str]:
    """A sentence on each image whose mask (or prediction) is there, in other capitals.

    Args:
        names: ids of images without one.
        files: that belong to no image.

    >>> capitals_hints(["c0", "c1"], [Path("C0_Mask.PNG"), Path("d.png")])
    {'c0': ' C0_Mask.PNG would fit c0 but for its capitals: spell both alike.'}
    """
    called: dict[str, tuple[str, Path]] = {}
    for file in files:
        several = numbered(stem(file))
        own = bare(several[0] if several else stem(file))
        called.setdefault(own.casefold(), (own, file))
    hints = {}
    for name in names:
        own, file = called.get(bare(last_of(name)).casefold(), ("", Path()))
        if own and own != bare(last_of(name)):
            hints[name] = f" {file.name} would fit {name} but for its capitals: spell both alike."
    return hints
