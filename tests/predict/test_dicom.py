"""`predict` on DICOM, with a network that marks what is bright."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gpsseg.data.cards.card import load_card, save_card
from gpsseg.data.formats.dicom import read_header
from gpsseg.data.formats.dicom_series import group_headers, read_dicom
from gpsseg.data.formats.volumes import read_volume
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.reading import read_json


@pytest.fixture
def ct_values(tools: SimpleNamespace) -> np.ndarray:
    return np.where(tools.bright_volume((8, 32, 32)), 300, -300).astype(np.int16)


def test_a_dicom_series_gives_an_nrrd(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, ct_values: np.ndarray
) -> None:
    affine = maker.write_series(tmp_path / "in" / "case 1" / "ct", ct_values)
    (mask,) = go(tmp_path / "in")
    assert mask == tmp_path / "out" / "case 1" / "ct.nrrd"
    np.testing.assert_allclose(read_volume(mask).affine, affine, atol=1e-6)
    np.testing.assert_array_equal(read_volume(mask).values, ct_values > 0)


@pytest.mark.parametrize("flip", [1, -1])
def test_a_dicom_seg_refers_to_its_source(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    flip: int,
    ct_values: np.ndarray,
) -> None:
    pytest.importorskip("highdicom")
    import highdicom

    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] * (flip, 1, 1)
    maker.write_series(tmp_path / "ct", ct_values, directions)
    (path,) = go(tmp_path / "ct", format="dicom-seg", axis="coronal")
    assert path == tmp_path / "out" / "ct.dcm"
    segmentation = highdicom.seg.segread(path)
    files = sorted((tmp_path / "ct").iterdir())
    (group,) = group_headers(read_header(file) for file in files)
    from pydicom import dcmread

    uids = [dcmread(header.path).SOPInstanceUID for header in group]
    pixels = segmentation.get_pixels_by_source_instance(uids, combine_segments=True)
    expected = read_dicom(group, tmp_path).values > 0
    assert (pixels.astype(bool) == expected).mean() > 0.9, "resized slices differ at edges only"
    series = segmentation.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == maker.SERIES
    assert segmentation.StudyInstanceUID == f"{maker.SERIES}.0"
    assert segmentation.SegmentSequence[0].SegmentLabel == "polyp"


def test_a_dicom_seg_lies_where_its_source_does(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, ct_values: np.ndarray
) -> None:
    highdicom = pytest.importorskip("highdicom")
    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    maker.write_series(tmp_path / "ct", ct_values, directions)
    (path,) = go(tmp_path / "ct", format="dicom-seg")
    found = highdicom.seg.segread(path).get_volume(combine_segments=True)
    (expected,) = go(tmp_path / "ct", output=tmp_path / "nrrd")
    volume = read_volume(expected)
    affine, values = found.affine, found.array
    if affine[:3, 0] @ volume.affine[:3, 0] < 0:  # the same voxels, counted from the other end
        affine = affine @ [[-1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        values = values[::-1]
    np.testing.assert_allclose(affine, volume.affine, atol=1e-5)
    np.testing.assert_array_equal(values, volume.values)


def test_a_dicom_seg_of_an_enhanced_file_marks_the_frames_that_the_mask_does(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, ct_values: np.ndarray
) -> None:
    highdicom = pytest.importorskip("highdicom")
    values = ct_values
    values[0] = -5  # no frame is like the others
    places = [*range(1, len(values)), 0]
    maker.write_enhanced(tmp_path / "ct.dcm", values[places], places)
    (mask,) = go(tmp_path / "ct.dcm", output=tmp_path / "nrrd", window=(0, 10))
    marked = read_volume(mask).values.any(axis=(1, 2))
    assert not marked[0]
    assert marked[1:].any()
    (path,) = go(tmp_path / "ct.dcm", format="dicom-seg", window=(0, 10))
    found = highdicom.seg.segread(path)
    frames = found.get_pixels_by_source_frame(
        found.SourceImageSequence[0].ReferencedSOPInstanceUID
        if "SourceImageSequence" in found
        else f"{maker.SERIES}.1",
        list(range(1, len(values) + 1)),
        combine_segments=True,
    )
    np.testing.assert_array_equal(frames.any(axis=(1, 2)), marked[places])


def test_a_capture_without_a_place_in_space_can_be_a_dicom_seg(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    tools: SimpleNamespace,
) -> None:
    highdicom = pytest.importorskip("highdicom")
    colours = np.repeat(tools.blob()[..., None] * np.uint8(255), 3, axis=2)
    maker.write_dicom(tmp_path / "derm.dcm", colours)
    (path,) = go(tmp_path / "derm.dcm", format="dicom-seg")
    pixels = highdicom.seg.segread(path).pixel_array
    np.testing.assert_array_equal(np.squeeze(pixels) > 0, tools.blob())
    said = "".join(capfd.readouterr())
    assert not any(secret in said for secret in maker.SECRETS)


def test_images_that_share_no_frame_of_reference_are_said_without_quoting_them(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    ct_values: np.ndarray,
    tools: SimpleNamespace,
) -> None:
    pytest.importorskip("highdicom")
    maker.write_series(tmp_path / "ct", ct_values)
    from pydicom import dcmread

    for number, path in enumerate(sorted((tmp_path / "ct").iterdir())):
        dataset = dcmread(path)
        dataset.FrameOfReferenceUID = f"1.2.826.0.1.3680043.8.498.77.{number}"
        dataset.save_as(path)
    with pytest.raises(SomeFailedError, match="no DICOM-SEG can refer to these images") as caught:
        go(tmp_path / "ct", format="dicom-seg")
    said = [*capfd.readouterr(), str(caught.value)]
    assert not any(secret in text for secret in maker.SECRETS for text in said)
    assert tools.files(tmp_path / "out") == set()


def test_an_empty_dicom_seg(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, tools: SimpleNamespace
) -> None:
    highdicom = pytest.importorskip("highdicom")
    maker.write_series(tmp_path / "ct", np.full((3, tools.size, tools.size), -5, np.int16))
    (path,) = go(tmp_path / "ct", format="dicom-seg", window=(40, 400))
    assert highdicom.seg.segread(path).pixel_array.max() == 0


def test_endoscopy_and_dermoscopy_captures(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, tools: SimpleNamespace
) -> None:
    colours = np.repeat(tools.blob()[..., None] * np.uint8(255), 3, axis=2)
    maker.write_dicom(tmp_path / "in" / "derm.dcm", colours)
    inverse = {"PhotometricInterpretation": "MONOCHROME1"}
    maker.write_dicom(tmp_path / "in" / "IM7", colours[..., 0], **inverse)
    clip = np.stack([colours, 255 - colours, colours])
    maker.write_dicom(tmp_path / "in" / "clip.dcm", clip, maker.FRAMES_OF_COLOUR)
    go(tmp_path / "in")
    frames = {f"clip/{n:06d}.png" for n in range(3)}
    assert tools.files(tmp_path / "out") == {"derm.png", "IM7.png", *frames}
    np.testing.assert_array_equal(tools.read(tmp_path / "out" / "derm.png") > 0, tools.blob())
    np.testing.assert_array_equal(tools.read(tmp_path / "out" / "IM7.png") > 0, ~tools.blob())
    np.testing.assert_array_equal(
        tools.read(tmp_path / "out" / "clip" / "000001.png") > 0, ~tools.blob()
    )


def test_a_damaged_slice_does_not_pass_silently(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    ct_values: np.ndarray,
    tools: SimpleNamespace,
) -> None:
    maker.write_series(tmp_path / "in" / "ct", ct_values)
    maker.write_series(tmp_path / "in" / "mr", ct_values, kind=maker.MR)
    victim = sorted((tmp_path / "in" / "ct").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(SomeFailedError, match="1 mask is in") as caught:
        go(tmp_path / "in")
    assert {path.name for path, _ in caught.value.failed} == {victim.name, "ct"}
    assert tools.files(tmp_path / "out") == {"mr.nrrd"}


@pytest.mark.parametrize(("number", "count"), [(0, -10), (-1, -10), (-1, 300), (0, 0)])
def test_a_series_whose_end_is_damaged_gives_no_mask_without_it(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    ct_values: np.ndarray,
    tools: SimpleNamespace,
    number: int,
    count: int,
) -> None:
    """No gap tells that a slice is missing there; of which series a slice is may be told."""
    maker.write_series(tmp_path / "in" / "ct", ct_values)
    maker.write_series(tmp_path / "in" / "ct", ct_values, first=500, SeriesInstanceUID="1.2.3")
    victim = sorted((tmp_path / "in" / "ct").glob("IM0*"))[number]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:count])
    said = f"{victim.name} cannot be read, and may be of the series"
    told = count == -10
    with pytest.raises((SomeFailedError, UserError), match=said):
        go(tmp_path / "in")
    assert len(tools.files(tmp_path / "out")) == told
    victim.write_bytes(whole)
    masks = go(tmp_path / "in", resume=True)
    assert [read_volume(mask).shape for mask in masks] == [ct_values.shape] * 2


def test_a_mask_of_fewer_slices_is_no_mask_of_its_series(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, ct_values: np.ndarray
) -> None:
    """Another slice of the series came after it was segmented."""
    maker.write_series(tmp_path / "in" / "ct", ct_values)
    last = sorted((tmp_path / "in" / "ct").iterdir())[-1]
    last.rename(tmp_path / "later")
    go(tmp_path / "in")
    (tmp_path / "later").rename(last)
    with pytest.raises(
        UserError, match=r"ct\.nrrd has 7,168 voxels, its volume has 8,192\. Remove"
    ):
        go(tmp_path / "in", resume=True)
    (tmp_path / "out" / "ct.nrrd").unlink()
    (mask,) = go(tmp_path / "in", resume=True)
    assert read_volume(mask).shape == ct_values.shape


def test_no_patient_ever_comes_out(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    ct_values: np.ndarray,
    tools: SimpleNamespace,
) -> None:
    maker.write_series(tmp_path / "in" / "two", ct_values)
    maker.write_series(tmp_path / "in" / "two", ct_values, np.eye(3), first=500)
    maker.write_series(tmp_path / "in" / "gap", ct_values)
    next((tmp_path / "in" / "gap").iterdir()).unlink()
    maker.write_series(tmp_path / "in" / "bad", ct_values)
    victim = sorted((tmp_path / "in" / "bad").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-700])
    maker.write_dicom(
        tmp_path / "in" / "odd.dcm", tools.blob().astype(np.uint8), PixelSpacing=["1", "0"]
    )
    for form in ("auto", "nifti"):
        with pytest.raises(SomeFailedError) as caught:
            go(
                tmp_path / "in",
                format=form,
                output=tmp_path / form,
                overlays=True,
                save_probabilities=True,
            )
        said = capfd.readouterr()
        told = [said.out, said.err, str(caught.value), str(caught.value.failed)]
        for path in (tmp_path / form).rglob("*"):
            told.append(str(path.relative_to(tmp_path)))
            if path.is_file():
                data = path.read_bytes()
                told.append((gzip.decompress(data) if path.suffix == ".gz" else data).decode("l1"))
        assert len(told) > 8
        for secret in maker.SECRETS:
            assert not any(secret in text for text in told)


def test_what_cannot_become_a_dicom_seg_is_said_before_anything_is_written(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    with pytest.raises(UserError, match=r"a\.png is not DICOM, so there is nothing to refer to"):
        go(tmp_path / "in", format="dicom-seg")
    maker.write_dicom(tmp_path / "clip.dcm", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"clip\.dcm holds frames without a place in space"):
        go(tmp_path / "clip.dcm", format="dicom-seg")
    assert not (tmp_path / "out").exists()


class Two(nn.Module):
    """Dark is liver, bright is mine."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = SimpleNamespace(prompt="none")

    def forward(self, image: Tensor) -> Tensor:
        grey = (image.mean(1, keepdim=True) - 0.5) * 100
        return torch.cat([torch.zeros_like(grey), -grey, grey], dim=1)


