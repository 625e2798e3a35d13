"""A volume or DICOM frames as a network is to see them: the greys that a run goes by."""

from __future__ import annotations

from gpsseg.data.formats.dicom_series import read_dicom
from gpsseg.data.formats.greys import Greys, Range
from gpsseg.data.formats.slicing import grey_range, shared_window
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


def shown_range(
    source: Source,
    volume: Volume,
    window: tuple[float, float] | None = None,
    greys: Greys | None = None,
) -> Range:
    """What is shown as black and as white of what ``read_shown`` gave.

    As ``grey_range``; but what is no volume is a picture: if it asks for nothing itself, and holds
    whole numbers of more than 8 bits, it is shown as pictures of these are by the run.
    """
    named = window or shared_window(greys, volume.hounsfield)
    whole = greys.whole if greys is not None and named is None else None
    if whole is not None and goes_by_bits(source, volume):
        return whole
    return grey_range(volume, window, greys)


def goes_by_bits(source: Source, volume: Volume) -> bool:
    """Whether DICOM frames are pictures of unsigned numbers without a window or curve."""
    kind = volume.values.dtype
    return (
        source.kind != "volume" and volume.window is None and kind.kind == "u" and kind.itemsize > 1
    )
