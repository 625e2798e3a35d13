"""One .npy file's array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpsseg.data.formats.room import refuse_without_room
from gpsseg.errors import UserError, shown


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file as it is, of any shape. Pickled objects are refused.

    Raises:
        UserError: it cannot be read, or memory has no room for it.
    """
    try:
        mapped = np.load(path, "r", allow_pickle=False)  # not yet in memory: its header may lie
        refuse_without_room(path, mapped.nbytes, f"{mapped.nbytes:,} bytes of values")
        return np.array(mapped)
    except UserError:
        raise
    except Exception as error:  # a damaged header fails in many ways
        raise UserError(
            f"{path} cannot be read ({shown(str(error))}). Write it again with numpy.save."
        ) from None
