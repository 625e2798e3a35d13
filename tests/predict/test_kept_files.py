"""What lies in the output, or is the input, is never written over, resumed or not."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.formats.volume_files import write_volume
from gpsseg.data.formats.volumes import Volume, read_volume
from gpsseg.errors import SomeFailedError, UserError

Go = Callable[..., list[Path]]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("more", [{}, {"overlays": True}, {"save_probabilities": True}])
@pytest.mark.parametrize("resume", [False, True])
def test_files_of_a_folder_without_a_prediction_are_not_taken_for_masks(
    go: Go, tmp_path: Path, tools: SimpleNamespace, resume: bool, more: dict[str, bool]
) -> None:
    """A mask that somebody drew is neither finished work nor to be replaced."""
    for name in "ab":
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob())
    tools.picture(tmp_path / "out" / "a.png", tools.blob())
    before = contents(tmp_path)
    said = r"out would put masks among the images of \S+out \(such as a\.png\), of which each"
    with pytest.raises(UserError, match=said) as told:
        go(tmp_path / "in", resume=resume, **more)
    assert contents(tmp_path) == before
    assert ("predict.json" in str(told.value)) == resume, "why it cannot be gone on with"


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in", "in"),
        ("in/*/*.jpg", "in"),
        ("in/sub/*.jpg", "in/sub"),
        ("in/sub/a.jpg", "in/sub"),
        ("in/sub/a.jpg", "in/other/../sub"),
        ("in/sub", "in/sub"),
        ("in/*", "in"),
        ("in/*/*.jpg", "in/sub"),
        ("in/*", "in/sub"),
        ("in/*/*.png", "in/sub"),
        ("else/b.png", "in/sub"),
        ("else/b.png", "in"),
        ("in/other/b.png", "in"),
        ("in/other/b.png", "."),
    ],
)
def test_a_folder_of_images_is_no_output_for_their_masks(
    go: Go, tmp_path: Path, tools: SimpleNamespace, given: str, output: str
) -> None:
    """They would be taken for images the next time, and the images left out as masks."""
    for image in ("in/sub/a.jpg", "in/other/b.png", "else/b.png"):
        tools.picture(tmp_path / image, tools.blob())
    before = contents(tmp_path)
    for resume in (False, True):
        with pytest.raises(UserError, match=r"--output \S+ would put masks among the images of"):
            go(tmp_path / given, output=tmp_path / output, resume=resume)
    assert contents(tmp_path) == before


def test_the_folder_of_a_series_is_none_either(go: Go, tmp_path: Path, maker: Any) -> None:
    """Its mask is called as its folder, and would lie beside it."""
    maker.write_series(tmp_path / "in" / "patient" / "series", np.zeros((2, 32, 32)))
    for output in ("in", "in/patient"):
        with pytest.raises(UserError, match=r"would put masks among the images of"):
            go(tmp_path / output, output=tmp_path / output)


def test_an_input_is_not_taken_for_its_own_mask(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    """Though an earlier prediction, of other images, has its mask's place as a link to it."""
    scan = tools.picture(tmp_path / "scans" / "a.png", tools.blob())
    other = tools.picture(tmp_path / "in" / "b.png", tools.blob())
    go(other)
    (tmp_path / "out" / "a.png").symlink_to(scan)
    before = contents(tmp_path)
    for more in ({}, {"overlays": True}):
        with pytest.raises(UserError, match=r"a\.png would take the place of an input"):
            go(scan, resume=True, **more)
    assert contents(tmp_path) == before


def test_a_scan_is_not_replaced_by_its_mask(go: Go, tmp_path: Path) -> None:
    values = np.zeros((2, 32, 32), np.int16)
    (tmp_path / "in").mkdir()
    write_volume(tmp_path / "in" / "a.nii.gz", values, Volume(values, np.eye(4), Path("made")))
    go(tmp_path / "in", output=tmp_path / "made")
    shutil.copy(tmp_path / "made" / "predict.json", tmp_path / "in")
    scan = (tmp_path / "in" / "a.nii.gz").read_bytes()
    pattern = tmp_path / "in" / "*.nii.gz"
    with pytest.raises(UserError, match=r"would put masks among the images"):
        go(pattern, output=tmp_path / "in", save_probabilities=True, resume=True)
    assert (tmp_path / "in" / "a.nii.gz").read_bytes() == scan


@pytest.mark.parametrize("name", ["a.png", "a_overlay.jpg"])
def test_what_is_there_stays_and_what_is_lost_comes_again(
    go: Go, tmp_path: Path, tools: SimpleNamespace, name: str
) -> None:
    """A mask may have been corrected by hand since."""
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    go(tmp_path / "in", overlays=True)
    lost = tmp_path / "out" / name
    other = next(p for p in (tmp_path / "out").glob("a*") if p != lost)
    Image.new("L", (32, 32), 255).save(other)
    corrected = other.read_bytes()
    lost.unlink()
    go(tmp_path / "in", overlays=True, resume=True)
    assert lost.is_file()
    assert other.read_bytes() == corrected


def test_a_corrected_mask_of_a_volume_stays_too(go: Go, tmp_path: Path) -> None:
    values = np.zeros((2, 32, 32), np.int16)
    (tmp_path / "in").mkdir()
    write_volume(tmp_path / "in" / "a.nii.gz", values, Volume(values, np.eye(4), Path("made")))
    go(tmp_path / "in", save_probabilities=True)
    lost, mask = (tmp_path / "out" / f"a{more}.nii.gz" for more in ("_probability", ""))
    corrected = write_corrected(mask)
    lost.unlink()
    go(tmp_path / "in", save_probabilities=True, resume=True)
    assert lost.is_file()
    assert mask.read_bytes() == corrected


