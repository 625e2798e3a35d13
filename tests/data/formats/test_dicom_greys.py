"""What is black and what is white in DICOM: padding, windows, curves and tables."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gpsseg.data.formats.greys import Greys


@pytest.mark.parametrize("inverse", [False, True])
def test_padding_is_black_and_does_not_count(
    maker: ModuleType, tmp_path: Path, inverse: bool, grey_files: ModuleType
) -> None:
    """Also where low values are white, a range pads, and the sign of its tag was lost."""
    tags: dict[str, Any] = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}
    if inverse:
        tags["PhotometricInterpretation"] = "MONOCHROME1"
    values = (grey_files.RAMP * 200).astype(np.int16)
    values[:, 0], values[:, 1] = -2000, -1950
    row = grey_files.shown(maker.write_dicom(tmp_path / "a.dcm", values, maker.MR, **tags))
    assert row[:2] == [0, 0]
    assert {row[2], row[-1]} == {0, 255}
    assert row[2] == (255 if inverse else 0)
    path = tmp_path / "b.dcm"
    maker.write_dicom(path, values, maker.MR, **tags)
    path.write_bytes(path.read_bytes().replace(b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US"))
    assert grey_files.shown(path) == row


def series(maker: ModuleType, folder: Path, values: np.ndarray, **tags: Any) -> Path:
    maker.write_series(folder, values.astype(np.int16), **tags)
    return folder


def test_a_series_has_one_range_not_one_a_slice(
    maker: ModuleType, tmp_path: Path, grey_files: ModuleType
) -> None:
    values = np.stack([grey_files.LONG * 50, grey_files.LONG * 200])
    row = grey_files.shown(series(maker, tmp_path / "mr", values, kind=maker.MR))
    assert 55 < max(row) < 70
    one = {"VOILUTFunction": "SIGMOID", "WindowCenter": 100, "WindowWidth": 100}
    row = grey_files.shown(series(maker, tmp_path / "s", values, kind=maker.MR, **one))
    assert max(row) == pytest.approx(255 / (1 + np.exp(-4 * (50 - 100) / 100)), abs=1)


def test_a_window_that_was_named_goes_before_the_files_own_curve(
    maker: ModuleType, tmp_path: Path, grey_files: ModuleType
) -> None:
    tags = {"VOILUTFunction": "SIGMOID", "WindowCenter": 100, "WindowWidth": 10}
    path = maker.write_dicom(
        tmp_path / "a.dcm", (grey_files.RAMP * 200).astype(np.int16), maker.MR, **tags
    )
    assert grey_files.shown(path, window=(100, 200)) == [0, 51, 102, 153, 204, 255]
    assert grey_files.shown(path, Greys(window=(100, 200))) == [0, 51, 102, 153, 204, 255]
    assert grey_files.shown(path, Greys(window=(100, 200), of_ct=True)) == grey_files.shown(path), (
        "it is no CT"
    )


def test_a_window_that_shows_nothing_does_not_count(
    maker: ModuleType, tmp_path: Path, grey_files: ModuleType
) -> None:
    for centre in (9000, -9000):
        tags = {"WindowCenter": centre, "WindowWidth": 10}
        values = (grey_files.LONG * 200).astype(np.int16)
        assert (
            np.ptp(
                grey_files.shown(maker.write_dicom(tmp_path / "a.dcm", values, maker.MR, **tags))
            )
            > 250
        )


def lut(entries: np.ndarray, first: int, bits: int) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.add_new(0x00283006, "OW", entries.astype(np.uint16).tobytes())
    return Sequence([item])


@pytest.mark.parametrize(("bits", "first"), [(8, 0), (8, 300), (12, 0), (16, 1000)])
def test_tables_of_all_depths(
    maker: ModuleType, tmp_path: Path, bits: int, first: int, grey_files: ModuleType
) -> None:
    """A falling table: what lies outside of it has its ends' greys; no index overflows."""
    entries = np.linspace(2**bits - 1, 0, 2001).round()
    stored = np.array([[0, 300, 1000, 2000, 3000, 4000]], np.uint16)
    at = (stored[0].astype(int) - first).clip(0, 2000)
    expected = np.rint(entries[at] / (2**bits - 1) * 255)
    tags = {"BitsStored": 12, "HighBit": 11, "Modality": "MG"}
    tags["VOILUTSequence"] = lut(entries, first, bits)
    path = maker.write_dicom(tmp_path / "a.dcm", stored, **tags)
    np.testing.assert_allclose(grey_files.shown(path), expected, atol=1)
    white = maker.write_dicom(
        tmp_path / "b.dcm", stored, **tags, PhotometricInterpretation="MONOCHROME1"
    )
    np.testing.assert_allclose(grey_files.shown(white), 255 - expected, atol=1)
    tags["ModalityLUTSequence"] = tags.pop("VOILUTSequence")
    tags |= {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    path = maker.write_dicom(tmp_path / "c.dcm", stored, **tags)
    np.testing.assert_allclose(grey_files.shown(path), expected, atol=1)


def test_an_empty_or_damaged_table_is_none(
    maker: ModuleType, tmp_path: Path, grey_files: ModuleType
) -> None:
    from pydicom.sequence import Sequence

    values = (grey_files.LONG * 200).astype(np.uint16)
    plain = grey_files.shown(maker.write_dicom(tmp_path / "a.dcm", values))
    short = lut(np.arange(10), 0, 16)
    short[0].LUTDescriptor = [4096, 0, 16]
    for table in (Sequence([]), short, lut(np.zeros(10), 0, 16)):
        path = maker.write_dicom(tmp_path / "b.dcm", values, VOILUTSequence=table)
        assert grey_files.shown(path) == plain


def test_dicom_pictures_are_shown_as_pictures_of_their_bits_are(
    maker: ModuleType, tmp_path: Path, grey_files: ModuleType
) -> None:
    """Only what asks for nothing itself, lies nowhere in space, and is unsigned."""
    values = (grey_files.RAMP * 2000).astype(np.uint16)
    bits = {"BitsStored": 12, "HighBit": 11}
    trained = Greys(whole=(0, 4095))
    picture = grey_files.shown(grey_files.saved(tmp_path / "a.tif", values), trained)
    assert picture[-1] == round(2000 / 4095 * 255)
    plain = maker.write_dicom(tmp_path / "a.dcm", values, **bits)
    assert grey_files.shown(plain, trained) == picture
    assert grey_files.shown(plain)[-1] == grey_files.shown(plain, Greys(real=(0, 1)))[-1] == 255
    assert grey_files.shown(plain, trained, window=(500, 1000))[2] == round(800 / 1000 * 255)
    clip = maker.write_dicom(
        tmp_path / "clip.dcm", np.stack([values, values]), maker.FRAMES_OF_COLOUR, **bits
    )
    assert grey_files.shown(clip, trained) == picture
    for name, others in {
        "window": {"WindowCenter": 1000.5, "WindowWidth": 2001},
        "space": {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    }.items():
        file = maker.write_dicom(tmp_path / f"{name}.dcm", values, **bits, **others)
        assert grey_files.shown(file, trained)[-1] == 255, name
    signed = maker.write_dicom(tmp_path / "signed.dcm", values.astype(np.int16))
    assert grey_files.shown(signed, trained)[-1] == 255
