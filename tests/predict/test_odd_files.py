"""One odd file never ends a prediction: it is named, the others have their masks."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import gpsseg.predict.frames
import gpsseg.predict.targets
from gpsseg.errors import SomeFailedError, UserError, one_line
from gpsseg.predict import segmenter

Go = Callable[..., list[Path]]


def good(folder: Path, tools: SimpleNamespace) -> set[str]:
    """Two pictures and a volume, one of each before and after everything else by name."""
    tools.picture(folder / "0.png", tools.blob(0))
    tools.picture(folder / "zz.png", tools.blob(1))
    nib.save(nib.Nifti1Image(np.full((8, 8, 3), 9, np.uint8), np.eye(4)), folder / "zz.nii.gz")
    return {"0.png", "zz.png", "zz.nii.gz"}


@pytest.mark.parametrize("kind", ["images", "volumes", "dicoms"])
def test_every_odd_file_is_named_and_the_others_go_on(
    go: Go,
    tmp_path: Path,
    tools: SimpleNamespace,
    maker: ModuleType,
    odd_files: ModuleType,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bad = getattr(odd_files, f"write_{kind}")(folder, *([maker] if kind == "dicoms" else []))
    masks = good(folder, tools)
    with pytest.raises(SomeFailedError) as caught:
        go(folder)
    assert caught.value.status == 3
    assert masks <= tools.files(tmp_path / "out")
    failed = dict(caught.value.failed)
    written = tools.files(tmp_path / "out") - masks
    assert set(failed) | {folder / name for name in written} >= set(bad), "none is left in silence"
    assert not written, written
    for path, why in failed.items():
        assert one_line(path.name) in why
        assert "Traceback" not in why
        assert not any(secret in why for secret in maker.SECRETS)
    promises = [path for path, why in failed.items() if "header promises" in why]
    assert len(promises) == {"images": 0, "volumes": 4, "dicoms": 1}[kind]
    shown = capsys.readouterr().out
    assert shown.count("failed: ") == len(failed)


def test_odd_but_sound_files_get_their_masks(
    go: Go, tmp_path: Path, tools: SimpleNamespace
) -> None:
    folder = tmp_path / "in"
    (folder / "a.png").mkdir(parents=True)
    tools.picture(folder / "a.png" / "inside.png", tools.blob())
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "dot.png")
    Image.fromarray(np.zeros((1, 9000, 3), np.uint8)).save(folder / "line.png")
    tools.picture(folder / "x.png", tools.blob()).rename(folder / f"{'n' * 251}.png")
    tools.picture(folder / "x.png", tools.blob()).rename(folder / "line\nbreak.png")
    wide = np.array([1e308, -1e308, np.inf, np.nan] * 16).reshape(8, 8, 1)
    nib.save(nib.Nifti1Image(wide, np.eye(4)), folder / "wide.nii")
    (folder / "loop").symlink_to(folder)
    tools.picture(tmp_path / "elsewhere" / "linked.png", tools.blob())
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert len(go(folder)) == 7
    assert (tmp_path / "out" / "link" / "linked.png").is_file()
    assert tools.read(tmp_path / "out" / "line.png").shape == (1, 9000)
    np.testing.assert_array_equal(
        tools.read(tmp_path / "out" / f"{'n' * 251}.png") > 0, tools.blob()
    )


def test_a_picture_that_breaks_its_batch_is_tried_alone(
    go: Go, model: nn.Module, tmp_path: Path, tools: SimpleNamespace, monkeypatch: Any
) -> None:
    """White: the network's map is NaN. Black: it raises. Large: there is memory for one only."""
    for name in ("a", "c", "e"):
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob())
    for name, white in (("b", 255), ("d", 0)):
        full = np.full((tools.size, tools.size, 3), white, np.uint8)
        Image.fromarray(full).save(tmp_path / "in" / f"{name}.png")
    forward, batches = type(model).forward, []

    def odd(self: Any, image: Tensor) -> Tensor:
        batches.append(len(image))
        if bool((image.amax((1, 2, 3)) == 0).any()):
            raise RuntimeError("Geheim")
        logits = forward(self, image)
        logits[image.amin((1, 2, 3)) == 1] = torch.nan
        return logits

    monkeypatch.setattr(type(model), "forward", odd)
    with pytest.raises(SomeFailedError, match="2 could not be segmented; 3 masks") as caught:
        go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {"a.png", "c.png", "e.png"}
    failed = {path.name: why for path, why in caught.value.failed}
    assert "b.png: The network's probabilities are not finite" in failed["b.png"]
    assert "d.png: the network failed on it (RuntimeError)." in failed["d.png"]
    assert "Geheim" not in failed["d.png"]
    assert batches == [2, 1, 2, 1, 1, 1], "sound batches are predicted once"


