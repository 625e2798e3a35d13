"""One odd file among many, in the commands that read folders: named, and the others go on."""

from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gpsseg.config.datasets import CheckConfig, SplitConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import check_cases
from gpsseg.data.splits.files import lesion_shares
from gpsseg.datasets import check, split
from gpsseg.errors import SomeFailedError, UserError, one_line
from gpsseg.evaluate import evaluate
from gpsseg.slices import cut


def volume(path: Path, values: np.ndarray | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    truth = np.zeros((8, 8, 4), np.uint8)
    truth[2:5, 2:5, 1:] = 1
    nib.save(nib.Nifti1Image(truth if values is None else values, np.eye(4)), path)


def test_slices_of_the_good_volumes_only(
    tmp_path: Path, odd_files: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ct").mkdir()
    bad = [path.name for path in odd_files.write_volumes(tmp_path / "ct")]
    for name in [*bad, "a.nii.gz", "zz.nii.gz"]:
        end = next(
            end for end in (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd") if name.endswith(end)
        )
        volume(tmp_path / "seg" / f"{name.removesuffix(end)}.nii.gz")
    for name in ("a", "zz"):
        volume(tmp_path / "ct" / f"{name}.nii.gz")
    volume(tmp_path / "ct" / "bad-mask.nii.gz")
    volume(tmp_path / "seg" / "bad-mask.nii.gz", np.zeros((8, 8, 4), np.complex64))
    config = SlicesConfig(
        images=tmp_path / "ct", masks=tmp_path / "seg", output=tmp_path / "cut", window=(1, 2)
    )
    with pytest.raises(SomeFailedError) as caught:
        cut(config)
    assert caught.value.status == 3
    assert len(caught.value.failed) == len(bad) + 1
    assert {path.name for path, _ in caught.value.failed} == {*bad, "bad-mask.nii.gz"}
    assert all(one_line(path.name) in why for path, why in caught.value.failed)
    assert "bad-mask.nii.gz holds complex numbers" in str(caught.value)
    table = (tmp_path / "cut" / "cases.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 4
    written = {path.name[:-9] for path in (tmp_path / "cut").rglob("*.png")}
    assert written == {"a", "zz"}, "half a volume is none"
    assert "8 slices of 2 volumes" in capsys.readouterr().out


def test_slices_with_a_dicom_file_that_cannot_be_read(tmp_path: Path, maker: ModuleType) -> None:
    for name in ("a", "b"):
        volume(tmp_path / "seg" / f"{name}.nii.gz")
    volume(tmp_path / "ct" / "a.nii.gz")
    (tmp_path / "ct" / "b.dcm").write_text("no image")
    config = SlicesConfig(images=tmp_path / "ct", masks=tmp_path / "seg", output=tmp_path / "cut")
    with pytest.raises(SomeFailedError, match=r"1 of 2 volumes could not be cut:\n.*b\.dcm"):
        cut(config)
    assert len(list((tmp_path / "cut" / "images").iterdir())) == 4


def cases(folder: Path, odd_files: ModuleType) -> list[Case]:
    """Each odd file as an image and as a mask, beside two sound pairs."""
    (folder / "odd").mkdir(parents=True)
    good = folder / "good.png"
    Image.fromarray(np.eye(40, dtype=np.uint8) * 255).save(good)
    odd = odd_files.write_images(folder / "odd")
    as_images = [Case(f"i{i}", path, good) for i, path in enumerate(odd)]
    as_masks = [Case(f"m{i}", good, path) for i, path in enumerate(odd)]
    return [Case("a", good, good), *as_images, *as_masks, Case("z", good, good)]


def test_all_bad_files_are_listed_at_once(
    tmp_path: Path, odd_files: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = cases(tmp_path, odd_files)
    names = {path.name for path in (tmp_path / "odd").iterdir()}
    monkeypatch.setattr("gpsseg.data.checks.readable.MOST_TOLD", 3)
    for read in (check_cases, lesion_shares):
        with pytest.raises(UserError, match=r"\.\.\. and \d+ other faults?\."):
            read(listed)
    monkeypatch.setattr("gpsseg.data.checks.readable.MOST_TOLD", 99)
    for read in (check_cases, lesion_shares):
        with pytest.raises(UserError) as caught:
            read(listed)
        assert all(one_line(name) in str(caught.value) for name in names)
        assert "pipe.png cannot be read: it is no file" in str(caught.value)


def lay_out(folder: Path, odd_files: ModuleType) -> None:
    """Two folders: i/ with odd images among sound ones, m/ with their masks."""
    for name in "im":
        (folder / name).mkdir()
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:20] = 255
    odd = [path.stem for path in odd_files.write_images(folder / "i") if path.is_file()]
    for name in [*odd, "a", "z"]:
        Image.fromarray(mask).save(folder / "m" / f"{name}.png")
    for number, name in enumerate("az"):
        noise = np.random.default_rng(number).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / "i" / f"{name}.png")


def test_check_finds_them_all(tmp_path: Path, odd_files: ModuleType) -> None:
    lay_out(tmp_path, odd_files)
    found = check(
        CheckConfig(images=tmp_path / "i", masks=tmp_path / "m", output=tmp_path / "page.html")
    )
    assert {look.case.id for look in found.sound} == {"a", "z"}
    for name in ("cut.png", "cut2.jpg", "cut3.tif", "empty.png", "text.jpg", "bomb.png"):
        assert any(name in fault for fault in found.faults)
    for name in ("pipe.png", "nothing.png", "hollow.png"):
        assert any(name in fault for fault in found.faults), "not left out in silence"
    assert (tmp_path / "page.html").is_file()


def test_split_names_bad_masks(tmp_path: Path) -> None:
    for name in ("i", "m"):
        (tmp_path / name).mkdir()
        for number in range(12):
            Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(tmp_path / name / f"{number}.png")
    for number in (3, 5):
        (tmp_path / "m" / f"{number}.png").write_bytes(b"\x89PNG cut off")
    config = SplitConfig(images=tmp_path / "i", masks=tmp_path / "m", output=tmp_path / "s")
    with pytest.raises(UserError) as caught:
        split(config)
    assert [name in str(caught.value) for name in ("3.png", "5.png")] == [True, True]


def test_predictions_that_cannot_be_scored_are_listed(
    tmp_path: Path, odd_files: ModuleType, monkeypatch: Any
) -> None:
    (tmp_path / "maps").mkdir()
    odd = odd_files.write_volumes(tmp_path / "maps")
    for path in odd:
        volume(tmp_path / "truth" / f"{path.name.partition('.')[0]}.nii.gz")
    volume(tmp_path / "maps" / "fine.nii.gz")
    volume(tmp_path / "truth" / "fine.nii.gz")
    config = EvaluateConfig(
        predictions=tmp_path / "maps", truth=tmp_path / "truth", output=tmp_path / "out"
    )
    monkeypatch.setattr("gpsseg.data.checks.readable.MOST_TOLD", 99)
    with pytest.raises(UserError) as caught:
        evaluate(config)
    told = str(caught.value).splitlines()
    silent = {path.name for path in odd if not any(one_line(path.name) in line for line in told)}
    assert silent == set(), told
    assert "fine.nii.gz" not in str(caught.value)
