"""Pictures that lie beyond the range of training are said."""

from types import ModuleType

import numpy as np

from gpsseg.data.formats.beyond import range_notes, reach_of
from gpsseg.data.formats.greys import Greys, depth_of


def test_real_numbers_of_another_scale_are_said(grey_files: ModuleType) -> None:
    """One of a hundred values above the percentiles is usual, half of an image is not."""
    trained = Greys(real=(0.0, 1.0))
    usual, scaled_up = np.append(grey_files.LONG, 3), grey_files.LONG * 255
    reaches = [
        reach_of("a", depth_of(each.astype(np.float32)), trained) for each in (usual, scaled_up)
    ]
    assert range_notes(reaches[:1]) == []
    (line,) = range_notes(reaches)
    assert "1 image holds values up to 255, the run was trained on 0 to 1" in line
