"""What is independent: images, or groups of them, by their totals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gpsseg.errors import UserError

Floats = npt.NDArray[np.float64]
Groups = Sequence[str | None] | None


def unit_totals(columns: npt.ArrayLike, groups: Groups = None) -> Floats:
    """Sum columns over each independent unit.

    Args:
        columns: (images, C) finite numbers, or (seeds, images, C).
        groups: (images,) names; images of one name are one unit, an image named None is its
            own unit. None: every image is its own unit.

    Returns:
        (units, C + 1) float64, or (seeds, units, C + 1): the sums and the number of images, in an
        order that does not depend on that of the images.

    Raises:
        UserError: no image, a value that is not finite, or as many groups as there are not images.
    """
    table = np.asarray(columns, dtype=np.float64)
    if 0 in table.shape[-2:] or table.ndim < 2:
        raise UserError("Got no images, expected at least one. Check the folder or the split.")
    if groups is not None and len(groups) != table.shape[-2]:
        raise UserError(
            f"Got {len(groups)} groups for {table.shape[-2]} images, expected one each."
        )
    if not np.isfinite(table).all():
        raise UserError("Got a score that is not a finite number; cannot average or resample it.")
    table = np.concatenate([table, np.ones((*table.shape[:-1], 1))], axis=-1)
    flat = np.moveaxis(table, -2, 0)  # images first, whatever stands beside them
    rows = flat.reshape(len(flat), -1)
    order = np.lexsort(rows.T[::-1])
    rows = rows[order]
    if groups is not None:
        rows = _sum_groups(rows, [groups[i] for i in order])
        rows = rows[np.lexsort(rows.T[::-1])]
    return np.moveaxis(rows.reshape(len(rows), *flat.shape[1:]), 0, -2)


def _sum_groups(table: Floats, groups: Sequence[str | None]) -> Floats:
    """Add up the rows of each group; a row without a group stays alone."""
    label = unit_labels(groups)
    totals = np.zeros((label.max() + 1, table.shape[1]))
    np.add.at(totals, label, table)
    return totals


def unit_labels(groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """The unit of each image, (n,) numbered from 0; an image without a group is its own."""
    units: dict[object, int] = {}
    names = (i if group is None else (group,) for i, group in enumerate(groups))
    return np.array([units.setdefault(name, len(units)) for name in names])


def what_varied(groups: Groups, units: int, seeds: int = 1) -> tuple[str, int, int, int]:
    """Whether groups or images vary; how many; seeds; how many groups are images without one."""
    ungrouped = sum(group is None for group in groups or ())
    grouped = groups is not None and ungrouped < len(groups)
    return ("group" if grouped else "image", units, seeds, ungrouped if grouped else 0)
