"""What the other library finds is compared with predict, and nothing is left where it differs."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from gpsseg.errors import UserError
from gpsseg.export.check import Agreement, compare

UNET = "unet:tu-lcnet_035"


def test_pixels_are_counted_over_all_images() -> None:
    ours = np.full((2, 5), 0.6, np.float32)
    its = ours.copy()
    its[0, 0] = 0.25
    found = compare([its, ours], [ours, ours])
    assert found == Agreement(2, 20, 1, pytest.approx(0.35))


def test_another_label_is_another_mask() -> None:
    ours = np.zeros((3, 1, 2), np.float32)
    ours[1], its = 1.0, np.zeros((3, 1, 2), np.float32)
    its[1, :, 0] = its[2, :, 1] = 1.0
    assert compare([its], [ours]).differ == 1


def damaged(change: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    """A format's ``write`` that damages the weights it has written."""
    from safetensors.torch import load_file, save_file

    from gpsseg.export import smp_folder

    def write(tuned: Any, folder: Path) -> None:
        smp_folder.write(tuned, folder)
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return write


def one_wrong(tensors: dict[str, Any]) -> None:
    tensors["segmentation_head.0.bias"] += 1


def one_not_a_number(tensors: dict[str, Any]) -> None:
    tensors["segmentation_head.0.bias"] *= torch.nan


def one_gone(tensors: dict[str, Any]) -> None:
    del tensors["segmentation_head.0.bias"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_wrong, "finds other masks than predict"),
        (one_not_a_number, "finds other masks than predict"),
        (one_gone, "cannot read what was written"),
    ],
)
def test_a_wrong_weight_leaves_nothing(
    change: Callable[[dict[str, Any]], None],
    said: str,
    run_of: Callable[..., Path],
    exported: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import dataclasses

    from gpsseg.export import formats, smp_folder

    wrong = dataclasses.replace(smp_folder.FORMAT, write=damaged(change))
    monkeypatch.setattr(formats, "FORMATS", {"smp": wrong})
    run = run_of(UNET, weights="random")
    with pytest.raises(UserError, match=said):
        exported(run, "smp")
    assert [each.name for each in run.parent.iterdir()] == ["run"]


def test_where_all_masks_are_empty_probabilities_tell(
    run_of: Callable[..., Path], exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty mask is as empty by a wrong weight."""
    import dataclasses

    from gpsseg.export import check, formats, smp_folder

    wrong = dataclasses.replace(smp_folder.FORMAT, write=damaged(one_wrong))
    monkeypatch.setattr(formats, "FORMATS", {"smp": wrong})
    monkeypatch.setattr(check, "_mask", lambda found: np.zeros(found.shape[-2:], bool))
    with pytest.raises(UserError, match=r"0 % of the pixels .*probabilities by"):
        exported(run_of(UNET, weights="random"), "smp")


def test_what_a_killed_process_left_gives_way_and_what_another_writes_stays(
    run_of: Callable[..., Path], exported: Callable[..., Path]
) -> None:
    """A mark: of settings, machine, process and when that began."""
    run = run_of(UNET, weights="random")
    here = hashlib.sha256(socket.gethostname().encode()).hexdigest()
    init = psutil.Process(os.getppid())
    marks = {
        ".partial-out-0000dead": ("-", here, init.pid, 1),
        ".partial-out-00000bad": ("-", here, init.pid, round(init.create_time())),
        ".partial-out-0elsewhe": ("-", "another", init.pid, 1),
    }
    for name, mark in marks.items():
        (run.parent / name).mkdir()
        (run.parent / name / "model.safetensors").write_bytes(b"half")
        (run.parent / name / ".unfinished").write_text("".join(f"{each}\n" for each in mark))
    out = exported(run, "smp")
    stay = {".partial-out-00000bad", ".partial-out-0elsewhe"}
    assert {each.name for each in run.parent.iterdir()} == {"run", "out", *stay}
    assert {each.stat().st_mode & 0o777 for each in out.iterdir()} == {0o644}
