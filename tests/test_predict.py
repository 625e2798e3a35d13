"""`predict` on every kind of input, with a network that marks what is bright."""

import gzip
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from PIL import Image
from torch import Tensor, nn

import gpsseg.runs
import gpsseg.writer
from gpsseg import engine
from gpsseg.config import FinetuneConfig
from gpsseg.config_predict import PredictConfig
from gpsseg.console import run_command
from gpsseg.data.cards import load_card
from gpsseg.data.cases import Case
from gpsseg.data.dicom import read_header
from gpsseg.data.dicom_series import group_headers, read_dicom
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.volumes import read_volume
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.machine import make_machine
from gpsseg.predict import predict

SIZE = 32


class Bright(nn.Module):
    """Foreground is what is brighter than the middle grey."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = SimpleNamespace(prompt="none")
        self.seen = 0
        self.stop_after = 10**9

    def forward(self, image: Tensor) -> Tensor:
        self.seen += len(image)
        if self.seen > self.stop_after:
            raise KeyboardInterrupt
        assert image.shape[-2:] == (SIZE, SIZE)
        return (image.mean(1, keepdim=True) - 0.5) * 100


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Bright:
    model = Bright()
    config = FinetuneConfig(image_size=SIZE, batch_size=2, workers=0, precision="fp32")
    monkeypatch.setattr(gpsseg.runs, "load_run", lambda run: (config, model))
    return model


@pytest.fixture
def go(model: Bright, tmp_path: Path) -> Callable[..., list[Path]]:
    """Predict ``input`` into out/."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "delta.safetensors").write_bytes(b"a delta")

    def call(*inputs: Path, output: Path = tmp_path / "out", **options: Any) -> list[Path]:
        config = PredictConfig(
            run=tmp_path / "run", input=inputs, output=output, device="cpu", **options
        )
        return predict(config)

    return call


