"""What the other library finds is compared with predict, and nothing is left where it differs."""

import hashlib
import os
import runpy
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from gpsseg.errors import UserError
from gpsseg.export.check import LibraryAgreement, compare
from gpsseg.export.format import Answer

UNET = "unet:tu-lcnet_035"


def test_pixels_are_counted_over_all_images() -> None:
    ours = np.full((2, 5), 0.6, np.float32)
    its = ours.copy()
    its[0, 0] = 0.25
    found = compare([Answer(its, its >= 0.5), Answer(ours, ours >= 0.5)], [ours, ours])
    assert found == LibraryAgreement(2, 20, 1, pytest.approx(0.35))


def test_another_label_is_another_mask() -> None:
    ours = np.zeros((3, 1, 2), np.float32)
    ours[1], its = 1.0, np.zeros((3, 1, 2), np.float32)
    its[1, :, 0] = its[2, :, 1] = 1.0
    assert compare([Answer(its, np.array([[1, 2]]))], [ours]).differ == 1


def test_the_mask_counts_that_the_user_gets_whatever_the_probabilities_are() -> None:
    ours = np.full((2, 5), 0.6, np.float32)
    assert compare([Answer(ours, ours < 0.5)], [ours]).differ == 10


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


WRONG_EXAMPLES = {  # a part of scripts/, what stands there, and what is wrong instead
    "threshold": ("common", "maps[0] >= THRESHOLD", "maps[0] < THRESHOLD"),
    "preparation": ("torch", 'mode="area"', 'mode="nearest"'),
    "colours": ("read", 'convert("RGB"))', 'convert("RGB"))[..., ::-1]'),
    "prompt": ("common", "(width, height)[i % 2]", "(height, width)[i % 2]"),
}


@pytest.mark.parametrize("what", WRONG_EXAMPLES)
def test_an_example_that_does_otherwise_than_predict_leaves_nothing(
    what: str,
    folder_of: Callable[[str], str],
    run_of: Callable[..., Path],
    exported: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gpsseg.export import script

    part, right, wrong = WRONG_EXAMPLES[what]
    plain = script.part_of

    def damaged(name: str) -> str:
        assert right in plain(part)
        return plain(name).replace(right, wrong) if name == part else plain(name)

    monkeypatch.setattr(script, "part_of", damaged)
    run = run_of(folder_of("sam"), prompt="box")
    with pytest.raises(UserError, match="finds other masks than predict"):
        exported(run, "transformers")
    assert not (run.parent / "out").exists()


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

    from gpsseg.export import check, formats, script, smp_folder

    wrong = dataclasses.replace(smp_folder.FORMAT, write=damaged(one_wrong))
    monkeypatch.setattr(formats, "FORMATS", {"smp": wrong})
    monkeypatch.setattr(check, "_mask", lambda found: np.zeros(found.shape[-2:], bool))
    plain = script.part_of
    text = plain("common").replace(">= THRESHOLD", "> 1")
    monkeypatch.setattr(script, "part_of", lambda name: text if name == "common" else plain(name))
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
        ".partial-killed-0000dead": ("-", here, init.pid, 1),
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


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ("m.jpg", "should end in .png"),
        ("m", "should end in .png"),
        ("i.png", "is the image itself"),
    ],
)
def test_an_example_writes_no_mask_that_is_none_and_over_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mask, told
) -> None:
    """JPEG changes 0 and 255 into what lies between; it says so before anything is loaded."""
    from gpsseg.export.script import HEADING, part_of

    places = dict.fromkeys(("packages", "imports", "more"), "")
    heading = HEADING.format(
        side=8, prompt="'none'", classes="()", steps="()", ranges="{}", **places
    )
    (tmp_path / "segment.py").write_text(heading + part_of("common"))
    image = tmp_path / "i.png"
    image.write_bytes(b"kept")
    monkeypatch.setattr("sys.argv", ["segment.py", str(image), str(tmp_path / mask)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(tmp_path / "segment.py"), run_name="__main__")
    assert told in capsys.readouterr().err
    assert image.read_bytes() == b"kept"
    assert {path.name for path in tmp_path.iterdir()} == {"i.png", "segment.py"}
