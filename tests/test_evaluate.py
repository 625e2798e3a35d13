"""`python -m gpsseg.evaluate` on predictions that any tool made."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.data.formats.masks import read_mask
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.evaluators import Scorer, calibration, registry
from gpsseg.scoring.scored import telling_slice

SHAPE = (24, 20)
HOSTILE = "<img src=x onerror=alert(1)>"


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def truth_of(i: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    truth = np.zeros(shape, bool)
    truth[4 : 8 + 2 * i, 3:15] = True
    return truth


def map_of(i: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng([seed, i]).normal(0, 0.25, SHAPE)
    return (np.clip(0.2 + 0.6 * truth_of(i) + noise, 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions (8-bit maps) and truth of five images."""
    for i in range(5):
        save(tmp_path / "maps" / f"c{i}_probability.png", map_of(i))
        save(tmp_path / "truth" / f"c{i}.png", truth_of(i) * np.uint8(255))
    return tmp_path / "maps", tmp_path / "truth"


def run(folders: tuple[Path, Path], **options: Any) -> dict[str, Any]:
    maps, truth = folders
    output = options.pop("output", maps.parent / "out")
    return evaluate(EvaluateConfig(predictions=maps, truth=truth, output=output, **options))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_metrics_are_the_scorers(folders: tuple[Path, Path]) -> None:
    metrics = run(folders, protocol=("all",))
    flat = [name for name in registry() if name != "volume"]
    scorer = Scorer(flat, pool=True)
    for i in range(5):
        scorer.add(f"c{i}", map_of(i), truth_of(i))
    assert metrics["after"] == scorer.summary()
    assert scorer.pooled is not None
    assert metrics["calibration"]["ece"] == calibration(scorer.pooled).ece
    assert sum(each["pixels"] for each in metrics["calibration"]["bins"]) == 5 * 24 * 20
    assert (metrics["data"], metrics["images"]) == ("given folder", 5)
    output = folders[0].parent / "out"
    assert json.loads((output / "metrics.json").read_text()) == metrics
    written = [float(row["pranet_weighted_f"]) for row in rows_of(output)]
    assert written == [row["pranet_weighted_f"] for row in scorer.rows()]
    assert {path.name for path in output.iterdir()} == {
        "metrics.json", "per_image.csv", "report.html",
    }  # fmt: skip


def test_the_default_is_per_image_and_micro(folders: tuple[Path, Path]) -> None:
    assert list(run(folders)["after"]) == ["per-image", "micro"]


def test_per_image_is_always_scored(folders: tuple[Path, Path]) -> None:
    assert list(run(folders, protocol=("pranet",))["after"]) == ["per-image", "pranet"]


def test_strata_hold_every_image_with_a_lesion_once(folders: tuple[Path, Path]) -> None:
    metrics = run(folders)
    shares = [truth_of(i).mean() for i in range(5)]
    assert all(shares)
    small = sum(0.05 <= share < 0.15 for share in shares)
    assert [each["images"] for each in metrics["strata"]] == [small, 5 - small]
    counted = sum(s["dice"] * s["images"] for s in metrics["strata"]) / 5
    assert counted == pytest.approx(metrics["after"]["per-image"]["dice"])


def test_masks_have_no_calibration(folders: tuple[Path, Path]) -> None:
    assert "calibration" not in run((folders[1], folders[1]))


def test_a_data_set_by_name(kvasir: Path, tmp_path: Path, capsys: Any) -> None:
    masks = sorted((kvasir / "Kvasir-SEG" / "masks").iterdir())
    for path in masks:
        save(tmp_path / "mine" / f"{path.stem}_pred.npy", read_mask(path))
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


def test_another_size_is_resized_and_said(folders: tuple[Path, Path], capsys: Any) -> None:
    path = folders[0] / "c2_probability.png"
    with Image.open(path) as image:
        doubled = np.kron(np.asarray(image), np.ones((2, 2), np.uint8))
    save(path, doubled)
    metrics = run(folders, protocol=("all",))
    assert metrics["resized"] == ["c2"]
    assert "1 of 5 predictions do not have their truth's size" in capsys.readouterr().out
    assert "1 of 5 differ" in metrics["after"]["isic"]["omitted"]
    output = folders[0].parent / "out"
    assert "isic_dice" not in rows_of(output)[0]
    assert "1 of 5 differ" in (output / "report.html").read_text()
    scorer = Scorer()
    row = scorer.add("c2", map_of(2), truth_of(2))
    assert float(rows_of(output)[2]["dice"]) == row["dice"], "2 x 2 blocks average to themselves"


