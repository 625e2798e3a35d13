"""What there is to segment, and how results are named."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.sources import Source, find_sources
from gpsseg.errors import UserError

OUT = Path("/nowhere")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path)
    return path


def names(*inputs: Path, output: Path = OUT) -> list[str]:
    return [source.name for source in find_sources(inputs, output)[0]]


def test_sub_folders_and_equal_names_are_kept(tmp_path: Path) -> None:
    for name in ("x.png", "a/x.png", "b/c/x.JPG", "b/y 1.2.tiff", ".hidden/z.png", "a/.z.png"):
        picture(tmp_path / name)
    (tmp_path / "a" / "notes.txt").touch()
    assert names(tmp_path) == ["a/x", "b/c/x", "b/y 1.2", "x"]
    assert names(tmp_path / "b") == ["c/x", "y 1.2"]
    assert names(tmp_path / "b" / "c" / "x.JPG") == ["x"]
    assert names(tmp_path / "a", tmp_path / "b") == ["a/x", "b/c/x", "b/y 1.2"]
    assert names(tmp_path / "a" / "x.png", tmp_path / "b" / "c" / "x.JPG") == ["a/x", "b/c/x"]


def test_patterns(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.jpg", "b/1.png", "b/c/1.png"):
        picture(tmp_path / name)
    assert names(tmp_path / "**" / "*.png") == ["a/1", "b/1", "b/c/1"]
    assert names(tmp_path / "?" / "1.png") == ["a/1", "b/1"]
    assert names(tmp_path / "*") == ["a/1", "a/2", "b/1", "b/c/1"], "folders with all below"
    with pytest.raises(UserError, match="matches no file"):
        names(tmp_path / "*.bmp")
    picture(tmp_path / "[odd]" / "1.png")
    assert names(tmp_path / "[odd]") == ["1"], "what exists is no pattern"


def test_patterns_find_what_folders_do(tmp_path: Path) -> None:
    """Links to folders are followed, circles end, results and hidden files stay out."""
    for name in ("in/a/1.png", "in/out/1.png", "in/.b/1.png", "far/c/2.png", "far/c/3.jpg"):
        picture(tmp_path / name)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "far" / "round").symlink_to(tmp_path / "in", target_is_directory=True)
    results = tmp_path / "in" / "out"
    assert names(tmp_path / "in", output=results) == ["a/1", "link/c/2", "link/c/3"]
    for pattern, found in {
        "in/**/*.png": ["a/1", "link/c/2"],
        "in/**": ["a/1", "link/c/2", "link/c/3"],
        "in/**/c": ["link/c/2", "link/c/3"],
        "in/link/*/?.png": ["c/2"],
    }.items():
        assert names(tmp_path / pattern, output=results) == found, pattern
    assert names(tmp_path / "**" / "c" / "2.png") == ["far/c/2"], "once"
    for name in ("broken.png", "broken.jpg"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "none")
    _, failures = find_sources([tmp_path / "in" / "**" / "*.png"], results)
    assert [path.name for path, _ in failures] == ["broken.png"]


def test_own_results_are_no_input(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "masks" / "a.png")
    assert names(tmp_path, output=tmp_path / "masks") == ["a"]
    assert names(tmp_path, output=tmp_path / "other") == ["a", "masks/a"]


def kinds(sources: list[Source]) -> dict[str, tuple[str, int, int | None]]:
    return {source.name: (source.kind, len(source.headers), source.frames) for source in sources}


def test_dicom_is_found_grouped_and_named(maker: ModuleType, tmp_path: Path) -> None:
    volume, grey = np.zeros((4, 3, 3), np.int16), np.zeros((4, 4), np.uint8)
    maker.write_series(tmp_path / "p1" / "ct", volume)
    maker.write_series(tmp_path / "p2", volume)
    maker.write_series(tmp_path / "p2", volume[:2], np.eye(3), first=500)
    maker.write_dicom(tmp_path / "scopy" / "IM.0001", grey)
    maker.write_dicom(tmp_path / "scopy" / "clip.dcm", np.stack([grey] * 5))
    maker.write_dicom(tmp_path / "scopy" / "report", grey, "1.2.840.10008.5.1.4.1.1.88.11")
    (tmp_path / "scopy" / "bad.dcm").write_bytes(b"cut")
    sources, failures = find_sources([tmp_path], OUT)
    found = kinds(sources)
    hashed = [name for name in found if name.startswith("p2/series-")]
    assert found.pop("p1/ct") == ("volume", 4, 4)
    assert found.pop("scopy/IM.0001") == ("image", 1, 1)
    assert found.pop("scopy/clip") == ("frames", 1, 5)
    assert sorted(found.pop(name)[1] for name in hashed) == [2, 4]
    assert not found
    assert [path.name for path, _ in failures] == ["bad.dcm"]
    assert not any(secret in name for name in hashed for secret in maker.SECRETS)
    assert names(tmp_path / "p1" / "ct") == ["ct"], "a series takes its folder's name"
