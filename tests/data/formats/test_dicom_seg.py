"""What a DICOM-SEG cannot refer to is said by its tag, and by no value of it."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gpsseg.data.formats.dicom_codes import segments_of
from gpsseg.data.formats.dicom_seg import write_dicom_seg
from gpsseg.errors import UserError

POLYP = segments_of(["polyp"], {})
SHAPE = (3, 8, 9)
OTHER = "1.2.826.0.1.3680043.8.498.77.5"


def refused(files: list[Path], changed: list[Path], **tags: Any) -> str:
    """What is said after tags of files were set, or removed where they are None."""
    from pydicom import dcmread

    for path in changed:
        dataset = dcmread(path)
        for name, value in tags.items():
            if value is None:
                del dataset[name]
            else:
                setattr(dataset, name, value)
        dataset.save_as(path)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2:4] = 1
    with pytest.raises(UserError) as error:
        write_dicom_seg(files[0].parent / "out.dcm", labels, files, POLYP, "0")
    return str(error.value)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"SOPInstanceUID": None}, "{} lacks SOPInstanceUID (0008,0018)"),
        ({"ImagePositionPatient": None}, "{} lacks ImagePositionPatient (0020,0032)"),
        ({"FrameOfReferenceUID": None}, "{} lacks FrameOfReferenceUID (0020,0052)"),
        ({"FrameOfReferenceUID": ""}, "{} lacks FrameOfReferenceUID (0020,0052)"),
        ({"FrameOfReferenceUID": OTHER}, "they differ in FrameOfReferenceUID (0020,0052)"),
        ({"SeriesInstanceUID": OTHER}, "they differ in SeriesInstanceUID (0020,000E)"),
        (
            {"Rows": 7, "StudyInstanceUID": OTHER},
            "they differ in StudyInstanceUID (0020,000D), Rows (0028,0010)",
        ),
        (
            {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
            "they differ in ImageOrientationPatient (0020,0037)",
        ),
    ],
)
def test_the_tag_of_a_series_is_named(
    maker: ModuleType, tmp_path: Path, tags: dict[str, Any], says: str
) -> None:
    pytest.importorskip("highdicom")
    maker.write_series(tmp_path / "ct", np.zeros(SHAPE, np.int16))
    files = sorted((tmp_path / "ct").iterdir())
    said = refused(files, files[1:2], **tags)
    assert says.format(files[1].name) in said
    assert said.endswith("Pass --format nrrd.")
    assert not any(secret in said for secret in maker.SECRETS)


@pytest.mark.parametrize("name", ["FrameOfReferenceUID", "Modality"])
def test_the_tag_of_an_enhanced_file_is_named(maker: ModuleType, tmp_path: Path, name: str) -> None:
    pytest.importorskip("highdicom")
    path = maker.write_enhanced(tmp_path / "e.dcm", np.zeros(SHAPE, np.int16), [0, 1, 2])
    assert f"e.dcm lacks {name} (" in refused([path], [path], **{name: None})


def test_what_is_known_of_a_file_is_said_as_it_is(maker: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    path = maker.write_enhanced(tmp_path / "e.dcm", np.zeros(SHAPE, np.int16), [0, 1, 2])
    said = refused([path], [path], PerFrameFunctionalGroupsSequence=None)
    assert said == (
        f"{path} does not say where its frames lie. Export it as single slices or as NIfTI."
    )
    path.write_bytes(b"some")
    said = refused([path], [])
    assert said == (
        f"{tmp_path}: no DICOM-SEG can refer to these images (InvalidDicomError: they cannot be "
        "read). Pass --format nrrd."
    )