def test_the_isic_rule_wants_the_size_of_the_truth_only_where_it_is_asked_for(
    folders: tuple[Path, Path],
) -> None:
    save(folders[0] / "c0_probability.png", np.zeros((12, 12), np.uint8))
    assert "isic" not in run(folders)["after"]


def test_a_turned_prediction_is_refused(folders: tuple[Path, Path]) -> None:
    save(folders[0] / "c1_probability.png", np.ascontiguousarray(map_of(1).T))
    with pytest.raises(UserError, match=r"c1_prob.* is 20x24 and its truth .* is 24x20.*turned"):
        run(folders)
    assert not (folders[0].parent / "out").exists()


def test_every_bad_file_is_named_and_nothing_is_written(folders: tuple[Path, Path]) -> None:
    maps, truth = folders
    (maps / "c0_probability.png").unlink()
    save(maps / "c0.npy", np.full(SHAPE, 1.5))
    (maps / "c1_probability.png").write_bytes(b"")
    save(truth / "c2.png", np.arange(480, dtype=np.uint8).reshape(SHAPE) % 3)
    with pytest.raises(UserError) as caught:
        run(folders)
    lines = str(caught.value).splitlines()
    for line, part in zip(
        lines,
        ["c0.npy ranges from 1.5", "c1_probability.png is an empty file", "c2.png holds 3 differ"],
        strict=True,
    ):
        assert part in line
    assert not (maps.parent / "out").exists()


def test_label_maps_are_refused(folders: tuple[Path, Path]) -> None:
    for i in range(5):
        labels = truth_of(i) * np.uint8(2)
        labels[6:8, 5:9] = 1
        save(folders[0] / f"c{i}_probability.png", labels)
    with pytest.raises(UserError, match=r"the levels 0, 1, 2: masks of several classes\?.*"):
        run(folders)


def test_names_that_attack_the_report(tmp_path: Path) -> None:
    for folder in ("maps", "truth"):
        save(tmp_path / folder / f"{HOSTILE}.png", map_of(1))
        save(tmp_path / folder / '=1+1, "quoted".png', map_of(2))
    save(tmp_path / "maps" / "<script>extra.png", map_of(1))
    run((tmp_path / "maps", tmp_path / "truth"))
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in report
    assert "&lt;img src=x onerror=alert(1)&gt;" in report
    assert {row["id"] for row in rows_of(tmp_path / "out")} == {HOSTILE, '=1+1, "quoted"'}


def volumes(folder: Path, seed: int, zooms: tuple[float, ...], flip: int = 1) -> None:
    nibabel = pytest.importorskip("nibabel")
    folder.mkdir()
    for i in range(3):
        values = np.zeros((6, 8, 5), np.uint8)
        values[1:4, 2 : 5 + i, 1 : 4 - seed] = 1
        image = nibabel.Nifti1Image(values, np.diag([flip * zooms[0], *zooms[1:], 1]))
        nibabel.save(image, folder / f"v{i}.nii.gz")


def test_volumes_are_scored_in_millimetres(tmp_path: Path) -> None:
    volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    volumes(tmp_path / "mine", 1, (1.0, 1.0, 3.0))
    metrics = run((tmp_path / "mine", tmp_path / "truth"), protocol=("all",))
    assert list(metrics["after"]) == ["per-image", "volume", "micro", "gps-repo"]
    volume = metrics["after"]["volume"]
    assert (volume["unit"], volume["hd95"], volume["dice"]) == ("mm", 3.0, pytest.approx(0.8))
    with pytest.raises(UserError, match="--protocol pranet does not score 3-D predictions; expec"):
        run((tmp_path / "mine", tmp_path / "truth"), protocol=("pranet",), output=tmp_path / "x")


