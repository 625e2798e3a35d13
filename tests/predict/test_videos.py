"""`predict` on videos, with a network that marks what is bright."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from torch import nn

from gpsseg.errors import SomeFailedError, UserError


@pytest.fixture
def video(tools: SimpleNamespace) -> Callable[[Path, int], Path]:
    """``video(path, frames)`` writes one."""

    def write(path: Path, frames: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (tools.size, tools.size)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, size)
        for index in range(frames):
            writer.write(np.repeat(tools.blob(index)[..., None] * np.uint8(255), 3, axis=2))
        writer.release()
        return path

    return write


def test_a_video_gives_a_folder_of_masks(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    video: Callable[[Path, int], Path],
    tools: SimpleNamespace,
) -> None:
    video(tmp_path / "in" / "clip.avi", 7)
    (folder,) = go(tmp_path / "in", overlays=True)
    assert folder == tmp_path / "out" / "clip"
    masks = sorted(folder.iterdir())
    assert [path.name for path in masks] == [f"{n:06d}.png" for n in range(7)]
    for index, path in enumerate(masks):
        assert ((tools.read(path) > 0) == tools.blob(index)).mean() > 0.97
    assert len(list((tmp_path / "out" / "clip_overlay").iterdir())) == 7


def test_a_stopped_video_goes_on_where_it_was(
    go: Callable[..., list[Path]],
    model: nn.Module,
    tmp_path: Path,
    video: Callable[[Path, int], Path],
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
    go: Callable[..., list[Path]],
    model: nn.Module,
    tmp_path: Path,
    video: Callable[[Path, int], Path],
) -> None:
    video(tmp_path / "clip.avi", 4)
    (folder,) = go(tmp_path / "clip.avi")
    folder.rename(tmp_path / "out" / "clip.partial")
    model.seen = 0
    assert go(tmp_path / "clip.avi", resume=True) == [folder]
    assert model.seen == 0


def test_a_video_that_is_cut_off(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    video: Callable[[Path, int], Path],
    tools: SimpleNamespace,
) -> None:
    whole = video(tmp_path / "whole.avi", 40).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "none.mp4").write_bytes(b"no video")
    tools.picture(tmp_path / "in" / "z.png", tools.blob())
    with pytest.raises(SomeFailedError) as caught:
        go(tmp_path / "in")
    assert {path.name for path, _ in caught.value.failed} == {"cut.avi", "none.mp4"}
    assert (tmp_path / "out" / "z.png").exists()
    assert not (tmp_path / "out" / "cut").exists(), "half a video has not the name of a whole one"


def test_a_source_that_fails_at_once_leaves_no_folder(
    go: Callable[..., list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(SomeFailedError, match=r"bad\.mp4 holds no frame"):
        go(tmp_path / "bad.mp4")
    assert not any(path.is_dir() for path in (tmp_path / "out").iterdir())


def test_a_video_and_a_folder_of_one_name(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    video: Callable[[Path, int], Path],
    tools: SimpleNamespace,
) -> None:
    video(tmp_path / "in" / "clip.avi", 2)
    tools.picture(tmp_path / "in" / "clip" / "a.png", tools.blob())
    with pytest.raises(UserError, match=r"clip\.avi would become the folder clip, where the resul"):
        go(tmp_path / "in")
