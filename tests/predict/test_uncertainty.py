"""`predict --uncertainty`: a map and a number for every mask, of members that are known."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from gpsseg.config.predict import PredictConfig
from gpsseg.errors import UserError
from gpsseg.predict.numbers import note_number, write_numbers

Go = Callable[..., list[Path]]


class Grey(torch.nn.Module):
    """Its probability is 1 for what is brighter than ``level``, else 0, wherever a picture is."""

    level = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.facts = SimpleNamespace(prompt="none")
        self.seen, self.stop_after = 0, 10**9

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen += len(image)
        if self.seen > self.stop_after:
            raise KeyboardInterrupt
        return (image.mean(1, keepdim=True) - self.level) * 1e4

    def at(self, level: float) -> Callable[[], None]:
        def put() -> None:
            self.level = level

        return put


@pytest.fixture
def grey(monkeypatch: pytest.MonkeyPatch, go: Go, tools: SimpleNamespace) -> Grey:
    """Two members: one takes all that is brighter than 1/4, the other than 3/4."""
    model = Grey()
    config = tools.settled(precision="fp32")
    tools.stand_in(monkeypatch, config, model, (model.at(0.25), model.at(0.75)))
    return model


def stairs(size: int, bright: int, middle: int) -> np.ndarray:
    """(size, size) uint8: so many rows of white, then of grey, then black."""
    values = np.zeros((size, size), np.uint8)
    values[: bright + middle] = 128
    values[:bright] = 255
    return values


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def table(folder: Path) -> dict[str, float]:
    with (folder / "uncertainty.csv").open(newline="", encoding="utf-8") as file:
        return {row["mask"]: float(row["uncertainty"]) for row in csv.DictReader(file)}


def test_pictures_have_a_map_and_a_number(
    go: Go, grey: Grey, tmp_path: Path, tools: SimpleNamespace
) -> None:
    """One member marks 8 rows, the other 16: Dice 2/3. Where they differ the deviation is 1/2."""
    save(tmp_path / "in" / "a.png", stairs(32, 8, 8))
    save(tmp_path / "in" / "deep" / "b.png", stairs(32, 8, 0))
    go(tmp_path / "in", uncertainty=True)
    out = tmp_path / "out"
    assert tools.read(out / "a_uncertainty.png")[:, 0].tolist() == [0] * 8 + [255] * 8 + [0] * 16
    assert tools.read(out / "a.png")[:, 0].tolist() == [255] * 16 + [0] * 16  # 1/2 is foreground
    assert list(table(out).items()) == [
        ("a.png", pytest.approx(1 / 3, abs=1e-6)),
        ("deep/b.png", 0),
    ]
    assert not list(out.glob(".unc*"))
    assert json.loads((out / "predict.json").read_text())["uncertainty"] is True


def test_tiles_give_what_the_whole_gives(
    go: Go, grey: Grey, tmp_path: Path, tools: SimpleNamespace
) -> None:
    save(tmp_path / "in" / "a.png", np.kron(stairs(32, 8, 8), np.ones((1, 3), np.uint8)))
    go(tmp_path / "in", uncertainty=True, tile=32)
    out = tmp_path / "out"
    assert tools.read(out / "a_uncertainty.png")[:, 50].tolist() == [0] * 8 + [255] * 8 + [0] * 16
    assert table(out) == {"a.png": pytest.approx(1 / 3, abs=1e-6)}


def test_a_volume_has_one_number_and_its_map_lies_in_its_place(
    go: Go, grey: Grey, tmp_path: Path
) -> None:
    """Both agree on the first slice; on all, 16 of 24 rows are shared: Dice 2 16 / (16 + 24)."""
    values = np.stack([stairs(32, 8, 0), stairs(32, 8, 8)], axis=-1)
    affine = np.diag([2.0, 3, 4, 1])
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "in" / "v.nii.gz")
    go(tmp_path / "in", uncertainty=True, window=(127.5, 255), axis="axial")
    found = nibabel.load(tmp_path / "out" / "v_uncertainty.nii.gz")
    assert found.affine.tolist() == affine.tolist()
    levels = np.asarray(found.dataobj)
    assert [int((levels[..., i] == 255).sum()) for i in (0, 1)] == [0, 8 * 32]
    assert table(tmp_path / "out") == {"v.nii.gz": pytest.approx(1 - 32 / 40, abs=1e-6)}


def pages(path: Path, *rows: tuple[int, int]) -> Path:
    first, *rest = [Image.fromarray(stairs(32, *each)) for each in rows]
    first.save(path, save_all=True, append_images=rest)
    return path


def test_each_frame_has_a_number_also_after_a_stop(go: Go, grey: Grey, tmp_path: Path) -> None:
    clip = pages(tmp_path / "clip.tif", (8, 8), (8, 0), (4, 4), (0, 8))
    grey.stop_after = 4  # two members look at two frames
    with pytest.raises(KeyboardInterrupt):
        go(clip, uncertainty=True)
    assert not (tmp_path / "out" / "uncertainty.csv").exists()
    grey.stop_after = 10**9
    go(clip, uncertainty=True, resume=True)
    assert table(tmp_path / "out") == {
        "clip/000003.png": 1.0,
        "clip/000000.png": pytest.approx(1 / 3, abs=1e-6),
        "clip/000002.png": pytest.approx(1 / 3, abs=1e-6),
        "clip/000001.png": 0.0,
    }
    assert len(list((tmp_path / "out" / "clip_uncertainty").iterdir())) == 4


def test_the_numbers_of_frames_outlive_a_prediction_that_could_not_complete_their_video(
    tmp_path: Path,
) -> None:
    (tmp_path / "clip.partial").mkdir()
    written = tmp_path / "uncertainty.csv"
    for name, number in (("a.png", 0.5), ("clip/000000.png", 0.25), ("gone/000000.png", 0.75)):
        note_number(written, tmp_path / name, number)
    (tmp_path / "a.png").touch()
    write_numbers(written)
    assert table(tmp_path) == {"a.png": 0.5}
    (tmp_path / "clip.partial" / "000000.png").touch()
    (tmp_path / "clip.partial").rename(tmp_path / "clip")
    write_numbers(written)
    assert table(tmp_path) == {"a.png": 0.5, "clip/000000.png": 0.25}
    assert not list(tmp_path.glob(".unc*"))


def test_frames_are_whole_numbers_in_the_order_of_their_masks(tmp_path: Path) -> None:
    written = tmp_path / "propagated.csv"
    for name, frame in (("b", 1234567), ("c", 20), ("a", 3)):
        (tmp_path / name).touch()
        note_number(written, tmp_path / name, frame)
    for _ in range(2):  # read again, as by a prediction that adds to it
        write_numbers(written)
        text = written.read_text(encoding="utf-8-sig").split()
        assert text == ["mask,frame", "a,3", "b,1234567", "c,20"]


def test_a_second_prediction_into_the_folder_adds_its_rows(
    go: Go, grey: Grey, tmp_path: Path
) -> None:
    for name in "ab":
        go(save(tmp_path / f"{name}.png", stairs(32, 8, 8)), uncertainty=True)
    assert set(table(tmp_path / "out")) == {"a.png", "b.png"}


def test_of_a_failed_source_there_is_no_row(go: Go, grey: Grey, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", stairs(32, 8, 8))
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="1 could not be segmented"):
        go(tmp_path / "in", uncertainty=True)
    assert set(table(tmp_path / "out")) == {"a.png"}


@pytest.mark.parametrize("text", ["id,note\n1,mine\n", "mask,uncertainty\na.png,much\n"])
def test_a_file_of_somebody_elses_is_not_added_to(
    text: str, go: Go, grey: Grey, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "uncertainty.csv").write_text(text)
    with pytest.raises(UserError, match="no columns mask and uncertainty with a number"):
        go(save(tmp_path / "a.png", stairs(32, 8, 8)), uncertainty=True)
    assert (tmp_path / "out" / "uncertainty.csv").read_text() == text


def test_of_a_single_run_the_members_are_mirror_images_and_the_mask_is_their_mean(
    go: Go, model: Any, tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that marks the upper half marks all of some mirror image, and half in the mean."""
    half = torch.zeros(1, 1, 32, 32)
    half[:, :, :16] = 20
    half[:, :, 16:] = -20
    monkeypatch.setattr(model, "forward", lambda image: half.expand(len(image), -1, -1, -1))
    go(save(tmp_path / "a.png", stairs(32, 8, 8)), uncertainty=True)
    assert tools.read(tmp_path / "out" / "a_uncertainty.png").min() == 255
    assert tools.read(tmp_path / "out" / "a.png").min() == 255
    assert table(tmp_path / "out") == {"a.png": pytest.approx(1 - 2 / 6, abs=1e-6)}


def test_the_folds_of_a_study_take_boxes(tmp_path: Path, study_of: Callable[..., Path]) -> None:
    settings = {"input": (tmp_path,), "output": tmp_path / "out", "prompts": tmp_path / "b.csv"}
    PredictConfig(run=study_of({}, {}), uncertainty=True, **settings)


def test_it_is_not_taken_up_otherwise(go: Go, grey: Grey, tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", stairs(32, 8, 8))
    go(picture)
    with pytest.raises(UserError, match="uncertainty was None, now it is True"):
        go(picture, uncertainty=True, resume=True)


def test_mirror_images_that_are_averaged_anyway_are_not_asked_for_twice(tmp_path: Path) -> None:
    """Of a study it is another thing: each network's mean over them is a member."""
    asked: dict[str, Any] = {"input": (tmp_path,), "output": tmp_path / "out", "tta": "flips"}
    with pytest.raises(UserError, match="--tta flips has no effect here: of a single run"):
        PredictConfig(run=tmp_path, uncertainty=True, **asked)
    (tmp_path / "study.json").write_text("{}")
    PredictConfig(run=tmp_path, uncertainty=True, **asked)
