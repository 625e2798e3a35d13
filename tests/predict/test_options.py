"""Options of `predict` that would do nothing are refused before anything is read or written."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image

import gpsseg.engine.prompt_files
from gpsseg.config.predict import PredictConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.formats.greys import Greys
from gpsseg.data.sources import Source
from gpsseg.errors import UserError
from gpsseg.files import sha256_of_file
from gpsseg.predict.options import as_trained, keep_settings


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


def test_resume_gives_each_picture_the_box_that_it_had_and_reads_the_file_once(
    go: Callable[..., list[Path]],
    model: Any,
    tools: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`x.jpg` in the file is a/x.jpg by its name, which x.png must not take when it is alone."""
    config = tools.settled(prompt="box")
    model.facts = SimpleNamespace(prompt="box")
    tools.stand_in(monkeypatch, config, model)
    told: list[float] = []
    monkeypatch.setattr(
        model, "forward", lambda image, box: told.extend(box[:, 2].tolist()) or image[:, :1]
    )
    reads: list[Path] = []
    original = gpsseg.engine.prompt_files.picture_size
    monkeypatch.setattr(
        gpsseg.engine.prompt_files,
        "picture_size",
        lambda path: reads.append(path) or original(path),
    )
    for name in ("x.png", "a/x.jpg"):
        tools.picture(tmp_path / "in" / name, tools.blob())
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x0,y0,x1,y1\nx.png,0,0,8,8\na/x.jpg,0,0,16,16\n")
    go(tmp_path / "in", prompts=boxes)
    assert told == [0.5, 0.25], "a/x.jpg comes first"
    assert len(reads) == 2, "a header an image"
    (tmp_path / "out" / "a" / "x.png").unlink()
    boxes.write_text("image,x0,y0,x1,y1\nx.png,0,0,8,8\nx.jpg,0,0,16,16\n")
    made_with = tmp_path / "out" / "predict.json"
    made_with.write_text(
        json.dumps(json.loads(made_with.read_text()) | {"prompts": sha256_of_file(boxes)})
    )
    go(tmp_path / "in", prompts=boxes, resume=True)
    assert told[2:] == [0.5]
    (tmp_path / "out" / "x.png").unlink()
    go(tmp_path / "in", prompts=boxes, resume=True)
    assert told[3:] == [0.25]


@pytest.mark.parametrize(
    ("kinds", "of_ct", "axis", "expected"),
    [
        ("image image", False, "coronal", (None, "auto")),
        ("image dicom", False, "coronal", ((40.0, 400.0), "auto")),
        ("volume image", False, "coronal", ((40.0, 400.0), "coronal")),
        ("volume", True, "coronal", (None, "coronal")),
        ("volume", False, "auto", ((40.0, 400.0), "auto")),
    ],
)
def test_window_and_axis_of_the_training_are_taken_where_they_matter(
    kinds: str, of_ct: bool, axis: Any, expected: Any, tmp_path: Path
) -> None:
    header: Any = object()
    sources = [
        Source(tmp_path / "a", "a", "image", (header,))
        if kind == "dicom"
        else Source(tmp_path / "a", "a", kind)  # type: ignore[arg-type]
        for kind in kinds.split()
    ]
    greys = Greys(window=(40.0, 400.0), of_ct=of_ct, axis=axis)
    config = PredictConfig(run=tmp_path, input=(tmp_path,), output=tmp_path / "out")
    found = as_trained(config, greys, sources)
    assert (found.window, found.axis) == expected
    named = dataclasses.replace(config, window=(1.0, 2.0), axis="sagittal")
    found = as_trained(named, greys, sources)
    assert (found.window, found.axis) == ((1.0, 2.0), "sagittal")


def test_masks_of_an_untrained_network_are_never_mixed_with_others(tmp_path: Path) -> None:
    (tmp_path / "delta.safetensors").write_bytes(b"")
    (tmp_path / "out").mkdir()
    config = PredictConfig(run=tmp_path, input=(tmp_path,), output=tmp_path / "out", untrained=True)
    keep_settings(config, load_card("kvasir"), nameless=False)
    keep_settings(config, load_card("kvasir"), nameless=False)
    with pytest.raises(UserError, match="untrained was True, now it is None"):
        keep_settings(
            dataclasses.replace(config, untrained=False), load_card("kvasir"), nameless=False
        )
