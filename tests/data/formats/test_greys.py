"""What is black and what is white: of pictures by their set, of volumes by their window."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gpsseg.data.formats.greys import (
    Greys,
    depth_of,
    finite,
    from_stored,
    scaled,
    settle_greys,
    show,
    to_stored,
)
from gpsseg.data.formats.images import read_image, read_picture, read_small
from gpsseg.errors import UserError


@pytest.mark.parametrize(
    ("top", "white"),
    [(200, 255), (260, 1023), (1023, 1023), (4095, 4095), (5000, 16383), (16384, 65535)],
)
@pytest.mark.parametrize("colours", [False, True])
def test_whole_numbers_go_by_their_bits(
    tmp_path: Path, top: int, white: int, colours: bool, grey_files: ModuleType
) -> None:
    values = (grey_files.LONG * top).astype(np.uint16)
    stored = np.dstack([values, values // 2, values // 4]) if colours else values
    image = read_image(grey_files.saved(tmp_path / "a.png", stored))
    expected = np.rint(stored.astype(np.float32) * np.float32(255 / white))
    np.testing.assert_allclose(image[..., 0], expected[..., 0] if colours else expected, atol=1)
    np.testing.assert_allclose(image[..., 2], expected[..., -1] if colours else expected, atol=1)
    if colours:
        np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), stored)
        assert np.asarray(read_small(tmp_path / "a.png", 64, "RGB")).max() == image.max()


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_negative_and_real_numbers_keep_their_levels(
    tmp_path: Path, kind: type, grey_files: ModuleType
) -> None:
    values = (grey_files.LONG * 2000 - 1000).astype(kind)
    row = read_image(grey_files.saved(tmp_path / "a.tif", values))[0, :, 0]
    assert (row[0], row[-1]) == (0, 255)
    assert len(set(row.tolist())) > 60


def test_nan_and_what_was_never_measured_do_not_count(
    tmp_path: Path, grey_files: ModuleType
) -> None:
    real = (grey_files.LONG * 4 - 2).astype(np.float32)
    for odd in (np.nan, -np.inf, -np.finfo(np.float32).max):
        real[:, :8] = odd
        row = read_image(grey_files.saved(tmp_path / "b.tif", real))[0, :, 0]
        assert (row[:8] == 0).all()
        assert np.ptp(row[8:]) > 250
    whole = (grey_files.LONG * 200).astype(np.int32)
    whole[:, :8] = np.iinfo(np.int32).min
    row = read_image(grey_files.saved(tmp_path / "c.tif", whole))[0, :, 0]
    np.testing.assert_array_equal(row, whole[0].clip(0))
    sparse = np.zeros((100, 100), np.float32)
    sparse[0, :4] = [0.1, 0.2, 0.3, 0.4]  # fewer than the percentiles leave out
    row = read_image(grey_files.saved(tmp_path / "d.tif", sparse))[0, :5, 0]
    np.testing.assert_array_equal(row, [64, 128, 191, 255, 0])


def test_a_mark_of_padding_is_one_whatever_the_rest_spans() -> None:
    """A metal implant spans more than 13 bits; negative numbers down to the mark are no padding."""
    implant = np.array([[-32768, -1000, 0, 15000]], np.int16)
    assert finite(implant).tolist() == [-1000, 0, 15000]
    below = np.array([[-32768, -30000, 0, 15000]], np.int16)
    assert finite(below).tolist() == below[0].tolist()
    ends = np.array([[-32768, 0, 32767]], np.int16)
    assert finite(ends).tolist() == ends[0].tolist(), "as far from one another as from the least"
    assert finite(np.array([[-128, 0]], np.int8)).tolist() == [-128, 0], "of 8 bits all count"
    assert finite(np.full((1, 2), -32768, np.int16)).tolist() == [-32768] * 2, "or none would"


@pytest.mark.parametrize("mark", [np.nan, -np.inf, -np.finfo(np.float32).max, -32768])
def test_padding_is_black_where_low_values_are_white(mark: float) -> None:
    kind = np.int16 if mark == -32768 else np.float32
    values = np.array([[mark, 0, 100, 9000]]).astype(kind)
    assert scaled(values, 0, 100).tolist() == [[0, 0, 255, 255]]
    assert scaled(values, 0, 100, inverted=True).tolist() == [[0, 255, 0, 0]]
    alone = np.full((1, 2), mark).astype(kind)  # a slice beside the scanned part
    assert scaled(alone, 0, 100, inverted=True).tolist() == [[0, 0]]


def test_what_a_run_keeps_is_read_again_or_refused() -> None:
    rule = Greys((0, 4095), (-1.5, 2), (40, 400), True, "coronal", (1, 2))
    assert from_stored(json.loads(json.dumps(to_stored(rule))), "config.json") == rule
    damaged: list[Any] = [
        *({"whole": [1]}, {"whole": "ab"}, {"window": [40, 0]}, {"real": [0, float("nan")]}),
        *({"axis": "up"}, {"labels": 3}, {"labels": ["a"]}, [1], "text", {"whole": [{}, 1]}),
    ]
    for content in damaged:
        with pytest.raises(UserError, match=r"config\.json says of the greys"):
            from_stored(content, "config.json")


def test_a_flat_picture_and_one_without_a_number() -> None:
    for values in (np.full((2, 2), 7, np.float32), np.full((2, 2), np.nan, np.float32)):
        assert show(values).max() == 0
    assert depth_of(np.full((2, 2), np.nan, np.float32)) is None
    assert settle_greys([None]) == Greys()
