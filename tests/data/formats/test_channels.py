"""Several classes in one .npy file, a channel each."""

from pathlib import Path

import numpy as np
import pytest

from gpsseg.data.formats.channels import read_channels
from gpsseg.errors import UserError

ONE_HOT = np.eye(3)[np.array([[0, 1], [2, 2]])]  # (2, 2, 3)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "float16", "float64"])
@pytest.mark.parametrize("first", [True, False])
def test_one_hot_of_any_type_is_read(kind: str, first: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, (np.moveaxis(ONE_HOT, 2, 0) if first else ONE_HOT).astype(kind))
    found = read_channels(path, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.argmax(axis=0), [[0, 1], [2, 2]])
    np.testing.assert_array_equal(found, np.moveaxis(ONE_HOT, 2, 0))


def test_whole_numbers_that_are_not_one_hot_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    two = ONE_HOT + np.eye(3)[0]
    for values in (ONE_HOT.astype(np.uint8) * 255, two.astype(bool) | True, two.astype(int)):
        np.save(path, values)
        with pytest.raises(UserError, match=r"not one 1 in each pixel.*as floats"):
            read_channels(path, 3)
    np.save(path, ONE_HOT.astype(complex))
    with pytest.raises(UserError, match="holds complex128, expected probabilities"):
        read_channels(path, 3)
