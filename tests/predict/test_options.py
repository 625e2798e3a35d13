"""Options of `predict` that would do nothing are refused before anything is read or written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from gpsseg.errors import UserError


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 32), 200).save(tmp_path / "in" / "a.png")
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": (40, 400)}, "--window 40 400 has no effect here: it goes with volumes and"),
        ({"axis": "axial"}, "--axis axial has no effect here: it goes with volumes, and --input"),
        ({"format": "nrrd"}, "--format nrrd has no effect here"),
        ({"prompts": "boxes.csv"}, "takes none from a file"),
    ],
)
def test_options_for_volumes_where_there_are_none(
    go: Callable[..., list[Path]], picture: Path, tmp_path: Path, options: dict, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        go(picture, **options)
    assert not (tmp_path / "out").exists()


def test_they_are_taken_where_one_of_several_is_a_volume(
    go: Callable[..., list[Path]], picture: Path
) -> None:
    volume = SimpleITK.GetImageFromArray(np.zeros((2, 32, 32), np.int16))
    SimpleITK.WriteImage(volume, str(picture / "b.nrrd"))
    masks = go(picture, window=(40, 400), axis="axial", format="mha")
    assert [mask.name for mask in masks] == ["a.png", "b.mha"]


def test_a_broken_file_may_be_a_volume(go: Callable[..., list[Path]], picture: Path) -> None:
    (picture / "b.nrrd").write_bytes(b"NRRD")
    with pytest.raises(UserError, match="1 could not be segmented"):
        go(picture, axis="axial")


def test_resume_knows_a_run_by_its_delta_and_prompts_by_their_content(
    go: Callable[..., list[Path]], picture: Path, tmp_path: Path
) -> None:
    from gpsseg.config.predict import PredictConfig
    from gpsseg.predict import predict

    go(picture)
    (tmp_path / "run").rename(tmp_path / "renamed")
    config = {"input": picture, "output": tmp_path / "out", "device": "cpu", "resume": True}
    predict(PredictConfig(run=tmp_path / "renamed", **config))
    with pytest.raises(UserError, match="made otherwise: tta was none, now it is flips"):
        predict(PredictConfig(run=tmp_path / "renamed", tta="flips", **config))
