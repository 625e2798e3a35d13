"""DICOM segmentations are read back voxel for voxel, whatever grid and tool they come from."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel
import numpy as np
import pytest

from gpsseg.config.codes import parse_codes
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.data.formats.dicom import read_header
from gpsseg.data.formats.dicom_codes import segments_of
from gpsseg.data.formats.dicom_masks import is_segmentation, placed, read_segmentation, union
from gpsseg.data.formats.dicom_seg import write_dicom_seg
from gpsseg.data.formats.dicom_series import group_headers, read_dicom
from gpsseg.data.formats.maps import find_maps, stem
from gpsseg.data.formats.readings import Rule
from gpsseg.data.formats.stored import on_one_grid, read_stored
from gpsseg.data.formats.volume_files import write_volume
from gpsseg.data.formats.volumes import RAS
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate

SHAPE = (4, 6, 8)
ABNORMAL = "SCT:49755003:Morphologically Abnormal Structure"
POLYP = segments_of(["polyp"], {})


@pytest.fixture
def written(maker: ModuleType, tmp_path: Path) -> SimpleNamespace:
    """A series, a mask on it, and the mask as DICOM-SEG."""
    pytest.importorskip("highdicom")
    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    values = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    maker.write_series(tmp_path / "ct", values, directions)
    files = sorted((tmp_path / "ct").iterdir())
    (group,) = group_headers(read_header(file) for file in files)
    mask = np.random.default_rng(1).random(SHAPE) > 0.7
    (tmp_path / "seg").mkdir()
    path = tmp_path / "seg" / "ct.dcm"
    write_dicom_seg(path, mask, [header.path for header in group], POLYP, "0")
    return SimpleNamespace(path=path, mask=mask, volume=read_dicom(group, tmp_path), files=files)


def test_what_predict_writes_lies_on_the_grid_of_its_nrrd(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    assert is_segmentation(written.path)
    assert not is_segmentation(written.files[0])
    assert find_maps(tmp_path / "seg", "--predictions", segments=True) == [written.path]
    assert stem(written.path) == "ct"
    write_volume(tmp_path / "truth.nrrd", written.mask.astype(np.uint8), written.volume)
    truth = read_stored(tmp_path / "truth.nrrd")
    seg = read_stored(written.path)
    found = on_one_grid([(tmp_path / "truth.nrrd", truth), (written.path, seg)])[1]
    np.testing.assert_array_equal(found.values, truth.values > 0)
    np.testing.assert_allclose(found.affine, truth.affine)


def test_each_class_is_a_segment_with_its_code(written: SimpleNamespace, tmp_path: Path) -> None:
    """What is read back is the label map, by us and by highdicom; the second class is nowhere."""
    import highdicom

    labels = np.random.default_rng(2).integers(0, 4, SHAPE).astype(np.uint8)
    labels[labels == 2] = 0
    classes = segments_of(
        ["liver", "spleen", "my lesions"],
        parse_codes([f"my lesions=99X:7:Mine;{ABNORMAL}"]),
    )
    path = tmp_path / "several.dcm"
    write_dicom_seg(path, labels, sources_of(written), classes, "0")
    theirs = highdicom.seg.segread(path)
    np.testing.assert_array_equal(theirs.get_volume(combine_segments=True).array.shape, SHAPE)
    assert [each.SegmentLabel for each in theirs.SegmentSequence] == [
        "liver",
        "spleen",
        "my lesions",
    ]
    assert [
        (each.segmented_property_category.value, each.segmented_property_type.value)
        for each in map(theirs.get_segment_description, (1, 2, 3))
    ] == [("91723000", "10200004"), ("91723000", "78961009"), ("49755003", "7")]
    from pydicom import dcmread

    uids = [dcmread(source).SOPInstanceUID for source in sources_of(written)]
    pixels = theirs.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(pixels, labels)
    found = read_segmentation(path)
    assert found.names == ("liver", "spleen", "my lesions")
    grid = RAS @ written.volume.affine[:, [2, 1, 0, 3]]
    ours = placed(found, SHAPE[::-1], grid, path)
    np.testing.assert_array_equal(ours.transpose(2, 1, 0), labels)


def test_labels_and_meanings_of_any_script_are_kept(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    from pydicom import dcmread

    path, source = tmp_path / "a.dcm", sources_of(written)
    codes = parse_codes([f"肝\\臓=99X:1:größer;{ABNORMAL}"])
    write_dicom_seg(path, written.mask, source, segments_of(["肝\\臓"], codes), "0")
    (segment,) = dcmread(path).SegmentSequence
    assert segment.SegmentLabel == "肝/臓"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "größer"


def test_a_truth_that_runs_the_other_way_and_reaches_farther(written: SimpleNamespace) -> None:
    segmented = read_segmentation(written.path)
    assert segmented.values.shape == SHAPE[::-1]
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[2] - 1
    shift = np.eye(4)
    shift[2, 3] = -2
    grid = segmented.affine @ flip @ shift
    values = placed(segmented, (SHAPE[2], SHAPE[1], SHAPE[0] + 5), grid, written.path)
    expected = np.zeros((SHAPE[2], SHAPE[1], SHAPE[0] + 5), bool)
    expected[..., 2 : 2 + SHAPE[0]] = segmented.values[::-1]
    np.testing.assert_array_equal(values, expected)
    for wrong in (np.diag([2.0, 1, 1, 1]), np.eye(4) + 0.3 * np.eye(4, k=3)):
        with pytest.raises(UserError, match=r"ct\.dcm does not lie on the voxels of its truth"):
            placed(segmented, SHAPE[::-1], segmented.affine @ wrong, written.path)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_segments_of_other_tools_without_empty_frames(
    written: SimpleNamespace, tmp_path: Path, kind: str
) -> None:
    several = np.zeros((*SHAPE, 2), np.uint8 if kind == "BINARY" else np.float32)
    several[1, 1:3, 2:5, 0] = 1
    several[3, 2, 2, 1] = 1
    segmented(tmp_path / "other", sources_of(written), several, kind)
    expected = several[..., 0] + 2 * several[..., 1]
    grid = RAS @ written.volume.affine[:, [2, 1, 0, 3]]
    found = placed(read_segmentation(tmp_path / "other"), SHAPE[::-1], grid, tmp_path)
    np.testing.assert_array_equal(found.transpose(2, 1, 0), expected)


def segmented(
    path: Path, sources: list[Path], values: np.ndarray, kind: str, most: int = 255
) -> Path:
    """Write what another tool does: values (D, H, W, segments), frames of zeros left out."""
    import highdicom
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"{number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in range(1, 1 + values.shape[-1])
    ]
    highdicom.seg.Segmentation(
        source_images=[dcmread(source) for source in sources],
        pixel_array=values,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="a",
        manufacturer_model_name="b",
        software_versions="c",
        device_serial_number="d",
        omit_empty_frames=True,
        max_fractional_value=most,
    ).save_as(path)
    return path


def sources_of(written: SimpleNamespace) -> list[Path]:
    (group,) = group_headers(read_header(file) for file in written.files)
    return [header.path for header in group]


@pytest.mark.parametrize("most", [100, 255])
@pytest.mark.parametrize("segments", [1, 2])
def test_half_of_a_fraction_is_foreground(
    written: SimpleNamespace, tmp_path: Path, segments: int, most: int
) -> None:
    values = np.zeros((*SHAPE, segments), np.float32)
    values[1, 2, 2:5, 0] = (0.3, 0.5, 0.7)
    path = segmented(tmp_path / "other", sources_of(written), values, "FRACTIONAL", most)
    stored = read_stored(path)
    rule = Rule((1,)) if segments == 2 else Rule()
    assert np.argwhere(rule.look(stored, path).mask).tolist() == [[2, 3], [2, 4]]


@pytest.mark.parametrize(("slices", "dice"), [((0, 2), 0), ((1, 3), 0.5), ((0, 1), 2 / 3)])
def test_segmentations_are_compared_where_they_lie(
    written: SimpleNamespace, tmp_path: Path, slices: tuple[int, int], dice: float
) -> None:
    """A truth in slices 0 and 1 (or 0 to 2), whose frames and the prediction's are not the same."""
    sources = sources_of(written)
    ends = {"t": (0, 2) if slices != (0, 2) else (2, 4), "p": slices}
    for name, (first, last) in ends.items():
        (tmp_path / name).mkdir()
        values = np.zeros((*SHAPE, 1), np.uint8)
        values[first:last, 1:4, 2:6] = 1
        segmented(tmp_path / name / "ct.dcm", sources, values, "BINARY")
    config = EvaluateConfig(
        predictions=tmp_path / "p", truth=tmp_path / "t", output=tmp_path / "out"
    )
    assert evaluate(config)["after"]["volume"]["dice"] == pytest.approx(dice)


