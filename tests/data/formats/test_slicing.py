"""Slices lie upright, and what is written to them arrives where they were cut."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from gpsseg.data.formats.slicing import (
    PLANES,
    find_slicing,
    flat_note,
    grey_range,
    slicing_of,
    to_rgb,
)
from gpsseg.data.formats.volumes import Volume

NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}
SIDES = {"axial": ((0, 1, 0), (1, 0, 0)), "coronal": ((0, 0, -1), (1, 0, 0))}
SIDES["sagittal"] = ((0, 0, -1), (0, 1, 0))  # where rows and columns lead, in LPS


def affines() -> list[np.ndarray]:
    """All 48 ways in which axes can be permuted and flipped, each a little oblique."""
    found = []
    lean = np.array([[1, 0.1, 0], [-0.1, 1, 0.05], [0, -0.05, 1]])
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = lean @ (np.eye(3)[:, order] * signs) * (3, 1, 0.5)
            found.append(affine)
    return found


@pytest.mark.parametrize("plane", PLANES)
def test_slices_lie_upright_however_the_array_does(plane: str) -> None:
    shape = (4, 5, 6)
    index = np.moveaxis(np.indices(shape), 0, -1)  # each voxel holds its own index
    for affine in affines():
        view = find_slicing(affine, plane).view(index)
        place = view @ affine[:3, :3].T
        rows = place[0, 1, 0] - place[0, 0, 0]
        columns = place[0, 0, 1] - place[0, 0, 0]
        slices = place[1, 0, 0] - place[0, 0, 0]
        for step, wanted in zip((rows, columns), SIDES[plane], strict=True):
            assert step @ wanted / np.linalg.norm(step) > 0.9
        assert abs(slices[NORMAL[plane]]) / np.linalg.norm(slices) > 0.9


def test_auto_cuts_along_the_first_axis_and_writing_goes_through() -> None:
    for affine in affines():
        values = np.zeros((4, 5, 6), np.uint8)
        view = find_slicing(affine).view(values)
        assert len(view) == 4
        view[2] = 1
        assert values[2].all()
        assert values.sum() == 30


@pytest.mark.parametrize(
    ("shape", "axis", "seen", "said"),
    [
        ((1, 36, 40), "coronal", (1, 36, 40), ["a.nii"]),
        ((1, 36, 40), "axial", (1, 36, 40), []),
        ((1, 36, 40), "auto", (1, 36, 40), []),
        ((30, 1, 40), "axial", (1, 30, 40), ["a.nii"]),
        ((30, 1, 40), "auto", (1, 30, 40), []),
        ((30, 36, 40), "coronal", (36, 30, 40), []),
        ((1, 1, 40), "coronal", (1, 1, 40), []),
    ],
)
def test_a_single_slice_is_one_picture(
    shape: tuple[int, ...], axis: str, seen: tuple[int, ...], said: list[str]
) -> None:
    """D leads to the head, H to the back and W to the left."""
    affine = np.eye(4)[[2, 1, 0, 3]]
    flat: list[str] = []
    values = np.zeros(shape, np.uint8)
    for _ in range(2):  # a volume and its mask
        cut = slicing_of(Volume(values, affine, Path("f/a.nii")), axis, flat)
    assert cut.view(values).shape == seen
    assert flat == said


def test_single_slices_are_said_in_a_line() -> None:
    assert flat_note([], "coronal") == ""
    said = flat_note(["a.nii"], "coronal")
    assert said.startswith("note: 1 volume is a single slice: it is one picture, whatever the axis")


def volume(values: np.ndarray, **options: object) -> Volume:
    return Volume(values, np.eye(4), Path("a.nii"), **options)


def test_greys_come_from_the_user_the_file_its_bits_or_its_values() -> None:
    values = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    assert grey_range(volume(values, window=(5, 6)), (40, 400)) == (-160, 240)
    assert grey_range(volume(values, window=(5, 6))) == (5, 6)
    assert grey_range(volume(values.astype(np.uint8))) == (0, 255)
    low, high = grey_range(volume(values))
    assert (low, high) == pytest.approx((5, 994), abs=1)


def test_to_rgb() -> None:
    values = np.array([[0.0, np.nan, 1.0]])
    np.testing.assert_array_equal(to_rgb(values, 0, 1)[0, :, 0], [0, 0, 255])
    np.testing.assert_array_equal(to_rgb(values, 0, 1, inverted=True)[0, :, 2], [255, 0, 0])
    assert to_rgb(np.full((2, 2), 7), 7, 7).max() == 0, "a flat image is black"
    colour = np.zeros((2, 3, 3), np.uint8)
    np.testing.assert_array_equal(to_rgb(colour, 5, 6), colour)
