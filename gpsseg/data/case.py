"""A case: one image with its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.images import (
    Labels,
    is_turned,
    look_at_mask,
    read_image,
    read_label_votes,
    read_labels,
    read_mask,
    read_votes,
)
from gpsseg.data.formats.levels import Marked
from gpsseg.errors import UserError


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
    """

    id: str
    image: Path
    mask: Path | None = None
    group: str | None = None
    opinions: tuple[Path, ...] = ()
    labels: Labels | None = None
    greys: Greys | None = None
    joined: bool = False


def case_image(case: Case) -> np.ndarray:
    """Read a case's image as uint8 (H, W, 3) RGB, see ``gpsseg.data.formats.images.read_image``.

    Raises:
        UserError: see there.
    """
    return read_image(case.image, case.greys)


def case_mask(case: Case) -> np.ndarray:
    """Read a case's truth as bool (H, W), by the rule of ``gpsseg.data.formats.images.read_mask``.

    Raises:
        UserError: see there; or the annotators' masks differ in size.
    """
    assert case.mask is not None
    return mask_of((case.mask, *case.opinions), case.labels, case.joined)


def look_at_case(case: Case) -> Marked:
    """Read a case's truth as ``case_mask``, with what is worth knowing of its (first) mask."""
    assert case.mask is not None
    if case.opinions:
        return Marked(case_mask(case))
    return look_at_mask(case.mask, case.labels)


def case_labels(case: Case) -> np.ndarray:
    """Read a case's truth as uint8 (H, W): 0 is background, n the n-th of the chosen classes.

    Raises:
        UserError: as ``case_mask``.
    """
    assert case.mask is not None
    return labels_of((case.mask, *case.opinions), case.labels, case.joined)


def mask_of(paths: Sequence[Path], labels: Labels | None, joined: bool) -> np.ndarray:
    """Read the masks of one image as bool (H, W): all that they mark, or what most of them mark.

    Raises:
        UserError: as ``case_mask``.
    """
    if not joined:
        return read_votes(paths, labels)
    return _all_together(paths, [read_mask(path, labels) for path in paths])


def labels_of(paths: Sequence[Path], labels: Labels | None, joined: bool) -> np.ndarray:
    """The same as ``case_labels``: uint8 (H, W). Where several mark a pixel, the first counts.

    Raises:
        UserError: as ``case_mask``.
    """
    if not joined:
        return read_label_votes(paths, labels)
    return _all_together(paths, [read_labels(path, labels) for path in paths])


def _all_together(paths: Sequence[Path], masks: Sequence[np.ndarray]) -> np.ndarray:
    """What several masks of one image mark together."""
    found = masks[0].copy()
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != found.shape:
            got, other = ("x".join(map(str, size)) for size in (mask.shape, found.shape))
            raise UserError(
                f"{path} is {got} but {paths[0]} is {other} (height x width): the masks of one "
                "image are joined and must have one size. Export them again."
            )
        np.copyto(found, mask, where=found == 0)
    return found


def size_fault(case: Case, mask: tuple[int, ...], image: tuple[int, ...]) -> str:
    """What to say of a mask whose (height, width) is not its image's."""
    got, expected = ("x".join(map(str, size)) for size in (mask, image))
    text = f"{case.mask}: the mask is {got} but its image is {expected} (height x width)."
    if mask == image[::-1] and is_turned(case.image):
        return f"{text} The image is turned by its EXIF orientation; turn the mask too."
    return f"{text} Masks must match their image; export it again at the image's size."
