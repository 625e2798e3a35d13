"""What slices were cut with, a run that is trained on them repeats: window, axis, greys."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

import gpsseg.predict.segmenter
from gpsseg.config.datasets import NewConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.formats.greys import Greys
from gpsseg.data.loader import CaseDataset
from gpsseg.data.splits.split import Split
from gpsseg.datasets import new
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.runs.greys import check_split, found_cuts, greys_of, say_other_cut
from gpsseg.slices import cut

WINDOW = (40.0, 400.0)
SIDE = 32
TINY: dict[str, Any] = {
    **{"backbone": "unet-efficientnet-lite0", "image_size": SIDE, "epochs": 1, "batch_size": 2},
    **{"selection_images": 1, "train_size": 4, "cache": "off", "device": "cpu", "val_share": 0.3},
}


def volumes(folder: Path, names: str = "abcd") -> Path:
    """CT volumes with air, tissue and bone, and where the tissue is bright."""
    dice = np.random.default_rng(0)
    for kind in ("ct", "seg"):
        (folder / kind).mkdir(parents=True)
    for name in names:
        values = dice.integers(-150, 250, (12, 10, 8)).astype(np.int16)
        values[0], values[-1] = -1000, 1500
        for kind, stored in (("ct", values), ("seg", (values > 100).astype(np.uint8))):
            nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), folder / kind / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of volumes and their slices, and a run that is trained on these."""
    folder = volumes(tmp_path_factory.mktemp("window"))
    options = {"images": folder / "ct", "masks": folder / "seg", "output": folder / "cut"}
    table = cut(SlicesConfig(**options, window=WINDOW, axis="coronal"))
    return folder, finetune(FinetuneConfig(table=table, output=folder / "run", **TINY))


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What the network of `predict` is shown, picture by picture."""
    seen, original = [], gpsseg.predict.segmenter.prepare_picture

    def spy(*given: Any) -> dict[str, Any]:
        found = original(*given)
        seen.append(found["image"].numpy())
        return found

    monkeypatch.setattr(gpsseg.predict.segmenter, "prepare_picture", spy)
    return seen


def predicted(run: Path, volume: Path, output: Path, seen: list[np.ndarray], **options: Any) -> Any:
    seen.clear()
    predict(PredictConfig(run=run, input=(volume,), output=output, device="cpu", **options))
    return np.stack(sorted(seen, key=lambda image: image.tobytes()))


def test_predict_shows_volumes_as_the_run_was_trained(
    made: tuple[Path, Path],
    tmp_path: Path,
    inputs: list[np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, run = made
    volume = folder / "ct" / "a.nii.gz"
    by_itself = predicted(run, volume, tmp_path / "1", inputs)
    said = " ".join(capsys.readouterr().out.split())
    assert "As in this run's training: window 40 400, axis coronal." in said
    again = predicted(run, volume, tmp_path / "2", inputs, window=WINDOW, axis="coronal")
    assert "As in this run" not in capsys.readouterr().out
    np.testing.assert_array_equal(by_itself, again)
    kept = [json.loads((tmp_path / n / "predict.json").read_text()) for n in "12"]
    assert kept[0] == kept[1]
    cases = [case for case in table_cases(folder / "cut" / "cases.csv")["all"] if case.group == "a"]
    dataset = CaseDataset(cases, load_card("kvasir"), SIDE)
    trained = [dataset[index]["image"].numpy() for index in range(len(dataset))]
    np.testing.assert_array_equal(
        by_itself, np.stack(sorted(trained, key=lambda image: image.tobytes()))
    )


def test_what_is_named_wins_and_is_said(
    made: tuple[Path, Path],
    tmp_path: Path,
    inputs: list[np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, run = made
    volume = folder / "ct" / "a.nii.gz"
    other = predicted(run, volume, tmp_path / "1", inputs, window=(0, 100), axis="auto")
    said = " ".join(capsys.readouterr().out.split())
    assert "--window 0 100 is taken, though this run was trained on slices of window 40 400" in said
    assert "--axis auto is taken" in said
    assert len(other) == 8
    assert set(np.unique(other)) > {0, 1}
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png")
    predicted(run, tmp_path / "a.png", tmp_path / "2", inputs)
    assert "window" not in capsys.readouterr().out, "pictures have none"
    assert json.loads((tmp_path / "2" / "predict.json").read_text())["window"] is None


def test_every_way_to_name_the_slices_carries_the_window(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, run = made
    rule = Greys(window=WINDOW, axis="coronal")
    assert greys_of(run) == rule
    table = folder / "cut" / "cases.csv"
    assert "slices.json" not in table.read_text()
    card = new(NewConfig(table=table, output=tmp_path / "mine.yaml"))
    anonymous = {"anonymous_ids": True, "output": tmp_path / "run"}
    assert greys_of(finetune(FinetuneConfig(dataset=str(card), **anonymous, **TINY))) == rule
    moved = tmp_path / "elsewhere.csv"
    moved.write_text(table.read_text().replace("images/", f"{table.parent}/images/"))
    moved.write_text(moved.read_text().replace("masks/", f"{table.parent}/masks/"))
    assert found_cuts(table_cases(moved)["all"]) == {rule}


def test_slices_of_several_cuts_have_no_window_in_common(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = made
    options = {"images": folder / "ct", "masks": folder / "seg", "output": tmp_path / "cut"}
    table = cut(SlicesConfig(**options, window=(0, 100)))
    both = [*table_cases(table)["all"], *table_cases(folder / "cut" / "cases.csv")["all"]]
    check_split(Split("s", "real", tmp_path, tuple(both), (), ()))
    assert "in several ways" in " ".join(capsys.readouterr().out.split())
    say_other_cut(Greys(window=WINDOW), table_cases(table)["all"])
    said = " ".join(capsys.readouterr().out.split())
    assert "were cut by window 0 100, those of the run's training by window 40 400" in said
    kept = tmp_path / "cut" / "slices.json"
    kept.write_text('{"window": [1]}')
    assert found_cuts(table_cases(table)["all"]) == {None}, "it is of somebody else"
    kept.write_text('{"made_by": "gpsseg.slices", "window": [1]}')
    with pytest.raises(UserError, match=r"slices\.json says of the greys"):
        found_cuts(table_cases(table)["all"])


def test_ct_without_a_word_is_cut_by_one_window(
    maker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the one that most series ask for; the same Hounsfield units are the same grey in all."""
    dice = np.random.default_rng(0)
    values = dice.integers(-200, 300, (3, 8, 8)).astype(np.int16)
    asked = {"a": (40, 401), "b": (40, 401), "c": (-600, 1501), "d": None}
    for name, window in asked.items():
        tags = dict(zip(("WindowCenter", "WindowWidth"), window or (), strict=False))
        maker.write_series(tmp_path / "ct" / name, values, **tags)
        maker.write_series(tmp_path / "seg" / name, (values > 0).astype(np.int16), kind=maker.MR)
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg"}
    table = cut(SlicesConfig(**options, output=tmp_path / "cut"))
    assert "by one window, 40 401, as most" in capsys.readouterr().out
    (rule,) = found_cuts(table_cases(table)["all"])
    assert rule == Greys(window=(40, 401))
    for index in range(3):
        pictures = [
            np.asarray(Image.open(table.parent / f"images/{n}_{index:04d}.png")) for n in asked
        ]
        assert all((picture == pictures[0]).all() for picture in pictures)
        expected = np.rint(((values[index] + 160.5) / 401).clip(0, 1) * 255)
        np.testing.assert_array_equal(pictures[0][..., 0], expected)


