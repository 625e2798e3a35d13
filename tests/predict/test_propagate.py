"""`predict --propagate`: a mask of one frame, followed through videos and volumes."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
import torch

import gpsseg.predict.propagate
from gpsseg.backbones import Backbone
from gpsseg.backbones.sam2 import Sam2
from gpsseg.config.predict import PredictConfig
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.predict import predict

Predict = Callable[..., list[Path]]


@pytest.fixture
def run_of(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Any], Predict]:
    """``run_of(network)(*inputs, **options)`` predicts by it, into out/."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "delta.safetensors").write_bytes(b"a delta")

    def of(model: Any, **settings: Any) -> Predict:
        config = tools.settled(precision="fp32", **{"image_size": 64, **settings})
        tools.stand_in(monkeypatch, config, model)

        def call(*inputs: Path, output: Path = tmp_path / "out", **options: Any) -> list[Path]:
            given = {"propagate": "auto", **options}
            config = PredictConfig(
                run=tmp_path / "run", input=inputs, output=output, device="cpu", **given
            )
            return predict(config)

        return call

    return of


def frames(count: int) -> list[np.ndarray]:
    """A disc that moves to the right over noise: (64, 64, 3) uint8 each."""
    y, x = np.mgrid[:64, :64]
    noise = np.random.default_rng(0).integers(0, 120, (count, 64, 64, 3), np.uint8)
    for i, frame in enumerate(noise):
        frame[(x - 12 - 3 * i) ** 2 + (y - 30) ** 2 < 80] = 230
    return list(noise)


def video(path: Path, count: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for frame in frames(count):
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def soft(folder: Path) -> dict[int, np.ndarray]:
    """Frame -> its levels, of a folder of maps."""
    return {int(p.stem): cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in folder.iterdir()}


def by_itself(backbone: Backbone, pictures: list[np.ndarray], start: int) -> list[np.ndarray]:
    """The maps of transformers' own loop over a run's network, 0..255, at 64 x 64."""
    from transformers import Sam2VideoInferenceSession

    memory = gpsseg.predict.propagate.load_memory(backbone, None, 64)
    net, shown = memory.video, torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    session = Sam2VideoInferenceSession(video=backbone.normalised(shown), dtype=torch.float32)
    with torch.no_grad():
        own = backbone(shown[start : start + 1])
    session.add_mask_inputs(session.obj_id_to_idx(1), start, own > 0)
    session.obj_with_new_inputs = [1]
    found = {}
    for reverse in (False, True):
        for one in net.propagate_in_video_iterator(session, start, reverse=reverse):
            found[one.frame_idx] = torch.nn.functional.interpolate(
                one.pred_masks.clone(), (64, 64), mode="bilinear"
            )
    found[start] = own  # as the run segments it
    return [(found[i][0, 0].sigmoid() * 255).round().numpy() for i in range(len(pictures))]


@pytest.mark.parametrize(("asked", "start"), [("auto", 6), (12, 12), (0, 0)])
def test_a_video_is_followed_both_ways_in_the_order_of_its_frames(
    run_of: Callable[..., Predict],
    video_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Any,
    start: int,
) -> None:
    backbone = sam2(video_weights)
    clip = video(tmp_path / "clip.avi", 13)
    pictures = [frame.copy() for frame in gpsseg.predict.frames.read_video(clip)]
    monkeypatch.setattr(gpsseg.predict.propagate, "HELD", 3 * 64 * 64 * 3 + 1)  # three frames
    (folder,) = run_of(backbone)(clip, propagate=asked, save_probabilities=True, overlays=True)
    found = soft(tmp_path / "out" / "clip_probability")
    assert sorted(found) == list(range(13))
    for index, expected in enumerate(by_itself(backbone, pictures, start)):
        np.testing.assert_allclose(found[index], expected, atol=1)
    masks = soft(folder)
    assert all(((masks[i] > 0) == (found[i] >= 128)).mean() > 0.99 for i in found)
    assert len(list((tmp_path / "out" / "clip_overlay").iterdir())) == 13
    assert rows(tmp_path / "out") == [{"mask": "clip", "frame": str(start)}]
    settings = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert settings["propagate"] == asked


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "propagated.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sam2(weights: Path, prompt: Any = "none") -> Sam2:
    from transformers import Sam2Model

    return Sam2(Sam2Model.from_pretrained(weights), str(weights), prompt).eval()


def test_a_volume_keeps_its_place_and_other_pictures_are_named(
    run_of: Callable[..., Predict],
    video_weights: Path,
    tmp_path: Path,
    tools: SimpleNamespace,
) -> None:
    backbone = sam2(video_weights)
    slices = [frame[..., 0] for frame in frames(5)]  # (D, H, W), axial
    affine = np.diag([-0.7, -0.8, 2.5, 1])
    (tmp_path / "in").mkdir()
    stored = np.stack(slices).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "in" / "ct.nii.gz")
    tools.picture(tmp_path / "in" / "alone.png", tools.blob())
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(SomeFailedError) as caught:
        run_of(backbone)(tmp_path / "in", propagate=1, save_probabilities=True)
    said = {path.name: why for path, why in caught.value.failed}
    assert "is a single picture, and --propagate goes with" in said["alone.png"]
    assert "holds no frame" in said["bad.mp4"]
    written = nibabel.load(tmp_path / "out" / "ct_probability.nii.gz")
    np.testing.assert_allclose(written.affine, affine)
    found = np.asarray(written.dataobj).transpose(2, 1, 0)
    shown = [np.repeat(each[..., None], 3, 2) for each in slices]
    for mine, expected in zip(found, by_itself(backbone, shown, 1), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1)
    assert rows(tmp_path / "out") == [{"mask": "ct.nii.gz", "frame": "1"}]