def write_corrected(mask: Path) -> bytes:
    """Another mask in its place; what the file holds."""
    volume = read_volume(mask)
    mask.unlink()
    write_volume(mask, np.ones_like(volume.values), volume)
    return mask.read_bytes()


@pytest.mark.parametrize(
    ("there", "said"), [("empty", "is an empty file"), ("folder", "is a folder")]
)
def test_only_a_mask_is_a_finished_mask(
    go: Go, tmp_path: Path, tools: SimpleNamespace, there: str, said: str
) -> None:
    for name in "ab":
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob())
    go(tmp_path / "in")
    mask = tmp_path / "out" / "a.png"
    mask.unlink()
    if there == "empty":
        mask.touch()
    else:
        mask.mkdir()
    with pytest.raises(SomeFailedError, match=rf"a\.png {said}, expected") as told:
        go(tmp_path / "in", resume=True)
    assert len(told.value.failed) == 1


def test_earlier_masks_below_the_input_are_no_images(
    go: Go, tmp_path: Path, tools: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    (first,) = go(tmp_path / "in", output=tmp_path / "in" / "first", save_probabilities=True)
    again = go(tmp_path / "in", output=tmp_path / "in" / "second")
    assert again == [tmp_path / "in" / "second" / "a.png"]
    assert "in/first holds an earlier prediction" in capsys.readouterr().out.replace("\n", "")
    pattern = go(tmp_path / "in" / "*", output=tmp_path / "in" / "second", resume=True)
    assert pattern == again
    assert len(go(first.parent, output=tmp_path / "masks of masks")) == 2, "asked for by name"
    told = capsys.readouterr().out.replace("\n", " ")
    assert "first holds an earlier prediction: its masks are segmented as images" in told


@pytest.mark.parametrize("pattern", ["*/*.png", "**/*.png", "*", "*/a.*", "[!q]*/*.png"])
def test_a_pattern_leaves_earlier_masks_and_the_output_out(
    go: Go, tmp_path: Path, tools: SimpleNamespace, pattern: str
) -> None:
    """However it names them: a mask below its wildcards is no image."""
    tools.picture(tmp_path / "in" / "x" / "a.png", tools.blob())
    go(tmp_path / "in" / "x", output=tmp_path / "in" / "first")
    again = go(tmp_path / "in" / pattern, output=tmp_path / "in" / "second")
    assert again == [tmp_path / "in" / "second" / "x" / "a.png"]


@pytest.mark.parametrize("pattern", ["missing/**/*.png", "/nowhere/**/*.png", "in/a.png/**/*.png"])
def test_a_pattern_below_what_is_no_folder_matches_nothing(
    go: Go, tmp_path: Path, tools: SimpleNamespace, pattern: str
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    with pytest.raises(UserError, match=r"matches no file\. Check the pattern"):
        go(tmp_path / pattern)


def test_masks_that_are_named_beside_their_images_are_not_called_left_out(
    go: Go, tmp_path: Path, tools: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    go(tmp_path / "in", output=tmp_path / "in" / "first")
    capsys.readouterr()
    assert len(go(tmp_path / "in", tmp_path / "in" / "first", output=tmp_path / "both")) == 2
    told = capsys.readouterr().out.replace("\n", " ")
    assert "is left out" not in told
    assert "its masks are segmented as images" in told


def test_where_all_is_masks_the_folder_of_them_is_named(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    (mask,) = go(tmp_path / "in", output=tmp_path / "only" / "first")
    for given in ("only", "only/*", "only/*/*.png"):
        with pytest.raises(UserError, match=r"holds no image but in \S+first, where an earlier"):
            go(tmp_path / given)
    assert len(go(mask)) == 1, "a file is asked for by name"


def test_a_file_that_is_called_as_ours_is_told_from_it(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predict.json").write_text("{}")
    with pytest.raises(UserError, match=r"predict\.json is none that `predict` wrote"):
        go(tmp_path / "in")


@pytest.mark.parametrize("fold", [False, True])
def test_names_that_differ_in_case_alone_are_one_where_the_disk_says_so(
    go: Go, tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, fold: bool
) -> None:
    for name in ("x.jpg", "X.png", "y.png"):
        tools.picture(tmp_path / "in" / name, tools.blob())
    if not fold:
        assert len(go(tmp_path / "in")) == 3
        return
    monkeypatch.setattr("gpsseg.predict.plan.folds_case", lambda folder: True)
    with pytest.raises(SomeFailedError, match=r"x\.jpg and X\.png would both become") as told:
        go(tmp_path / "in")
    assert len(told.value.failed) == 2
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["y.png"]


def test_a_folder_that_a_mask_would_become_differs_in_case_alone(
    go: Go, tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a.gif of two frames becomes the folder a, where A/x.png would lie on such a disk."""
    shown = tools.blob().astype(np.uint8)
    frames = [Image.fromarray(shown), Image.fromarray(255 - shown)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "a.gif", save_all=True, append_images=frames[1:])
    for name in ("A/x.png", "y.png"):
        tools.picture(tmp_path / "in" / name, tools.blob())
    monkeypatch.setattr("gpsseg.predict.plan.folds_case", lambda folder: True)
    with pytest.raises(SomeFailedError, match=r"a\.gif would become the folder A, where"):
        go(tmp_path / "in")


def test_an_input_whose_name_no_disk_holds_is_said_to_be_missing(go: Go, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--input x+ does not exist"):
        go(Path("x" * 300))
