"""A case's masks as one, and its image by the greys of its set, in every place that shows them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.case import Case, case_labels, case_mask, look_at_case
from gpsseg.data.checks.audit import look_at
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.masks import Labels, read_labels
from gpsseg.errors import UserError
from gpsseg.report.check import _overlay
from gpsseg.report.thumbnails import collect

LEFT = np.zeros((16, 24), np.uint8)
LEFT[4:12, 2:8] = 1
RIGHT = np.zeros_like(LEFT)
RIGHT[4:12, 14:20] = 1


def saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def soft(values: np.ndarray) -> np.ndarray:
    """Twice as large, with a soft border: more than two values."""
    image = Image.fromarray(values * 255)
    size = (2 * image.width, 2 * image.height)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


@pytest.mark.parametrize("together", [True, False], ids=["parts", "votes"])
def test_what_is_odd_about_one_of_several_masks_is_not_lost(tmp_path: Path, together: bool) -> None:
    plain = np.kron(LEFT, np.ones((2, 2), np.uint8)) * 255
    first, second = saved(tmp_path / "a.png", plain), saved(tmp_path / "b.png", soft(RIGHT))
    case = Case("x", first, first, opinions=(second,), joined=together)
    marked = look_at_case(case)
    alone = look_at_case(Case("x", second, second))
    assert marked.grey == alone.grey > 0
    assert marked.level == 255
    expected = (plain > 0) | (soft(RIGHT) > 127) if together else np.zeros(plain.shape, bool)
    np.testing.assert_array_equal(case_mask(case), expected)


def test_votes_and_parts_of_classes(tmp_path: Path) -> None:
    labels = Labels(((1,), (2,)), (0, 1))
    one = saved(tmp_path / "a.png", LEFT + 2 * RIGHT)
    two = saved(tmp_path / "b.png", 2 * LEFT + 2 * RIGHT)
    both = Case("x", one, one, opinions=(two,), labels=labels)
    np.testing.assert_array_equal(case_labels(both), 2 * RIGHT)
    assert look_at_case(both).classes == {1, 2}
    parts = Case("x", two, two, opinions=(one,), labels=labels, joined=True)
    np.testing.assert_array_equal(case_labels(parts), 2 * LEFT + 2 * RIGHT)


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "a.png", LEFT), saved(tmp_path / "b.png", LEFT[:8])
    for together, text in ((False, "the annotators' masks"), (True, "are joined")):
        case = Case("x", one, one, opinions=(two,), joined=together)
        with pytest.raises(UserError, match=rf"b\.png is 8x24 but .*a\.png is 16x24.*{text}"):
            case_mask(case)


def test_a_deep_image_is_shown_by_the_greys_of_its_set(tmp_path: Path) -> None:
    """4095 of 4095 is white; by itself 1000 of 1023 would be nearly white, too."""
    deep = saved(tmp_path / "i.png", np.full(LEFT.shape, 1000, np.uint16))
    mask = saved(tmp_path / "m.png", LEFT * 0)
    case = Case("x", deep, mask, greys=Greys(whole=(0.0, 4095.0)))
    grey = round(1000 / 4095 * 255)
    look = look_at(case)
    assert look.colour == (grey, grey, grey)
    shown = np.asarray(Image.open(io.BytesIO(_overlay(look))))
    assert abs(int(shown.mean()) - grey) <= 1
    thumbnails, picture = collect(1)
    picture(case, LEFT > 0, LEFT > 0)
    assert abs(int(np.asarray(Image.open(io.BytesIO(thumbnails[0].image))).mean()) - grey) <= 1


def test_the_share_of_a_foreign_colour_is_its_own(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:10, :10], pixels[10:, 20:25] = (255, 255, 0), (0, 255, 255)
    path = saved(tmp_path / "m.png", pixels)
    with pytest.raises(UserError, match=r"colour \[255, 255, 0\] in 12\.5% of its pixels"):
        read_labels(path, Labels(((255, 0, 0), (0, 0, 255)), (0,)))


@pytest.mark.parametrize(("alpha", "shown"), [(100, False), (127, False), (128, True)])
def test_what_is_less_than_half_opaque_is_no_class(tmp_path: Path, alpha: int, shown: bool) -> None:
    pixels = np.zeros((*LEFT.shape, 4), np.uint8)
    pixels[LEFT > 0] = (255, 0, 0, 255)
    pixels[RIGHT > 0] = (255, 0, 0, alpha)
    path = saved(tmp_path / "m.png", pixels)
    found = read_labels(path, Labels(((255, 0, 0), (0, 0, 255)), (0,)))
    np.testing.assert_array_equal(found, LEFT + RIGHT * np.uint8(shown))
