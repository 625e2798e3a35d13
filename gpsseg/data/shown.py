"""A volume or DICOM frames as a network is to see them: the greys that a run goes by."""

from __future__ import annotations

from gpsseg.data.formats.dicom_series import read_dicom
from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.slicing import shared_window
from gpsseg.data.formats.volumes import Volume, read_volume
from gpsseg.data.sources import Source


def read_shown(
    source: Source, window: tuple[float, float] | None, greys: Greys | None = None
) -> Volume:
    """Read a volume or DICOM frames for ``grey_range`` with this window and these greys."""
    if not source.headers:
        return read_volume(source.path)
    if greys is not None and greys.old:
        return read_dicom(source.headers, source.path, old=True)
    window = window or shared_window(greys, source.headers[0].hounsfield)
    return read_dicom(source.headers, source.path, curves=window is None)
