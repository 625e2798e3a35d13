"""Look at every file of a data set: what is broken, odd or double, and what the images are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gpsseg.console import progress
from gpsseg.data.case import Case, capitals_hints, case_image, look_at_case, size_fault
from gpsseg.data.checks.leaks import find_duplicates
from gpsseg.data.checks.notices import FRAMED, FULL, mask_facts
from gpsseg.data.checks.pictures import Leak
from gpsseg.data.formats.greys import Depth, Greys, settle_greys
from gpsseg.data.formats.greys import depth_of as look_at_greys
from gpsseg.data.formats.headers import is_turned
from gpsseg.data.formats.images import as_rgb, read_picture
from gpsseg.faults import fault_of


@dataclass(frozen=True)
class Audited:
    """What one case is like.

    Attributes:
        case: the case.
        fault: why it cannot be used, in a sentence; empty if it can.
        size: (height, width) in pixels.
        colour: mean (red, green, blue), 0..255.
        share: share of the image that is foreground; None without a mask.
        border: share of the mask's border that is foreground.
        grey: share of the mask's pixels that are neither of its two levels; they are thresholded.
        turned: whether the image is shown upright by its EXIF orientation.
        greys: what an image of more than 8 bits holds; None for the others.
    """

    case: Case
    fault: str = ""
    size: tuple[int, int] = (0, 0)
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    share: float | None = None
    grey: float = 0.0
    border: float = 0.0
    turned: bool = False
    greys: Depth | None = None


@dataclass(frozen=True)
class Audit:
    """What all cases are like.

    Attributes:
        looks: one a case, in their order.
        duplicates: pairs of pictures that are alike.
        lone_masks: names of masks without an image, relative to the set's folder.
        compared: whether alike pictures were looked for.
        greys: how images of more than 8 bits are shown; None where there are none.
    """

    looks: Sequence[Audited]
    duplicates: Sequence[Leak] = ()
    lone_masks: Sequence[str] = field(default_factory=tuple)
    compared: bool = True
    greys: Greys | None = None

    @property
    def sound(self) -> list[Audited]:
        """The cases that can be used."""
        return [look for look in self.looks if not look.fault]

    @property
    def faults(self) -> list[str]:
        """What must be mended: unreadable files, sizes that differ, images and masks alone."""
        alone = [f"{name} is a mask without an image." for name in self.lone_masks]
        unmasked = [look.case.id for look in self.looks if look.case.mask is None]
        hints = capitals_hints(unmasked, map(Path, self.lone_masks))
        faults = [f"{each.fault}{hints.get(each.case.id, '')}" for each in self.looks if each.fault]
        return faults + alone

    @property
    def empty(self) -> list[Audited]:
        """The cases whose mask is all background."""
        return [look for look in self.sound if look.share == 0]

    @property
    def full(self) -> list[Audited]:
        """The cases whose mask is (nearly) all foreground."""
        return [look for look in self.sound if (look.share or 0) >= FULL]

    @property
    def framed(self) -> list[Audited]:
        """The cases whose mask is foreground along most of its border, but not full."""
        return [look for look in self.sound if look.border > FRAMED and (look.share or 0) < FULL]

    @property
    def not_binary(self) -> list[Audited]:
        """The cases whose mask has values between its two levels."""
        return [look for look in self.sound if look.grey > 0]

    @property
    def turned(self) -> list[Audited]:
        """The cases whose image is turned by its EXIF orientation; their masks may not be."""
        return [look for look in self.sound if look.turned]

    @property
    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """Each (height, width) with the number of images that have it, most first."""
        return Counter(look.size for look in self.sound).most_common()


def audit(
    cases: Sequence[Case],
    lone_masks: Sequence[str] = (),
    duplicates: bool = True,
    tests: Collection[Case] = (),
) -> Audit:
    """Read every image and mask; those of more than 8 bits are shown as training shows the set.

    Args:
        cases: of the set; those without mask are a fault.
        lone_masks: masks of no image.
        duplicates: whether to look for pictures that are alike, too.
        tests: the test images among them, which settle nothing.
    """
    with ThreadPoolExecutor() as pool:
        looks = list(progress(pool.map(look_at, cases), "reading files", len(cases)))
    known = set(tests)
    rule = settle_greys(look.greys for look in looks if look.case not in known).of_pictures
    if rule is not None:
        looks = _shown_by(rule, looks)
    sound = [look.case for look in looks if look.size != (0, 0)]
    pairs = find_duplicates(sound) if duplicates and sound else ()
    return Audit(looks, pairs, lone_masks, duplicates, rule)


def _shown_by(rule: Greys, looks: Sequence[Audited]) -> list[Audited]:
    """The looks with a rule in the cases that it matters for, and their colours by it."""

    def again(look: Audited) -> Audited:
        if look.greys is None:
            return look
        case = replace(look.case, greys=rule)
        return replace(look, case=case, colour=_colour(case_image(case)))

    with ThreadPoolExecutor() as pool:
        return list(progress(pool.map(again, looks), "looking at greys", len(looks)))


def _colour(image: np.ndarray) -> tuple[float, float, float]:
    """Mean (red, green, blue) of (H, W, 3)."""
    red, green, blue = (float(value) for value in image.mean(axis=(0, 1)))
    return red, green, blue


def look_at(case: Case) -> Audited:
    """Read one case."""
    try:
        stored = read_picture(case.image)
        image = as_rgb(stored, case.greys, case.image)
    except Exception as error:
        return Audited(case, fault_of(case.image, error))
    size, colour, greys = (image.shape[0], image.shape[1]), _colour(image), look_at_greys(stored)
    if case.mask is None:
        fault = f"{case.image} is an image without a mask."
        return Audited(case, fault, size, colour, greys=greys)
    try:
        marked = look_at_case(case)
    except Exception as error:
        return Audited(case, fault_of(case.mask, error), size, colour, greys=greys)
    if marked.mask.shape != size:
        fault = size_fault(case, marked.mask.shape, size)
        return Audited(case, fault, size, colour, greys=greys)
    seen = mask_facts(case.mask, marked, is_turned(case.image))
    return Audited(case, "", size, colour, seen.share, seen.grey, seen.border, seen.turned, greys)