def test_a_truth_segmentation_is_placed_on_the_grid_of_the_prediction(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    values = np.zeros((*SHAPE, 1), np.uint8)
    values[1:3, 1:4, 2:6] = 1
    for name in ("p", "t"):
        (tmp_path / name).mkdir()
    segmented(tmp_path / "t" / "ct.dcm", sources_of(written), values, "BINARY")
    write_volume(tmp_path / "p" / "ct.nrrd", values[..., 0], written.volume)
    config = EvaluateConfig(
        predictions=tmp_path / "p", truth=tmp_path / "t", output=tmp_path / "out"
    )
    assert evaluate(config)["after"]["volume"]["dice"] == 1


def test_segmentations_of_other_grids_are_refused(written: SimpleNamespace, tmp_path: Path) -> None:
    part = read_segmentation(written.path)
    shape, affine = union([part, part], [written.path] * 2)
    assert shape == part.values.shape
    np.testing.assert_allclose(affine, part.affine)
    turned = replace(part, affine=part.affine @ (np.eye(4) + 0.3 * np.eye(4, k=1)))
    with pytest.raises(UserError, match=r"b\.dcm does not lie on the voxels of its truth"):
        union([part, turned], [written.path, Path("b.dcm")])


def test_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x02\x00UI\x1e\0")
    assert not is_segmentation(tmp_path / "a.dcm")
    with pytest.raises(UserError, match="cannot be read as a DICOM segmentation"):
        read_segmentation(tmp_path / "a.dcm")


def test_a_mask_of_one_image_is_flat(written: SimpleNamespace, tmp_path: Path) -> None:
    (group,) = group_headers(read_header(file) for file in written.files)
    one = tmp_path / "one.dcm"
    write_dicom_seg(one, written.mask[:1], [group[0].path], POLYP, "0")
    stored = read_stored(one)
    np.testing.assert_array_equal(stored.values, written.mask[0])
    image = nibabel.Nifti1Image(np.zeros(SHAPE[:0:-1], np.uint8), stored.affine)
    nibabel.save(image, tmp_path / "truth.nii")
    truth = read_stored(tmp_path / "truth.nii")
    placed_on = on_one_grid([(tmp_path / "truth.nii", truth), (one, stored)])[1]
    np.testing.assert_array_equal(placed_on.values, written.mask[0])


def test_a_folder_of_them_is_scored(written: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    write_volume(tmp_path / "truth" / "ct.nrrd", written.mask.astype(np.uint8), written.volume)
    (tmp_path / "seg" / "source.dcm").write_bytes(written.files[0].read_bytes())
    config = EvaluateConfig(
        predictions=tmp_path / "seg", truth=tmp_path / "truth", output=tmp_path / "out"
    )
    metrics = evaluate(config)
    assert metrics["after"]["volume"]["dice"] == metrics["after"]["per-image"]["dice"] == 1
    assert metrics["extra_files"] == [], "an image is no prediction"