def blob(seed: int = 0, shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    """A random (H, W) bool mask of large blocks."""
    coarse = np.random.default_rng(seed).random((shape[0] // 8, shape[1] // 8)) > 0.6
    return np.kron(coarse, np.ones((8, 8))) > 0


def picture(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB").save(path, quality=100)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {"predict.json"}


# Images


def test_images_keep_names_and_folders(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    for seed, name in enumerate(("x.png", "a/x.png", "b/x.jpg")):
        picture(tmp_path / "in" / name, blob(seed))
    masks = go(tmp_path / "in")
    assert masks == [tmp_path / "out" / name for name in ("a/x.png", "b/x.png", "x.png")]
    assert files(tmp_path / "out") == {"a/x.png", "b/x.png", "x.png"}
    for seed, name in enumerate(("x.png", "a/x.png", "b/x.png")):
        mask = read(tmp_path / "out" / name)
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(mask > 0, blob(seed))


def test_a_bad_file_in_the_middle(
    go: Callable[..., list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5):
        picture(tmp_path / "in" / f"{seed}.png", blob(seed))
    (tmp_path / "in" / "2.png").write_bytes(b"\x89PNG cut off")
    (tmp_path / "in" / "3v.nii.gz").write_bytes(b"no volume")
    with pytest.raises(SomeFailedError, match="2 could not be segmented; 4 masks are in") as caught:
        go(tmp_path / "in")
    assert [path.name for path, _ in caught.value.failed] == ["3v.nii.gz", "2.png"] or [
        path.name for path, _ in caught.value.failed
    ] == ["2.png", "3v.nii.gz"]
    assert files(tmp_path / "out") == {"0.png", "1.png", "3.png", "4.png"}
    assert "failed: " in capsys.readouterr().out
    picture(tmp_path / "in" / "2.png", blob(2))
    (tmp_path / "in" / "3v.nii.gz").unlink()
    assert len(go(tmp_path / "in", resume=True)) == 5


def test_exit_status_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def some_failed(config: PredictConfig) -> None:
        raise SomeFailedError("1 could not be segmented", [(Path("a"), "a is bad")])

    words = ["x", "--run", "r", "--input", "a", "b", "--output", "o", "--window", "40", "400"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        run_command(some_failed, PredictConfig, "predict")
    assert stopped.value.code == 3
    assert capsys.readouterr().err == "gpsseg: error: 1 could not be segmented\n"


def test_stopped_and_resumed(go: Callable[..., list[Path]], model: Bright, tmp_path: Path) -> None:
    for seed in range(6):
        picture(tmp_path / "in" / f"{seed}.png", blob(seed))
    model.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "in")
    assert files(tmp_path / "out") == {f"{n}.png" for n in range(4)}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    model.stop_after, model.seen = 10**9, 0
    with pytest.raises(UserError, match=r"exists already; gpsseg never overwrites.*--resume"):
        go(tmp_path / "in")
    assert len(go(tmp_path / "in", resume=True)) == 6
    assert model.seen == 2, "only what was missing"
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_two_ways_never_mix_in_one_folder(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png", blob())
    go(tmp_path / "in")
    picture(tmp_path / "in" / "b.png", blob())
    with pytest.raises(UserError, match="made otherwise: tta was none, now it is flips"):
        go(tmp_path / "in", resume=True, tta="flips")
    (tmp_path / "run" / "delta.safetensors").write_bytes(b"another delta")
    with pytest.raises(UserError, match="made otherwise: delta_sha256 was"):
        go(tmp_path / "in", resume=True)


def test_large_images_in_tiles(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    mask = blob(5, (200, 264))
    mask[100:102, 50:53] = ~mask[100, 50]
    picture(tmp_path / "in" / "large.png", mask)
    picture(tmp_path / "in" / "small.png", blob())
    go(tmp_path / "in", output=tmp_path / "whole")
    assert (read(tmp_path / "whole" / "large.png") > 0)[101, 51] != mask[101, 51], "lost"
    go(tmp_path / "in", tile=SIZE)
    np.testing.assert_array_equal(read(tmp_path / "out" / "large.png") > 0, mask)
    np.testing.assert_array_equal(read(tmp_path / "out" / "small.png") > 0, blob())


def test_flips_are_the_mean_over_mirror_images() -> None:
    torch.manual_seed(0)
    net, machine = nn.Conv2d(3, 1, 3, padding=1), make_machine("cpu", "fp32")
    image = torch.rand(1, 3, 8, 8)
    ((_, found),) = engine.predict(net, [_batch(image)], machine, flips=True)
    maps = []
    for axes in ((), (2,), (3,), (2, 3)):
        ((_, map_),) = engine.predict(net, [_batch(image.flip(axes))], machine)
        maps.append(torch.from_numpy(map_).flip([axis - 2 for axis in axes]))
    np.testing.assert_allclose(found, torch.stack(maps).mean(0), atol=1e-6)


def _batch(image: Tensor) -> dict[str, Tensor]:
    one = torch.tensor([8])
    return {"image": image, "height": one, "width": one, "index": torch.tensor([0])}


def test_pictures_are_prepared_as_in_training_and_evaluation(
    go: Callable[..., list[Path]], model: Bright, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    go(tmp_path / "a.jpg", save_probabilities=True)
    dataset = CaseDataset([Case("a", tmp_path / "a.jpg")], load_card("kvasir"), SIZE)
    loader = make_loader(dataset, 1, 0)
    ((_, expected),) = engine.predict(model, loader, make_machine("cpu", "fp32"))
    soft = read(tmp_path / "out" / "a_probability.png")
    np.testing.assert_array_equal(soft, np.round(expected * 255).astype(np.uint8))


def test_overlays_and_probabilities(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png", blob())
    go(tmp_path / "in", overlays=True, save_probabilities=True)
    assert files(tmp_path / "out") == {"a.png", "a_probability.png", "a_overlay.jpg"}
    overlay = read(tmp_path / "out" / "a_overlay.jpg").astype(int)
    assert overlay.shape == (SIZE, SIZE, 3)
    assert (overlay[..., 0] - overlay[..., 2])[blob()].mean() > 50, "tinted"


def test_memory_does_not_grow_with_the_input(
    go: Callable[..., list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(24):
        picture(tmp_path / "in" / f"{seed:02d}.png", blob(seed))
    alive, most = [], [0]
    original = gpsseg.writer.read_image

    def counted(path: Path) -> np.ndarray:
        pixels = original(path).copy()
        alive.append(weakref.ref(pixels))
        most[0] = max(most[0], sum(ref() is not None for ref in alive))
        return pixels

    monkeypatch.setattr(gpsseg.writer, "read_image", counted)
    assert len(go(tmp_path / "in")) == 24
    assert most[0] <= 10, "two batches of two are read ahead, and two are in work"


# Volumes


def bright_volume(shape: tuple[int, int, int]) -> np.ndarray:
    """(D, H, W) bool, of 8-voxel blocks."""
    coarse = np.random.default_rng(1).random([side // 8 for side in shape]) > 0.6
    return np.kron(coarse, np.ones((8, 8, 8))) > 0


def oblique_itk(mask: np.ndarray) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.where(mask, 1200, -1000).astype(np.int16))
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    image.SetDirection((rotation * (1, -1, 1)).reshape(-1).tolist())
    image.SetSpacing((0.7, 0.9, 3.3))
    image.SetOrigin((-11.123456, 22.25, 33.0625))
    return image


@pytest.mark.parametrize("axis", ["auto", "axial", "coronal", "sagittal"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_volumes_come_back_in_their_place(
    go: Callable[..., list[Path]], tmp_path: Path, ending: str, axis: str
) -> None:
    mask = bright_volume((16, 32, 32))
    (tmp_path / "in" / "p1").mkdir(parents=True)
    source = tmp_path / "in" / "p1" / f"scan.v2{ending}"
    SimpleITK.WriteImage(oblique_itk(mask), str(source))
    (result,) = go(tmp_path / "in", axis=axis, save_probabilities=True)
    assert result == tmp_path / "out" / "p1" / f"scan.v2{ending}"
    there, back = read_volume(source), read_volume(result)
    np.testing.assert_allclose(back.affine, there.affine, atol=1e-6, rtol=0)
    assert (back.values > 0).mean() == pytest.approx(mask.mean(), abs=0.05)
    if axis == "auto":  # 32 x 32 slices are not resized
        np.testing.assert_array_equal(back.values, mask)
        assert back.values.dtype == np.uint8
    soft = read_volume(tmp_path / "out" / "p1" / f"scan.v2_probability{ending}")
    np.testing.assert_array_equal(soft.values > 127, back.values > 0)


def test_window_decides_what_is_bright(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    values = np.full((2, SIZE, SIZE), -1000, np.int16)
    values[:, :16], values[0, :, :16] = 60, 900
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / "ct.nrrd"))
    (soft,) = go(tmp_path / "ct.nrrd", window=(40, 400), output=tmp_path / "soft")
    np.testing.assert_array_equal(read_volume(soft).values, values >= 60)
    (bone,) = go(tmp_path / "ct.nrrd", window=(500, 1000), format="nifti")
    assert bone.name == "ct.nii.gz"
    np.testing.assert_array_equal(read_volume(bone).values, values >= 900)


def test_one_volume_is_held_at_a_time(
    go: Callable[..., list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(6):
        image = nibabel.Nifti1Image(np.zeros((SIZE, SIZE, 3), np.int16), np.eye(4))
        nibabel.save(image, tmp_path / f"{index}.nii")
    alive, most = [], [0]
    original = gpsseg.writer.read_volume

    def counted(path: Path) -> Any:
        volume = original(path)
        alive.append(weakref.ref(volume))
        most[0] = max(most[0], sum(ref() is not None for ref in alive))
        return volume

    monkeypatch.setattr(gpsseg.writer, "read_volume", counted)
    assert len(go(tmp_path / "*.nii")) == 6
    assert most[0] <= 3, "one in work, those that the batches read ahead reach into"


def test_overlays_of_a_volume_are_its_slices_with_anything(
    go: Callable[..., list[Path]], tmp_path: Path
) -> None:
    values = np.zeros((5, SIZE, SIZE), np.uint8)
    values[2, :8] = 255
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / "a.mha"))
    go(tmp_path / "a.mha", overlays=True)
    assert files(tmp_path / "out") == {"a.mha", "a_overlay/000002.jpg"}


# DICOM


def ct_values() -> np.ndarray:
    return np.where(bright_volume((8, 32, 32)), 300, -300).astype(np.int16)


def test_a_dicom_series_gives_an_nrrd(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    affine = maker.write_series(tmp_path / "in" / "case 1" / "ct", ct_values())
    (mask,) = go(tmp_path / "in")
    assert mask == tmp_path / "out" / "case 1" / "ct.nrrd"
    np.testing.assert_allclose(read_volume(mask).affine, affine, atol=1e-6)
    np.testing.assert_array_equal(read_volume(mask).values, ct_values() > 0)


@pytest.mark.parametrize("flip", [1, -1])
def test_a_dicom_seg_refers_to_its_source(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path, flip: int
) -> None:
    pytest.importorskip("highdicom")
    import highdicom

    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] * (flip, 1, 1)
    maker.write_series(tmp_path / "ct", ct_values(), directions)
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
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    highdicom = pytest.importorskip("highdicom")
    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    maker.write_series(tmp_path / "ct", ct_values(), directions)
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
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    highdicom = pytest.importorskip("highdicom")
    values = ct_values()
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
) -> None:
    highdicom = pytest.importorskip("highdicom")
    colours = np.repeat(blob()[..., None] * np.uint8(255), 3, axis=2)
    maker.write_dicom(tmp_path / "derm.dcm", colours)
    (path,) = go(tmp_path / "derm.dcm", format="dicom-seg")
    pixels = highdicom.seg.segread(path).pixel_array
    np.testing.assert_array_equal(np.squeeze(pixels) > 0, blob())
    said = "".join(capfd.readouterr())
    assert not any(secret in said for secret in maker.SECRETS)


def test_images_that_share_no_frame_of_reference_are_said_without_quoting_them(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("highdicom")
    maker.write_series(tmp_path / "ct", ct_values())
    from pydicom import dcmread

    for number, path in enumerate(sorted((tmp_path / "ct").iterdir())):
        dataset = dcmread(path)
        dataset.FrameOfReferenceUID = f"1.2.826.0.1.3680043.8.498.77.{number}"
        dataset.save_as(path)
    with pytest.raises(SomeFailedError, match="no DICOM-SEG can refer to these images") as caught:
        go(tmp_path / "ct", format="dicom-seg")
    said = [*capfd.readouterr(), str(caught.value)]
    assert not any(secret in text for secret in maker.SECRETS for text in said)
    assert files(tmp_path / "out") == set()


def test_an_empty_dicom_seg(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    highdicom = pytest.importorskip("highdicom")
    maker.write_series(tmp_path / "ct", np.full((3, SIZE, SIZE), -5, np.int16))
    (path,) = go(tmp_path / "ct", format="dicom-seg", window=(40, 400))
    assert highdicom.seg.segread(path).pixel_array.max() == 0


def test_endoscopy_and_dermoscopy_captures(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    colours = np.repeat(blob()[..., None] * np.uint8(255), 3, axis=2)
    maker.write_dicom(tmp_path / "in" / "derm.dcm", colours)
    inverse = {"PhotometricInterpretation": "MONOCHROME1"}
    maker.write_dicom(tmp_path / "in" / "IM7", colours[..., 0], **inverse)
    clip = np.stack([colours, 255 - colours, colours])
    maker.write_dicom(tmp_path / "in" / "clip.dcm", clip, maker.FRAMES_OF_COLOUR)
    go(tmp_path / "in")
    frames = {f"clip/{n:06d}.png" for n in range(3)}
    assert files(tmp_path / "out") == {"derm.png", "IM7.png", *frames}
    np.testing.assert_array_equal(read(tmp_path / "out" / "derm.png") > 0, blob())
    np.testing.assert_array_equal(read(tmp_path / "out" / "IM7.png") > 0, ~blob())
    np.testing.assert_array_equal(read(tmp_path / "out" / "clip" / "000001.png") > 0, ~blob())


def test_a_damaged_slice_does_not_pass_silently(
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    maker.write_series(tmp_path / "in" / "ct", ct_values())
    maker.write_series(tmp_path / "in" / "mr", ct_values(), kind=maker.MR)
    victim = sorted((tmp_path / "in" / "ct").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(SomeFailedError, match="1 masks are in") as caught:
        go(tmp_path / "in")
    assert {path.name for path, _ in caught.value.failed} == {victim.name, "ct"}
    assert files(tmp_path / "out") == {"mr.nrrd"}


def test_no_patient_ever_comes_out(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    maker.write_series(tmp_path / "in" / "two", ct_values())
    maker.write_series(tmp_path / "in" / "two", ct_values(), np.eye(3), first=500)
    maker.write_series(tmp_path / "in" / "gap", ct_values())
    next((tmp_path / "in" / "gap").iterdir()).unlink()
    maker.write_series(tmp_path / "in" / "bad", ct_values())
    victim = sorted((tmp_path / "in" / "bad").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-700])
    maker.write_dicom(tmp_path / "in" / "odd.dcm", blob().astype(np.uint8), PixelSpacing=["1", "0"])
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
    go: Callable[..., list[Path]], maker: ModuleType, tmp_path: Path
) -> None:
    picture(tmp_path / "in" / "a.png", blob())
    with pytest.raises(UserError, match=r"a\.png is not DICOM, so there is nothing to refer to"):
        go(tmp_path / "in", format="dicom-seg")
    maker.write_dicom(tmp_path / "clip.dcm", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"clip\.dcm holds frames without a place in space"):
        go(tmp_path / "clip.dcm", format="dicom-seg")
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(
    go: Callable[..., list[Path]],
    maker: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker.write_series(tmp_path / "ct", ct_values())
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(UserError, match=r"pip install 'gpsseg\[dicom-seg\]'"):
        go(tmp_path / "ct", format="dicom-seg")


# Videos


def video(path: Path, frames: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (SIZE, SIZE))
    for index in range(frames):
        writer.write(np.repeat(blob(index)[..., None] * np.uint8(255), 3, axis=2))
    writer.release()
    return path


def test_a_video_gives_a_folder_of_masks(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    video(tmp_path / "in" / "clip.avi", 7)
    (folder,) = go(tmp_path / "in", overlays=True)
    assert folder == tmp_path / "out" / "clip"
    masks = sorted(folder.iterdir())
    assert [path.name for path in masks] == [f"{n:06d}.png" for n in range(7)]
    for index, path in enumerate(masks):
        assert ((read(path) > 0) == blob(index)).mean() > 0.97
    assert len(list((tmp_path / "out" / "clip_overlay").iterdir())) == 7


def test_a_stopped_video_goes_on_where_it_was(
    go: Callable[..., list[Path]], model: Bright, tmp_path: Path
) -> None:
    video(tmp_path / "clip.avi", 9)
    model.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "clip.avi")
    assert not (tmp_path / "out" / "clip").exists(), "incomplete results do not have their name"
    with pytest.raises(UserError, match=r"clip\.partial exists already"):
        go(tmp_path / "clip.avi")
    model.stop_after, model.seen = 10**9, 0
    (folder,) = go(tmp_path / "clip.avi", resume=True)
    assert model.seen == 5
    assert len(list(folder.iterdir())) == 9
    assert not (tmp_path / "out" / "clip.partial").exists()


def test_a_video_stopped_just_before_its_end(
    go: Callable[..., list[Path]], model: Bright, tmp_path: Path
) -> None:
    video(tmp_path / "clip.avi", 4)
    (folder,) = go(tmp_path / "clip.avi")
    folder.rename(tmp_path / "out" / "clip.partial")
    model.seen = 0
    assert go(tmp_path / "clip.avi", resume=True) == [folder]
    assert model.seen == 0


def test_a_video_that_is_cut_off(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.avi", 40).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "none.mp4").write_bytes(b"no video")
    picture(tmp_path / "in" / "z.png", blob())
    with pytest.raises(SomeFailedError) as caught:
        go(tmp_path / "in")
    assert {path.name for path, _ in caught.value.failed} == {"cut.avi", "none.mp4"}
    assert (tmp_path / "out" / "z.png").exists()


def test_a_source_that_fails_at_once_leaves_no_folder(
    go: Callable[..., list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(SomeFailedError, match=r"bad\.mp4 holds no frame"):
        go(tmp_path / "bad.mp4")
    assert not any(path.is_dir() for path in (tmp_path / "out").iterdir())


def test_a_video_and_a_folder_of_one_name(go: Callable[..., list[Path]], tmp_path: Path) -> None:
    video(tmp_path / "in" / "clip.avi", 2)
    picture(tmp_path / "in" / "clip" / "a.png", blob())
    with pytest.raises(UserError, match=r"clip\.avi would become the folder clip, where the resul"):
        go(tmp_path / "in")