def test_a_batch_that_lacks_memory_is_tried_one_by_one_and_that_is_said_once(
    go: Go,
    model: nn.Module,
    tmp_path: Path,
    tools: SimpleNamespace,
    monkeypatch: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in "abcd":
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob())
    forward = type(model).forward

    def greedy(self: Any, image: Tensor) -> Tensor:
        if len(image) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(self, image)

    monkeypatch.setattr(type(model), "forward", greedy)
    segmenter._say_too_many.cache_clear()
    go(tmp_path / "in")
    assert len(tools.files(tmp_path / "out")) == 4
    said = capsys.readouterr().out
    assert said.count("2 pictures together need more memory than there is") == 1
    assert "pass --batch-size 1." in said


def _refuse(monkeypatch: pytest.MonkeyPatch, number: int, name: str) -> None:
    """A file of this name cannot be written."""
    original = os.replace

    def refused(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(number, os.strerror(number), str(source))
        original(source, target)

    monkeypatch.setattr(os, "replace", refused)


def test_a_result_that_cannot_be_written_is_one_failure(
    go: Go, tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "sub/b.png", "z.png"):
        tools.picture(tmp_path / "in" / name, tools.blob())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("in the way")
    _refuse(monkeypatch, errno.EACCES, "a.png")
    with pytest.raises(SomeFailedError, match="2 could not be segmented; 1 mask is") as caught:
        go(tmp_path / "in")
    why = {path.name: why for path, why in caught.value.failed}
    assert why["a.png"].endswith("/out/a.png cannot be written: Permission denied.")
    assert str(tmp_path / "in" / "a.png") in why["a.png"], "which is to be given again"
    assert "b.png" in why["b.png"]
    assert (tmp_path / "out" / "z.png").is_file()


def test_a_full_disk_ends_it_and_what_is_finished_stays(
    go: Go, tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob())
    _refuse(monkeypatch, errno.ENOSPC, "b.png")
    with pytest.raises(UserError, match=r"b\.png cannot be written: No space left.*--resume"):
        go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {"a.png"}
    monkeypatch.undo()


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), ValueError("Geheim")])
def test_whatever_a_reader_raises(
    go: Go,
    tmp_path: Path,
    tools: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        tools.picture(tmp_path / "in" / name, tools.blob())
    original = gpsseg.predict.frames.read_image

    def broken(path: Path, *shown: Any) -> np.ndarray:
        if path.name == "b.png":
            raise error
        return original(path, *shown)

    monkeypatch.setattr(gpsseg.predict.frames, "read_image", broken)
    with pytest.raises(SomeFailedError, match=r"b\.png (cannot be used|does not fit)") as caught:
        go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {"a.png", "c.png"}
    assert "Geheim" not in str(caught.value)


def test_a_folder_that_may_not_be_looked_into_is_named(
    go: Go, tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root may look into everything, the refusal is made here."""
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    (tmp_path / "in" / "closed").mkdir()
    original = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SomeFailedError, match="closed cannot be looked into: Permission denied"):
        go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {"a.png"}
