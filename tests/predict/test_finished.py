"""Only what is whole counts as finished where a prediction is gone on with."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from gpsseg.config.predict import PredictConfig
from gpsseg.data.formats.volume_files import write_volume
from gpsseg.data.formats.volumes import Volume
from gpsseg.data.sources import find_sources
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.predict import predict
from gpsseg.predict.finished import damage
from gpsseg.predict.plan import plan_outputs

Go = Callable[..., list[Path]]


def cut(file: Path, count: int) -> None:
    file.write_bytes(file.read_bytes()[:count])


@pytest.mark.parametrize(
    ("name", "count"),
    [("a.png", 4), ("a.png", 60), ("a_probability.png", 60), ("a_overlay.jpg", 60)],
)
def test_a_damaged_picture_is_named_and_stays(
    go: Go, tmp_path: Path, tools: SimpleNamespace, name: str, count: int
) -> None:
    for image in "ab":
        tools.picture(tmp_path / "in" / f"{image}.png", tools.blob())
    options = {"save_probabilities": True, "overlays": True}
    go(tmp_path / "in", **options)
    cut(tmp_path / "out" / name, count)
    (tmp_path / "out" / "b.png").unlink()
    before = (tmp_path / "out" / name).read_bytes()
    said = rf"{name} is damaged, and cannot be read\. Remove it, and it is made again"
    with pytest.raises(SomeFailedError, match=said) as told:
        go(tmp_path / "in", resume=True, **options)
    assert [path.name for path, _ in told.value.failed] == ["a.png"]
    assert (tmp_path / "out" / name).read_bytes() == before
    assert (tmp_path / "out" / "b.png").is_file(), "one bad file ends no batch"
    (tmp_path / "out" / name).unlink()
    assert len(go(tmp_path / "in", resume=True, **options)) == 2


def test_a_picture_of_another_size_is_no_mask_of_its_image(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    for image in "ab":
        tools.picture(tmp_path / "in" / f"{image}.png", tools.blob(shape=(32, 40)))
    go(tmp_path / "in")
    Image.new("L", (32, 40)).save(tmp_path / "out" / "a.png")
    said = r"a\.png has 32 x 40 pixels, its image has 40 x 32\. Remove it"
    with pytest.raises(SomeFailedError, match=said):
        go(tmp_path / "in", resume=True)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a", ".nii"), ("a_probability", ".nii.gz"), ("a", ".nrrd"), ("a_probability", ".mha")],
)
def test_a_cut_volume_is_named(go: Go, tmp_path: Path, ending: str, name: str) -> None:
    values = np.zeros((2, 32, 32), np.int16)
    (tmp_path / "in").mkdir()
    for each in "ab":
        file = tmp_path / "in" / f"{each}{ending}"
        write_volume(file, values, Volume(values, np.eye(4), Path("made")))
    go(tmp_path / "in", save_probabilities=True)
    cut(tmp_path / "out" / f"{name}{ending}", -10)
    with pytest.raises(SomeFailedError, match=rf"out/{name}{ending} is damaged"):
        go(tmp_path / "in", save_probabilities=True, resume=True)


@pytest.mark.parametrize(
    ("folder", "lost"),
    [("a", "000000"), ("a", "000002"), ("a_overlay", "000001"), ("a_probability", "000002")],
)
def test_a_page_that_is_lost_is_missed(
    go: Go, tmp_path: Path, tools: SimpleNamespace, folder: str, lost: str
) -> None:
    pages = [Image.fromarray(tools.blob(seed).astype(np.uint8) * 255) for seed in range(3)]
    (tmp_path / "in").mkdir()
    for name in ("a.tif", "b.tif"):
        pages[0].save(tmp_path / "in" / name, save_all=True, append_images=pages[1:])
    options = {"save_probabilities": True, "overlays": True}
    go(tmp_path / "in", **options)
    next((tmp_path / "out" / folder).glob(f"{lost}.*")).unlink()
    with pytest.raises(SomeFailedError, match=rf"out/{folder} lacks 1 of 3 pictures\. Remove it"):
        go(tmp_path / "in", resume=True, **options)


@pytest.mark.parametrize("ending", ["tif", "gif"])
def test_a_page_of_another_size_is_none_of_its_image(
    go: Go, tmp_path: Path, tools: SimpleNamespace, ending: str
) -> None:
    shapes = [(32, 40), (32, 40)] if ending == "gif" else [(32, 40), (20, 24)]
    pages = [
        Image.fromarray(tools.blob(n, shape=s).astype(np.uint8) * 255) for n, s in enumerate(shapes)
    ]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / f"a.{ending}", save_all=True, append_images=pages[1:])
    go(tmp_path / "in", overlays=True)
    assert len(go(tmp_path / "in", overlays=True, resume=True)) == 1
    Image.new("L", (30, 40)).save(tmp_path / "out" / "a" / "000001.png")
    width, height = pages[1].size
    said = rf"a/000001\.png has 30 x 40 pixels, its image has {width} x {height}\. Remove"
    with pytest.raises(UserError, match=said):
        go(tmp_path / "in", overlays=True, resume=True)


def test_a_page_too_many_is_named(go: Go, tmp_path: Path, tools: SimpleNamespace) -> None:
    pages = [Image.fromarray(tools.blob(seed).astype(np.uint8) * 255) for seed in range(3)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "a.tif", save_all=True, append_images=pages[1:])
    go(tmp_path / "in")
    pages[0].save(tmp_path / "out" / "a" / "000009.png")
    with pytest.raises(UserError, match=r"out/a holds 1 picture more than the 3 of its source\."):
        go(tmp_path / "in", resume=True)


def volume(path: Path, slices: int) -> None:
    values = np.zeros((slices, 32, 32), np.uint8)
    write_volume(path, values, Volume(values, np.eye(4), Path("made")))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_volume_of_other_size_is_no_mask_of_its_volume(
    go: Go, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        volume(tmp_path / "in" / f"{name}{ending}", 4)
    coloured = ending in (".nrrd", ".mha")
    if coloured:
        pixels = SimpleITK.GetImageFromArray(np.zeros((4, 32, 32, 3), np.uint8), isVector=True)
        SimpleITK.WriteImage(pixels, tmp_path / "in" / f"c{ending}")
    go(tmp_path / "in")
    assert len(go(tmp_path / "in", resume=True)) == 2 + coloured
    for mask in sorted((tmp_path / "out").glob(f"*{ending}")):
        mask.unlink()
        volume(mask, 3)
    with pytest.raises(SomeFailedError) as told:
        go(tmp_path / "in", resume=True)
    said = " ".join(why for _, why in told.value.failed)
    found = said.count("has 3,072 voxels, its volume has 4,096. Remove it")
    assert found == 2 + coloured, "all are named"


def test_resuming_where_nothing_was_begun_is_said(
    go: Go, tmp_path: Path, tools: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    go(tmp_path / "in", resume=True)
    assert "holds no prediction to go on with, and one begins there" in capsys.readouterr().out
    go(tmp_path / "in", resume=True)
    assert "holds no prediction" not in capsys.readouterr().out


def test_a_damaged_page_is_named(go: Go, tmp_path: Path, tools: SimpleNamespace) -> None:
    pages = [Image.fromarray(tools.blob(seed).astype(np.uint8) * 255) for seed in range(2)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "a.tif", save_all=True, append_images=pages[1:])
    go(tmp_path / "in")
    cut(tmp_path / "out" / "a" / "000001.png", 20)
    with pytest.raises(UserError, match=r"a/000001\.png is damaged, and cannot be read"):
        go(tmp_path / "in", resume=True)
    cut(tmp_path / "out" / "a" / "000001.png", 0)
    with pytest.raises(UserError, match=r"a/000001\.png is an empty file, expected a picture"):
        go(tmp_path / "in", resume=True)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_number_that_is_lost_is_missed(
    go: Go, tmp_path: Path, tools: SimpleNamespace, kept: int
) -> None:
    for image in "ab":
        tools.picture(tmp_path / "in" / f"{image}.png", tools.blob())
    go(tmp_path / "in", uncertainty=True)
    table = tmp_path / "out" / "uncertainty.csv"
    lines = table.read_text().splitlines()
    assert len(lines) == 3
    if kept:
        table.write_text("\n".join([lines[0], next(line for line in lines if "b.png" in line)]))
    else:
        table.unlink()
    said = r"uncertainty\.csv has no number of a\.png\. Put the table back, or remove \S+a\.png"
    with pytest.raises(UserError if not kept else SomeFailedError, match=said):
        go(tmp_path / "in", uncertainty=True, resume=True)
    (tmp_path / "out" / "a.png").unlink()
    if kept:
        go(tmp_path / "in", uncertainty=True, resume=True)
        assert len(table.read_text().splitlines()) == 3


def test_a_source_that_one_of_several_runs_has_damaged_is_left_to_none(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    """Else the runs' plans would no longer be of the same sources."""
    for image in "abc":
        tools.picture(tmp_path / "in" / f"{image}.png", tools.blob())
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "delta.safetensors").write_bytes(b"a delta")
    runs: Any = tmp_path / "one", tmp_path / "two"
    asked = {"input": (tmp_path / "in",), "device": "cpu"}
    out = tmp_path / "both"
    predict(PredictConfig(run=runs, output=out, **asked))
    cut(out / "two" / "a.png", 9)
    for lost in ("one/b.png", "two/c.png"):
        (out / lost).unlink()
    with pytest.raises(SomeFailedError, match=r"two/a\.png is damaged") as told:
        predict(PredictConfig(run=runs, output=out, resume=True, **asked))
    assert len(told.value.failed) == 1
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
    assert found == [f"{run}/{name}.png" for run in ("one", "two") for name in "abc"]


def test_what_is_whole_is_not_called_damaged(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    turned = Image.fromarray(tools.blob(shape=(32, 48)).astype(np.uint8) * 255)
    turned.getexif()[0x0112] = 6  # to be shown turned by 90 degrees
    turned.save(tmp_path / "in" / "b.jpg", exif=turned.getexif())
    pages = [Image.fromarray(tools.blob(seed).astype(np.uint8) * 255) for seed in range(2)]
    pages[0].save(tmp_path / "in" / "c.tif", save_all=True, append_images=pages[1:])
    go(tmp_path / "in", overlays=True, uncertainty=True)
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / "out" / "c" / name).write_text("of a system")
    config = PredictConfig(
        run=tmp_path / "run", input=(tmp_path / "in",), output=tmp_path / "out",
        overlays=True, uncertainty=True, resume=True,
    )  # fmt: skip
    sources, _ = find_sources(config.input, config.output)
    assert damage(plan_outputs(sources, config, []), config) == {}
    assert len(go(tmp_path / "in", overlays=True, uncertainty=True, resume=True)) == 3
