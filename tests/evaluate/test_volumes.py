"""Volumes that are evaluated: millimetres, grids and the slice that is pictured."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpsseg.errors import UserError
from gpsseg.scoring.scored import telling_slice


def test_volumes_are_scored_in_millimetres(tmp_path: Path, tools: SimpleNamespace) -> None:
    tools.volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    tools.volumes(tmp_path / "mine", 1, (1.0, 1.0, 3.0))
    metrics = tools.run((tmp_path / "mine", tmp_path / "truth"), protocol=("all",))
    assert list(metrics["after"]) == [
        *("per-image", "volume", "micro", "gps-repo", "clinical", "lesions"),
    ]
    found, size = metrics["after"]["lesions"], metrics["after"]["clinical"]["agreement"][1]
    assert (found["true"], found["found"], found["sq"]) == (3, 3, pytest.approx(2 / 3))
    assert (size["unit"], size["bias"]) == ("ml", pytest.approx(-0.036)), "-12 voxels of 3 mm³"
    volume = metrics["after"]["volume"]
    assert (volume["unit"], volume["hd95"], volume["dice"]) == ("mm", 3.0, pytest.approx(0.8))
    with pytest.raises(UserError, match="--protocol pranet does not score 3-D predictions; expec"):
        tools.run(
            (tmp_path / "mine", tmp_path / "truth"), protocol=("pranet",), output=tmp_path / "x"
        )


def test_each_label_of_volumes_is_scored_in_millimetres(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    """The first label lies 3 mm off along z, all of the second is found."""
    nibabel = pytest.importorskip("nibabel")
    for name, start in (("truth", 1), ("mine", 2)):
        values = np.zeros((6, 8, 5), np.uint8)
        values[1:3, 2:4, start : start + 2] = 1
        values[4, 5, 1:3] = 2
        (tmp_path / name).mkdir()
        nibabel.save(
            nibabel.Nifti1Image(values, np.diag([1, 1, 3.0, 1])), tmp_path / name / "v.nii.gz"
        )
    found = tools.run(
        (tmp_path / "mine", tmp_path / "truth"), labels=(1, 2), protocol=("volume",), tolerance=3.5
    )["labels"]
    assert (found["1"]["dice"], found["2"]["dice"]) == (0.5, 1)
    first, second = found["1"]["volume"], found["2"]["volume"]
    assert (first["unit"], first["hd95"], first["nsd"], second["hd95"]) == ("mm", 3, 1, 0)


def test_a_volume_is_pictured_by_the_slice_with_most_of_the_lesion(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    truth = np.zeros((4, 3, 6), bool)  # x to the right, y to the front, z up
    truth[0, 0, 1] = truth[1:3, 2, 3] = truth[1:3, 2, 4] = truth[1:3, 2, 5] = True
    mask = np.zeros_like(truth)
    mask[0, :, 0] = True
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    found, true = telling_slice(mask, truth, affine)
    front_on_top = np.zeros((3, 4), bool)
    front_on_top[0, 1:3] = True  # of three equal slices the middle one
    assert np.array_equal(true, front_on_top)
    assert not found.any()
    found, true = telling_slice(mask, np.zeros_like(truth), affine)
    assert np.array_equal(found, np.array([[0, 0, 0, 1]] * 3)), "the right side is on the left"
    assert not true.any()
    empty = np.zeros_like(truth)
    assert telling_slice(empty, empty, None)[0].shape == (3, 4)
    thin = np.zeros((4, 1, 6), bool)  # one coronal slice: the head at the top, right on the left
    thin[0, 0, 5] = True
    upright = np.zeros((6, 4), bool)
    upright[0, 3] = True
    assert np.array_equal(telling_slice(thin, thin, affine)[1], upright)
    assert telling_slice(thin, thin, None)[1].shape == (6, 4), "not cut along its first axis"
    lying = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    assert telling_slice(mask, truth, lying)[1].sum() == truth.sum((0, 1)).max()

    tools.volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    tools.volumes(tmp_path / "mine", 1, (1.0, 1.0, 3.0))
    tools.run((tmp_path / "mine", tmp_path / "truth"))
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Of each volume the slice is pictured that shows most of the lesion" in report
    assert report.count('class="pair look"') == 3


def test_volumes_on_other_grids(tmp_path: Path, capsys: Any, tools: SimpleNamespace) -> None:
    tools.volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    tools.volumes(tmp_path / "flipped", 0, (1.0, 1.0, 3.0), flip=-1)
    with pytest.raises(UserError, match="have their axes in different directions"):
        tools.run((tmp_path / "flipped", tmp_path / "truth"))
    tools.volumes(tmp_path / "headless", 0, (1.0, 1.0, 1.0))
    metrics = tools.run((tmp_path / "headless", tmp_path / "truth"))
    assert metrics["after"]["volume"]["dice"] == 1.0
    assert "headers of 3 volumes place them elsewhere" in capsys.readouterr().out
    tools.save(tmp_path / "headless" / "v0.npy", np.zeros((6, 8)))
    (tmp_path / "headless" / "v0.nii.gz").unlink()
    with pytest.raises(UserError, match=r"v0\.npy is 6x8 and its truth .*is 6x8x5; volumes must"):
        tools.run((tmp_path / "headless", tmp_path / "truth"), output=tmp_path / "x")


def test_the_tolerance_of_volumes_is_in_millimetres(tmp_path: Path, tools: SimpleNamespace) -> None:
    tools.volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    tools.volumes(tmp_path / "mine", 1, (1.0, 1.0, 3.0))  # a slice of 3 mm less
    pair = (tmp_path / "mine", tmp_path / "truth")
    near = tools.run(pair, tolerance=2.9, output=tmp_path / "near")["after"]["volume"]
    far = tools.run(pair, tolerance=3, output=tmp_path / "far")["after"]["volume"]
    assert near["nsd"] < far["nsd"] == 1.0
    assert (far["unit"], far["tolerance"], far["tolerance_unit"]) == ("mm", 3.0, "mm")
