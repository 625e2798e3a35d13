"""Thin classes are told from the softened border of a mask of two levels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from gpsseg.data.checks.notices import mask_facts, notices
from gpsseg.data.formats.levels import mark
from gpsseg.errors import UserError

NAME = Path("m.png")
Y, X = np.mgrid[:97, :121]
ROUND = ((Y - 45) / 31) ** 2 + ((X - 60) / 42) ** 2 + 0.1 * np.sin(X / 7.0) < 1  # wavy, as lesions
WAYS = Image.Resampling


def rims(*levels: int, width: int = 1, mask: np.ndarray = ROUND) -> np.ndarray:
    """The mask at the last level, in rings of the others, the first one outermost."""
    values = np.zeros(mask.shape, np.uint8)
    for index, level in enumerate(levels):
        steps = width * (len(levels) - 1 - index)
        values[ndimage.binary_dilation(mask, iterations=steps) if steps else mask] = level
    return values


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize(
    "levels",
    [(100, 200), (85, 255), (128, 255), (85, 170, 255), (64, 128, 192, 255)],
)
def test_rims_are_classes(levels: tuple[int, ...], width: int) -> None:
    with pytest.raises(UserError, match=f"{len(levels) + 1} different values"):
        mark(rims(*levels, width=width), NAME)
    with pytest.raises(UserError, match=f"{len(levels) + 1} different values"):
        mark(np.stack([rims(*levels, width=width)] * 3), NAME)


def test_a_small_class_at_a_border_is_a_class() -> None:
    values = ROUND * np.uint8(200)
    edge = ROUND & ~ndimage.binary_erosion(ROUND, iterations=2)
    edge[:, :95] = False  # a piece of the rim
    values[edge] = 100
    assert 0 < edge.mean() < 0.01
    with pytest.raises(UserError, match="3 different values"):
        mark(values, NAME)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("way", [WAYS.BOX, WAYS.BILINEAR])
def test_smaller_masks_are_cut_in_the_middle(factor: int, way: int) -> None:
    size = (ROUND.shape[1] // factor, ROUND.shape[0] // factor)
    soft = np.asarray(Image.fromarray(ROUND.astype(np.uint8) * 255).resize(size, way))
    found = mark(soft, NAME)
    np.testing.assert_array_equal(found.mask, soft > 127)
    assert found.grey > 0


def test_larger_masks_are_cut_in_the_middle() -> None:
    size = (2 * ROUND.shape[1], 2 * ROUND.shape[0])
    soft = np.asarray(Image.fromarray(ROUND.astype(np.uint8) * 255).resize(size, WAYS.BILINEAR))
    assert 4 < len(np.unique(soft)) <= 16
    np.testing.assert_array_equal(mark(soft, NAME).mask, soft > 127)


def test_one_third_level_in_several_masks_is_worth_a_line() -> None:
    """A straight line of one value may be a softened border; in every mask it may be a class."""
    values = np.zeros((20, 30), np.uint8)
    values[5:15, 5:25] = 200
    values[4, 5:25] = 100
    seen = [mask_facts(Path(name), mark(values, NAME)) for name in ("a.png", "b.png")]
    assert all(each.shade == 100 for each in seen)
    assert any("one exact third level" in line and "a.png, b.png" in line for line in notices(seen))
    assert not any("third level" in line for line in notices(seen[:1]))


def test_a_constant_mask_of_the_value_that_others_have_as_background_is_named() -> None:
    masks = {"a.png": ROUND + np.uint8(1), "b.png": np.ones(ROUND.shape, np.uint8)}
    seen = [mask_facts(Path(name), mark(values, Path(name))) for name, values in masks.items()]
    lines = [line for line in notices(seen) if "background in others" in line]
    assert lines == [
        "note: 1 of 2 masks: of one value that is the background in others, but read as all "
        "foreground; save all of a set with the same two levels (b.png)."
    ]
    assert not mark(masks["b.png"], NAME, grounds={1}).mask.any()
