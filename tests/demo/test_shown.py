"""Masks, labels and clicks as the page draws them."""

import numpy as np

from gpsseg.demo import shown

# Of two classes; the second pixel is foreground (0.6) as class 1, the third (0.45) only below 0.5.
CLASSES = np.array([[[0.9, 0.4, 0.55]], [[0.05, 0.4, 0.05]], [[0.05, 0.2, 0.4]]], np.float32)


def test_labels_follow_the_threshold():
    assert shown.mask_of(CLASSES, 0.5).tolist() == [[0, 1, 0]]
    assert shown.mask_of(CLASSES, 0.45 - 1e-6).tolist() == [[0, 1, 2]]
    assert shown.mask_of(np.array([[0.5, 0.49]], np.float32), 0.5).tolist() == [[True, False]]


def test_each_label_has_its_colour_and_count():
    mask = np.zeros((9, 9), np.uint8)
    mask[1:4, 1:4], mask[5:8, 5:8] = 1, 2
    drawn = shown.overlay(np.zeros((9, 9, 3), np.uint8), mask, 1.0)
    assert tuple(drawn[2, 2]) == shown.COLOURS[0]
    assert tuple(drawn[6, 6]) == shown.COLOURS[1]
    assert drawn[0, 8].tolist() == [0, 0, 0]
    assert shown.caption(mask, ("polyp", "ulcer")) == "polyp 9 pixels, ulcer 9 pixels"


def test_pictures_are_shown_between_two_sizes():
    for shape, wanted in (
        ((8, 4), (512, 256)),
        ((600, 700), (600, 700)),
        ((2048, 512), (1024, 256)),
    ):
        assert shown.sized(np.zeros((*shape, 3), np.uint8)).shape[:2] == wanted
    assert shown.sized(np.zeros((1, 5000, 3), np.uint8)).shape == (1, 1024, 3)


def test_a_click_is_the_middle_of_its_pixel_also_at_the_edge():
    assert shown.in_picture((0, 0), (64, 64), (64, 64)) == (0.5, 0.5)
    assert shown.in_picture((-3, 900), (64, 64), (64, 64)) == (0.0, 64.0)