def test_a_volume_is_pictured_by_the_slice_with_most_of_the_lesion(tmp_path: Path) -> None:
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

    volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    volumes(tmp_path / "mine", 1, (1.0, 1.0, 3.0))
    run((tmp_path / "mine", tmp_path / "truth"))
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Of each volume the slice is pictured that shows most of the lesion" in report
    assert report.count('class="pair look"') == 3


def test_volumes_on_other_grids(tmp_path: Path, capsys: Any) -> None:
    volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    volumes(tmp_path / "flipped", 0, (1.0, 1.0, 3.0), flip=-1)
    with pytest.raises(UserError, match="have their axes in different directions"):
        run((tmp_path / "flipped", tmp_path / "truth"))
    volumes(tmp_path / "headless", 0, (1.0, 1.0, 1.0))
    metrics = run((tmp_path / "headless", tmp_path / "truth"))
    assert metrics["after"]["volume"]["dice"] == 1.0
    assert "headers of 3 volumes place them elsewhere" in capsys.readouterr().out
    save(tmp_path / "headless" / "v0.npy", np.zeros((6, 8)))
    (tmp_path / "headless" / "v0.nii.gz").unlink()
    with pytest.raises(UserError, match=r"v0\.npy is 6x8 and its truth .*is 6x8x5; volumes must"):
        run((tmp_path / "headless", tmp_path / "truth"), output=tmp_path / "x")


def test_distances_carry_unit_tolerance_and_rule(tmp_path: Path, capsys: Any) -> None:
    """Two squares, one three pixels to the right of the other."""
    square = np.zeros((20, 20), np.uint8)
    square[5:11, 4:10] = 255
    save(tmp_path / "truth" / "a.png", square)
    save(tmp_path / "mine" / "a.png", np.roll(square, 3, axis=1))
    pair = (tmp_path / "mine", tmp_path / "truth")
    scores = {}
    for tolerance in (2.0, 3.0):
        output = tmp_path / f"{tolerance:g}"
        metrics = run(pair, protocol=("boundary",), tolerance=tolerance, output=output)
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


def test_the_tolerance_of_volumes_is_in_millimetres(tmp_path: Path) -> None:
    volumes(tmp_path / "truth", 0, (1.0, 1.0, 3.0))
    volumes(tmp_path / "mine", 1, (1.0, 1.0, 3.0))  # a slice of 3 mm less
    pair = (tmp_path / "mine", tmp_path / "truth")
    near = run(pair, tolerance=2.9, output=tmp_path / "near")["after"]["volume"]
    far = run(pair, tolerance=3, output=tmp_path / "far")["after"]["volume"]
    assert near["nsd"] < far["nsd"] == 1.0
    assert (far["unit"], far["tolerance"], far["tolerance_unit"]) == ("mm", 3.0, "mm")


def test_a_tolerance_of_nothing_is_refused_before_scoring(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="--tolerance 3 has no effect here: it goes with --proto"):
        run(folders, tolerance=3)
    assert not (folders[0].parent / "out").exists()


def test_against_oneself_is_0_and_p_is_1(folders: tuple[Path, Path]) -> None:
    maps, _ = folders
    run(folders, output=maps.parent / "first")
    metrics = run(folders, against=(maps.parent / "first", maps))
    assert [entry["against"] for entry in metrics["paired"]] == [
        str(maps.parent / "first"),
        str(maps),
    ]
    for entry in metrics["paired"]:
        assert (entry["images"], entry["units"], entry["protocol"]) == (5, 5, "per-image")
        for score in ("dice", "iou"):
            assert entry[score] == {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0, "p_holm": 1.0}


def test_against_others(folders: tuple[Path, Path], capsys: Any) -> None:
    maps, truth = folders
    metrics = run(folders, against=(truth,))
    (entry,) = metrics["paired"]
    dice = metrics["after"]["per-image"]["dice"]
    assert entry["dice"]["difference"] == pytest.approx(dice - 1)
    with (maps.parent / "out" / "per_image.csv").open() as file:
        scores = [float(row["dice"]) for row in csv.DictReader(file)]
    expected = stats.ttest_1samp(scores, 1).pvalue
    assert entry["dice"]["p"] == entry["dice"]["p_holm"] == pytest.approx(expected)
    assert (entry["resampled"], entry["units"], entry["seeds"]) == ("image", 5, 1)
    low, high = entry["dice"]["ci95"]
    assert low <= entry["dice"]["difference"] <= high < 0
    said = capsys.readouterr().out
    assert f"against {truth}: Dice {dice - 1:+.3f}" in said
    assert "over 5 images. Tested are these two networks; another training of either" in said
    again = run(folders, against=(truth, maps), output=maps.parent / "again")["paired"]
    assert [entry["dice"]["p_holm"] for entry in again] == [pytest.approx(2 * expected), 1.0]