def test_a_box_of_one_frame_is_enough_and_its_file_names_the_frame(
    run_of: Callable[..., Predict], video_weights: Path, tmp_path: Path
) -> None:
    backbone = sam2(video_weights, "box")
    clip = video(tmp_path / "clip.avi", 3)
    asked: list[Any] = []
    answered = backbone.forward

    def forward(image: torch.Tensor, prompt: torch.Tensor | None = None) -> torch.Tensor:
        asked.append((image.clone(), prompt))
        return answered(image, prompt)

    backbone.forward = forward  # type: ignore[method-assign]
    go = run_of(backbone, prompt="box")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,frame,x0,y0,x1,y1\nclip,2,8,16,32,48\n")
    go(clip, prompts=boxes)
    (image, prompt), *more = asked
    assert not more, "the other frames take none"
    last = list(gpsseg.predict.frames.read_video(clip))[2]
    assert torch.equal(image[0], torch.tensor(last).permute(2, 0, 1) / 255)
    assert prompt.tolist() == [[0.125, 0.25, 0.5, 0.75]]
    assert rows(tmp_path / "out") == [{"mask": "clip", "frame": "2"}]
    with pytest.raises(UserError, match=r"boxes\.csv names frame 2 for clip\.avi"):
        go(clip, prompts=boxes, propagate=1, output=tmp_path / "b")
    boxes.write_text('{"clip.avi": {"frame": 7, "x0": 8, "y0": 16, "x1": 32, "y1": 48}}')
    boxes = boxes.rename(tmp_path / "boxes.json")
    with pytest.raises(SomeFailedError, match=r"has the frames 0 to 2, got 7 to propagate from"):
        go(clip, prompts=boxes, output=tmp_path / "c")
    with pytest.raises(UserError, match="needs a box for every image"):
        go(clip, output=tmp_path / "d")


def test_a_stopped_video_is_followed_again_and_what_was_written_stays(
    run_of: Callable[..., Predict], video_weights: Path, tmp_path: Path
) -> None:
    go, clip = run_of(sam2(video_weights)), video(tmp_path / "clip.avi", 3)
    (whole,) = go(clip, output=tmp_path / "whole")
    partial = tmp_path / "out" / "clip.partial"
    partial.mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / "predict.json", tmp_path / "out")
    (partial / "000001.png").write_bytes((whole / "000001.png").read_bytes())
    before = (partial / "000001.png").stat().st_mtime_ns
    (folder,) = go(clip, resume=True)
    assert (folder / "000001.png").stat().st_mtime_ns == before
    for path in whole.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(UserError, match="propagate was auto, now it is 1"):
        go(clip, resume=True, propagate=1)
    with pytest.raises(UserError, match="propagate was auto, now it is None"):
        go(clip, resume=True, propagate=None)


def test_a_frame_in_which_nothing_is_found(
    run_of: Callable[..., Predict], video_weights: Path, tmp_path: Path
) -> None:
    backbone = sam2(video_weights)
    backbone.forward = lambda image, prompt=None: torch.full_like(image[:, :1], -9.0)  # type: ignore
    with pytest.raises(SomeFailedError, match=r"clip\.avi: the network finds nothing in frame 1"):
        run_of(backbone)(video(tmp_path / "clip.avi", 3))
    assert not (tmp_path / "out" / "clip").exists()


def test_what_the_memory_fails_on_is_not_said_to_be_the_videos_fault(
    run_of: Callable[..., Predict],
    video_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: Any, *_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    go, clip = run_of(sam2(video_weights)), video(tmp_path / "clip.avi", 2)
    said = r"clip\.avi: the network failed on it \(RuntimeError\)"
    for place in ("Memory.see", "Track.follow", "Track.begin"):
        with monkeypatch.context() as patch:
            patch.setattr(f"gpsseg.backbones.sam2_memory.{place}", fail)
            with pytest.raises(SomeFailedError, match=said):
                go(clip, output=tmp_path / place)


@pytest.mark.parametrize("options", [{"tta": "flips"}, {"tile": 64}, {"uncertainty": True}])
def test_what_does_not_go_with_it(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"has no effect here: --propagate follows one network's"):
        PredictConfig(run=tmp_path, input=tmp_path, output=tmp_path, propagate="auto", **options)


def test_folds_networks_without_memory_and_pictures_are_refused(
    run_of: Callable[..., Predict],
    model: Any,
    study_of: Callable[..., Path],
    tools: SimpleNamespace,
    tmp_path: Path,
) -> None:
    study = study_of({}, {})
    with pytest.raises(UserError, match=r"is a study, and --propagate follows one .*fold-1"):
        PredictConfig(run=study, input=tmp_path, output=tmp_path, propagate="auto")
    model.facts.name = "unet-x"
    go, clip = run_of(model), video(tmp_path / "clip.avi", 2)
    with pytest.raises(UserError, match=r"this run's network, unet-x, has none. Leave out --propa"):
        go(clip)
    with pytest.raises(UserError, match="it goes with volumes and videos, and --input holds none"):
        go(tools.picture(tmp_path / "a.png", tools.blob()))
    assert not (tmp_path / "out").exists()
