"""Names in a chart stand beside their points and cover nothing."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpsseg.report.charts.names import GAP, RADIUS, Box, axes_of, box_of, place_names
from gpsseg.report.charts.style import PAGE

points = st.tuples(st.floats(120, 320), st.floats(60, 160))


@given(st.lists(points, min_size=1, max_size=4, unique=True))
def test_names_cover_neither_points_nor_each_other(at):
    names = place_names(["gps:top_k=1"] * len(at), at, at)
    boxes = [box_of(name) for name in names]
    dots = [Box(x - RADIUS, x + RADIUS, y - RADIUS, y + RADIUS) for x, y in at]
    assert not any(a.meets(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.meets(dot) for box in boxes for dot in dots)
    assert all(box.meets(axes_of(PAGE)) for box in boxes)
    gaps = [abs(name[0] - x) for name, (x, _) in zip(names, at, strict=True)]
    assert gaps == pytest.approx([GAP] * len(at))


def test_a_name_without_room_is_written_all_the_same():
    assert place_names(["x" * 90], [(200.0, 100.0)], []) == [(206.0, 100.0, "start", "x" * 90)]