def test_the_other_sides_groups_are_used_where_these_have_none(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run(folders, output=tmp_path / "first")
    table = tmp_path / "first" / "per_image.csv"
    with table.open() as file:
        rows = [row | {"group": f"p{i // 2}"} for i, row in enumerate(csv.DictReader(file))]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (entry,) = run(folders, against=(tmp_path / "first",))["paired"]
    assert (entry["resampled"], entry["units"]) == ("group", 3)
    assert entry["dice"]["p"] is None
    assert entry["dice"]["why"] == "3 groups, and a p-value needs 5"


def test_against_other_images_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    maps, _ = folders
    run(folders, output=tmp_path / "first")
    text = (tmp_path / "first" / "per_image.csv").read_text()
    (tmp_path / "first" / "per_image.csv").write_text(text.replace("c3,", "d3,"))
    with pytest.raises(UserError, match=r"it lacks 1 of 5: c3; it has 1 other: d3"):
        run(folders, against=(tmp_path / "first",))
    (tmp_path / "first" / "per_image.csv").write_text(text.replace("c3,", "c2,"))
    with pytest.raises(UserError, match="c2 comes twice"):
        run(folders, against=(tmp_path / "first",))
    (tmp_path / "first" / "per_image.csv").write_text("id,dice\nc1,1\n")
    with pytest.raises(UserError, match="has no column iou"):
        run(folders, against=(tmp_path / "first",))
    (tmp_path / "first" / "per_image.csv").write_text("id,dice,iou\nc1,nan,1\n")
    with pytest.raises(UserError, match=r"c1 has no score in \[0, 1\]"):
        run(folders, against=(tmp_path / "first",))
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is a run without per_image"):
        run(folders, against=(tmp_path / "stopped",))
    save(tmp_path / "less" / "c1.png", map_of(1))
    with pytest.raises(UserError, match=r"--against .*less: 4 of 5 images have no prediction: c0"):
        run(folders, against=(tmp_path / "less",))
    assert not (maps.parent / "out").exists()


def test_missing_predictions_and_empty_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[0] / "c4_probability.png").unlink()
    with pytest.raises(UserError, match="1 of 5 images has no prediction: c4"):
        run(folders)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--predictions .*empty holds no mask or map"):
        run((tmp_path / "empty", folders[1]))
    with pytest.raises(UserError, match=r"--truth .*empty holds no mask or map"):
        run((folders[0], tmp_path / "empty"))
    assert not (folders[0].parent / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Got neither of --run and --predictions, expected one: --run RUN"),
        ({"run": "a", "predictions": "b"}, "Got both of --run and --predictions"),
        ({"predictions": "b"}, "Got neither of --dataset and --truth"),
        ({"predictions": "b", "dataset": "c", "truth": "d"}, "Got both of --dataset and --truth"),
        ({"run": "a", "truth": "d"}, "--truth goes with --predictions"),
        ({"predictions": "b", "truth": "d", "data_root": "e"}, "--data-root goes with --dataset"),
        ({"run": "a", "protocol": ()}, "--protocol needs a name"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    paths = {k: v if k in ("dataset", "protocol") else Path(v) for k, v in options.items()}
    with pytest.raises(UserError, match=message):
        EvaluateConfig(**paths)


def test_an_unknown_protocol_suggests_the_nearest(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"Unknown protocol 'pranett'\. Did you mean 'pranet'"):
        run(folders, protocol=("pranett",))
    with pytest.raises(UserError, match="volume does not score 2-D predictions"):
        run(folders, protocol=("volume",))


def test_a_result_is_never_overwritten(folders: tuple[Path, Path]) -> None:
    run(folders)
    with pytest.raises(UserError, match="never overwrites"):
        run(folders)


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
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (output,) = (tmp_path / "runs").iterdir()
    assert output.name.startswith("evaluate-maps-")
    for word in ("mDice", "pranet", "lesion size", "empty images", "ECE", "against", "report:"):
        assert word in done.stdout


def test_label_maps_are_scored_label_by_label(folders: tuple[Path, Path], capsys: Any) -> None:
    predictions, truth = folders
    for path in [*truth.iterdir(), *predictions.iterdir()]:
        path.unlink()
    labels = np.zeros(SHAPE, np.uint8)
    labels[:4, :4], labels[:4, 4:8] = 1, 2
    save(truth / "a.png", labels)
    guess = labels.copy()
    guess[:2, :4] = 0
    save(predictions / "a.png", guess)
    with pytest.raises(UserError, match=r"truth/a\.png holds .*such as --labels 1") as error:
        run(folders)
    assert "--classes" not in str(error.value), "there is no such option"
    save(truth / "a.png", (labels > 0).astype(np.uint8))
    with pytest.raises(UserError, match=r"such as --labels 2 \(or --labels 1 2 for both\)"):
        run(folders)
    save(truth / "a.png", labels)
    metrics = run(folders, labels=(1, 2), output=truth.parent / "both")
    assert metrics["after"]["per-image"]["dice"] == pytest.approx(2 * 24 / (24 + 32))
    assert metrics["labels"]["1"]["dice"] == pytest.approx(2 * 8 / (8 + 16))
    assert metrics["labels"]["2"]["dice"] == 1
    said = capsys.readouterr().out
    assert (
        "all labels together, as one foreground. Each by itself:\nlabel 1: mean Dice 0.667" in said
    )
    assert "evaluating: 1/1" in said
    assert "evaluating label 1: 1/1" in said
    assert "evaluating label 2: 1/1" in said
    page = (truth.parent / "both" / "report.html").read_text()
    assert "Scores on 1 test image: all labels together, as one foreground" in page
    table = page[
        page.index('id="labels">') + 12 : page.index("</table>", page.index('id="labels"'))
    ]
    cells = " ".join(re.sub(r"<[^>]*>", " ", table).split())
    assert cells == "Label Images that show it mDice mIoU 1 1 0.667 0.500 2 1 1.000 1.000"
    assert page.index('id="labels"') < page.index("<dt>Protocol</dt>"), "near the top"
    assert "One image: no interval." in page
    assert "each image counts as independent" not in page
    assert "They hold what" not in page
    one = run(folders, labels=(1,), output=truth.parent / "one")
    assert one["after"]["per-image"]["dice"] == pytest.approx(2 * 8 / (8 + 16))
    save(truth / "a.png", (labels == 1).astype(np.uint8) * 255)
    mask = run(folders, labels=(1,), output=truth.parent / "mask")
    assert mask["after"]["per-image"]["dice"] == pytest.approx(2 * 8 / (8 + 16))


def test_files_that_are_no_predictions_are_named(folders: tuple[Path, Path], capsys: Any) -> None:
    for name in ("log.txt", "predict.json"):
        (folders[0] / name).touch()
    run(folders)
    assert "note: 1 file is left out (1 .txt): log.txt of --predictions" in capsys.readouterr().out


def test_truths_and_predictions_in_several_files_are_joined(tmp_path: Path) -> None:
    for folder in ("t", "p"):
        for name, x in (("a_mask", 0), ("a_mask_1", 8)):
            values = np.zeros(SHAPE, np.uint8)
            values[:4, x : x + 4] = 255
            save(tmp_path / folder / f"{name}.png", values)
    (tmp_path / "p" / "a_mask_1.png").rename(tmp_path / "p" / "a_mask_1.bmp.png")
    metrics = run((tmp_path / "p", tmp_path / "t"), output=tmp_path / "one")
    assert metrics["after"]["per-image"]["dice"] == pytest.approx(2 * 16 / (16 + 32))
    (tmp_path / "p" / "a_mask_1.bmp.png").rename(tmp_path / "p" / "a_mask_1.png")
    metrics = run((tmp_path / "p", tmp_path / "t"), output=tmp_path / "both")
    assert metrics["after"]["per-image"]["dice"] == 1