def test_ct_without_any_window_is_cut_by_the_percentiles_of_all(
    maker: ModuleType, tmp_path: Path
) -> None:
    for name, low in (("a", -1000), ("b", 0)):
        values = (np.linspace(0, 500, 192).reshape(3, 8, 8) + low).astype(np.int16)
        maker.write_series(tmp_path / "ct" / name, values)
        maker.write_series(tmp_path / "seg" / name, (values > 0).astype(np.int16), kind=maker.MR)
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg"}
    table = cut(SlicesConfig(**options, output=tmp_path / "cut"))
    (rule,) = found_cuts(table_cases(table)["all"])
    assert rule
    assert rule.window
    centre, width = rule.window
    assert centre - width / 2 == pytest.approx(-1000, abs=10)
    assert centre + width / 2 == pytest.approx(500, abs=10)
    top = [np.asarray(Image.open(table.parent / f"images/{n}_0002.png")).max() for n in "ab"]
    assert top[0] < 100
    assert top[1] > 250


def deep(folder: Path, tops: dict[str, int]) -> dict[str, Path]:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name, top in tops.items():
        values = np.linspace(0, top, SIDE)[None].repeat(SIDE, 0)
        Image.fromarray(values.astype(np.uint16)).save(folder / "images" / f"{name}.png")
        Image.fromarray(values > top / 2).save(folder / "masks" / f"{name}.png")
    return {"images": folder / "images", "masks": folder / "masks"}


def test_a_run_repeats_the_range_of_its_deep_images(
    tmp_path: Path, inputs: list[np.ndarray]
) -> None:
    """Also on an image that by itself would be taken for another depth; old runs do as ever."""
    source = deep(tmp_path / "set", {f"p{number}": 3000 + number for number in range(8)})
    run = finetune(FinetuneConfig(**source, output=tmp_path / "run", **TINY))
    assert greys_of(run) == Greys(whole=(0, 4095))
    dark = deep(tmp_path / "dark", {"x": 900})["images"] / "x.png"
    ramp = np.linspace(0, 900, SIDE).astype(np.uint16)
    seen = predicted(run, dark, tmp_path / "1", inputs)
    np.testing.assert_array_equal(np.rint(seen[0, 0, 0] * 255), np.rint(ramp / 4095 * 255))
    metrics = evaluate(EvaluateConfig(run=run, device="cpu", output=tmp_path / "again"))
    before = json.loads((run / "metrics.json").read_text())["after"]["per-image"]["dice"]
    assert metrics["after"]["per-image"]["dice"] == pytest.approx(before, abs=1e-6)
    bright = deep(tmp_path / "bright", {"y": 5000})["images"] / "y.png"
    ramp = np.linspace(0, 5000, SIDE).astype(np.uint16)
    seen = predicted(run, bright, tmp_path / "bright-1", inputs)
    expected = np.rint((ramp / 4095).clip(0, 1) * 255)
    np.testing.assert_array_equal(np.rint(seen[0, 0, 0] * 255), expected)
    config = run / "config.json"
    content = json.loads(config.read_text())
    del content["resolved"]["greys"]
    config.write_text(json.dumps(content))
    seen = predicted(run, bright, tmp_path / "2", inputs)
    np.testing.assert_array_equal(np.rint(seen[0, 0, 0] * 255), (ramp * (255.0 / 65535)).round())
    content["resolved"]["greys"] = {"whole": [0]}
    config.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"config\.json says of the greys"):
        predicted(run, dark, tmp_path / "3", inputs)