@pytest.fixture
def two(
    go: Callable[..., list[Path]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tools: SimpleNamespace,
) -> Callable[..., list[Path]]:
    """Predict with a run that tells liver and mine apart."""
    card = dataclasses.replace(load_card("kvasir"), name="two", classes={"liver": 1, "mine": 2})
    save_card(card, tmp_path / "two.yaml")
    config = tools.settled(
        precision="fp32", dataset=str(tmp_path / "two.yaml"), separate_classes=True
    )
    tools.stand_in(monkeypatch, config, Two())
    return go


def test_a_segment_for_each_class_with_its_code(
    two: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ct_values: np.ndarray,
) -> None:
    """The label map is the NRRD's; a class without a code is refused before anything is written."""
    highdicom = pytest.importorskip("highdicom")
    maker.write_series(tmp_path / "ct", ct_values)
    (labels,) = two(tmp_path / "ct", output=tmp_path / "nrrd")
    with pytest.raises(UserError, match="no code is known for 'mine'"):
        two(tmp_path / "ct", format="dicom-seg")
    with pytest.raises(UserError, match="Unknown class of --codes 'lever'"):
        two(tmp_path / "ct", format="dicom-seg", codes="lever=SCT:10200004:Liver")
    assert not (tmp_path / "out").exists()
    mine = "mine=99MINE:1:My finding;SCT:49755003:Morphologically Abnormal Structure"
    (path,) = two(tmp_path / "ct", format="dicom-seg", codes=mine)
    said = " ".join(capsys.readouterr().out.split())
    assert "liver is coded as SCT:10200004:Liver;SCT:91723000:Anatomical Structure." in said
    seg = highdicom.seg.segread(path)
    kinds = [seg.get_segment_description(n).segmented_property_type.value for n in (1, 2)]
    assert kinds == ["10200004", "1"]
    found = seg.get_volume(combine_segments=True).array
    expected = read_volume(labels).values
    assert set(np.unique(expected)) == {1, 2}
    assert (found == expected).all() or (found[::-1] == expected).all()
    kept = read_json(tmp_path / "out/predict.json")
    assert kept["codes"]["mine"] == mine.removeprefix("mine=")
    with pytest.raises(UserError, match="made otherwise: codes was"):
        two(tmp_path / "ct", format="dicom-seg", codes=mine.replace(":1:", ":2:"), resume=True)


def test_a_missing_extra_is_named(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ct_values: np.ndarray,
) -> None:
    maker.write_series(tmp_path / "ct", ct_values)
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(UserError, match=r"pip install 'gpsseg\[dicom-seg\]'"):
        go(tmp_path / "ct", format="dicom-seg")
