"""`python -m gpsseg.evaluate` on predictions that any tool made."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.data.formats.masks import read_mask
from gpsseg.evaluate import evaluate
from gpsseg.evaluators import Scorer, calibration, registry
from gpsseg.reading import read_object

HOSTILE = "<img src=x onerror=alert(1)>"


def test_the_metrics_are_the_scorers(folders: tuple[Path, Path], tools: SimpleNamespace) -> None:
    metrics = tools.run(folders, protocol=("all",))
    flat = [name for name in registry() if name != "volume"]
    scorer = Scorer(flat, pool=True)
    for i in range(5):
        scorer.add(f"c{i}", tools.map_of(i), tools.truth_of(i))
    assert metrics["after"] == scorer.summary()
    assert scorer.pooled is not None
    assert metrics["calibration"]["ece"] == calibration(scorer.pooled).ece
    assert sum(each["pixels"] for each in metrics["calibration"]["bins"]) == 5 * 24 * 20
    assert (metrics["data"], metrics["images"]) == ("given folder", 5)
    output = folders[0].parent / "out"
    assert read_object(output / "metrics.json") == metrics
    written = [float(row["pranet_weighted_f"]) for row in tools.rows_of(output)]
    assert written == [row["pranet_weighted_f"] for row in scorer.rows()]
    assert {path.name for path in output.iterdir()} == {
        "metrics.json", "per_image.csv", "report.html",
    }  # fmt: skip


def test_the_default_is_what_every_report_has(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    assert list(tools.run(folders)["after"]) == ["per-image", "micro", "clinical", "lesions"]


def test_what_a_lesion_is_and_when_it_is_found_can_be_said(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    loose = tools.run(folders, lesion_iou=0.01, lesion_pixels=1)["after"]["lesions"]
    strict = tools.run(
        folders, lesion_iou=1, lesion_pixels=10**4, output=folders[0].parent / "strict"
    )["after"]["lesions"]
    assert (loose["true"], loose["found"], loose["least_iou"]) == (5, 5, 0.01)
    assert (strict["true"], strict["predicted"], strict["specks"]) == (0, 0, 5)


def test_per_image_is_always_scored(folders: tuple[Path, Path], tools: SimpleNamespace) -> None:
    assert list(tools.run(folders, protocol=("pranet",))["after"]) == ["per-image", "pranet"]


def test_strata_hold_every_image_with_a_lesion_once(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    metrics = tools.run(folders)
    shares = [tools.truth_of(i).mean() for i in range(5)]
    assert all(shares)
    small = sum(0.05 <= share < 0.15 for share in shares)
    assert [each["images"] for each in metrics["strata"]] == [small, 5 - small]
    counted = sum(s["dice"] * s["images"] for s in metrics["strata"]) / 5
    assert counted == pytest.approx(metrics["after"]["per-image"]["dice"])


def test_masks_have_no_calibration(folders: tuple[Path, Path], tools: SimpleNamespace) -> None:
    assert "calibration" not in tools.run((folders[1], folders[1]))


def test_a_data_set_by_name(
    kvasir: Path, tmp_path: Path, capsys: Any, tools: SimpleNamespace
) -> None:
    masks = sorted((kvasir / "Kvasir-SEG" / "masks").iterdir())
    for path in masks:
        tools.save(tmp_path / "mine" / f"{path.stem}_pred.npy", read_mask(path))
    metrics = evaluate(
        EvaluateConfig(
            predictions=tmp_path / "mine",
            dataset="kvasir",
            data_root=kvasir,
            output=tmp_path / "out",
            protocol=("isic", "gps-repo"),
        )
    )
    assert (metrics["data"], metrics["dataset"]) == ("synthetic sample", "kvasir")
    assert metrics["images"] == 2
    assert len(metrics["split"]["sha256"]) == 64
    assert len(metrics["extra_files"]) == len(masks) - 2
    assert metrics["after"]["isic"]["jaccard_thresholded"] == 1.0
    told = capsys.readouterr().out
    assert "SYNTHETIC SAMPLE" in told
    assert "no image for 6 files" in told
    assert "warning: Reproduces the published GPS script" in told
    assert "SYNTHETIC SAMPLE" in (tmp_path / "out" / "report.html").read_text()


def test_another_size_is_resized_and_said(
    folders: tuple[Path, Path], capsys: Any, tools: SimpleNamespace
) -> None:
    path = folders[0] / "c2_probability.png"
    with Image.open(path) as image:
        doubled = np.kron(np.asarray(image), np.ones((2, 2), np.uint8))
    tools.save(path, doubled)
    metrics = tools.run(folders, protocol=("all",))
    assert metrics["resized"] == ["c2"]
    assert "1 of 5 predictions do not have their truth's size" in capsys.readouterr().out
    assert "1 of 5 differ" in metrics["after"]["isic"]["omitted"]
    output = folders[0].parent / "out"
    assert "isic_dice" not in tools.rows_of(output)[0]
    assert "1 of 5 differ" in (output / "report.html").read_text()
    scorer = Scorer()
    row = scorer.add("c2", tools.map_of(2), tools.truth_of(2))
    assert float(tools.rows_of(output)[2]["dice"]) == row["dice"], (
        "2 x 2 blocks average to themselves"
    )


def test_the_isic_rule_wants_the_size_of_the_truth_only_where_it_is_asked_for(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    tools.save(folders[0] / "c0_probability.png", np.zeros((12, 12), np.uint8))
    assert "isic" not in tools.run(folders)["after"]


def test_names_that_attack_the_report(tmp_path: Path, tools: SimpleNamespace) -> None:
    for folder in ("maps", "truth"):
        tools.save(tmp_path / folder / f"{HOSTILE}.png", tools.map_of(1))
        tools.save(tmp_path / folder / '=1+1, "quoted".png', tools.map_of(2))
    tools.save(tmp_path / "maps" / "<script>extra.png", tools.map_of(1))
    tools.run((tmp_path / "maps", tmp_path / "truth"))
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in report
    assert "&lt;img src=x onerror=alert(1)&gt;" in report
    assert {row["id"] for row in tools.rows_of(tmp_path / "out")} == {HOSTILE, '=1+1, "quoted"'}


def test_distances_carry_unit_tolerance_and_rule(
    tmp_path: Path, capsys: Any, tools: SimpleNamespace
) -> None:
    """Two squares, one three pixels to the right of the other."""
    square = np.zeros((20, 20), np.uint8)
    square[5:11, 4:10] = 255
    tools.save(tmp_path / "truth" / "a.png", square)
    tools.save(tmp_path / "mine" / "a.png", np.roll(square, 3, axis=1))
    pair = (tmp_path / "mine", tmp_path / "truth")
    scores = {}
    for tolerance in (2.0, 3.0):
        output = tmp_path / f"{tolerance:g}"
        metrics = tools.run(pair, protocol=("boundary",), tolerance=tolerance, output=output)
        scores[tolerance] = metrics["after"]["boundary"]
        told = " ".join(capsys.readouterr().out.split())
        assert f"hd95 3.000 pixels assd {scores[tolerance]['assd']:.3f} pixels nsd" in told
        assert f"(at {tolerance:g} pixels)" in told
        assert "HD95 is the larger of the two directed 95th percentiles" in told
        report = (output / "report.html").read_text()
        for text in ("HD95 (pixels)", "ASSD (pixels)", f"NSD at {tolerance:g} pixels", "diagonal"):
            assert text in report
        assert scores[tolerance]["tolerance"] == tolerance
        assert (scores[tolerance]["unit"], scores[tolerance]["tolerance_unit"]) == ("pixels",) * 2
        assert "One mask empty: HD95 and ASSD are the image's diagonal" in scores[tolerance]["rule"]
    assert scores[2.0]["hd95"] == scores[3.0]["hd95"] == 3.0
    assert scores[2.0]["nsd"] < scores[3.0]["nsd"] == 1.0


def test_the_command_needs_no_torch(folders: tuple[Path, Path], tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv[0] = 'x'\n"
        "runpy.run_module('gpsseg.evaluate', run_name='__main__')\n"
        "assert not {'torch', 'monai'} & set(sys.modules)\n"
    )
    words = ["--predictions", str(folders[0]), "--truth", str(folders[1]), "--protocol", "all"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--against", str(folders[1])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (output,) = (tmp_path / "runs").iterdir()
    assert output.name.startswith("evaluate-maps-")
    for word in ("mDice", "pranet", "lesion size", "empty images", "ECE", "against", "report:"):
        assert word in done.stdout


def test_files_that_are_no_predictions_are_named(
    folders: tuple[Path, Path], capsys: Any, tools: SimpleNamespace
) -> None:
    for name in ("log.txt", "predict.json"):
        (folders[0] / name).touch()
    tools.run(folders)
    assert "note: 1 file is left out (1 .txt): log.txt of --predictions" in capsys.readouterr().out


def test_truths_and_predictions_in_several_files_are_joined(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    for folder in ("t", "p"):
        for name, x in (("a_mask", 0), ("a_mask_1", 8)):
            values = np.zeros(tools.SHAPE, np.uint8)
            values[:4, x : x + 4] = 255
            tools.save(tmp_path / folder / f"{name}.png", values)
    (tmp_path / "p" / "a_mask_1.png").rename(tmp_path / "p" / "a_mask_1.bmp.png")
    metrics = tools.run((tmp_path / "p", tmp_path / "t"), output=tmp_path / "one")
    assert metrics["after"]["per-image"]["dice"] == pytest.approx(2 * 16 / (16 + 32))
    (tmp_path / "p" / "a_mask_1.bmp.png").rename(tmp_path / "p" / "a_mask_1.png")
    metrics = tools.run((tmp_path / "p", tmp_path / "t"), output=tmp_path / "both")
    assert metrics["after"]["per-image"]["dice"] == 1
