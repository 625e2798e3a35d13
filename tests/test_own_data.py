"""From a folder of one's own to a result, without a data card; and runs that name nobody."""

import csv
import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.datasets import NewConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.select import SelectConfig
from gpsseg.config.shared import SourceConfig
from gpsseg.data.cards.own import card_of
from gpsseg.data.synthetic.scenes import polyp_case, synthesize
from gpsseg.datasets import new
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.runs.data import find_split
from gpsseg.runs.folder import read_config
from gpsseg.runs.members import load_networks
from gpsseg.select import select

UNET = "unet-efficientnet-lite0"
QUICK: dict[str, Any] = {
    "backbone": UNET, "image_size": 64, "epochs": 1, "workers": 0, "device": "cpu",
    "precision": "fp32", "decoder_top_k": 2,
}  # fmt: skip
NAMES = [f"Jane_Doe_{i}" for i in range(8)]


def read(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from the hospital: images/, truth/ with other names, and a table with patients."""
    root = tmp_path_factory.mktemp("hospital") / "Clinic"
    rows = ["image,mask,group"]
    for folder in ("images", "truth"):
        (root / folder).mkdir(parents=True)
    for i, name in enumerate(NAMES):
        image, mask = polyp_case(np.random.default_rng([5, i]), 64)
        Image.fromarray(image).save(root / "images" / f"{name}.jpg")
        Image.fromarray(mask).save(root / "truth" / f"{name}_mask.gif")
        rows.append(f"images/{name}.jpg,truth/{name}_mask.gif,Patient Doe {i // 2}")
    (root / "cases.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def run(clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "own"
    own = {"images": clinic / "images", "masks": clinic / "truth"}
    return finetune(FinetuneConfig(**own, output=output, **QUICK))


def test_two_folders_are_enough(run: Path) -> None:
    metrics, split = read(run, "metrics.json"), read(run, "split.json")
    assert (metrics["data"], metrics["dataset"]) == ("real", "Clinic")
    assert metrics["split"]["name"] == "seeded-80-20"
    assert sorted(split["train"] + split["val"] + split["test"]) == NAMES
    assert read(run, "config.json")["config"]["dataset"] == "dataset.yaml"
    assert (run / "dataset.yaml").is_file()


def test_the_run_can_be_evaluated_and_used_from_its_folder_alone(
    run: Path, clinic: Path, tmp_path: Path
) -> None:
    moved = run.rename(tmp_path / "moved")
    try:
        config = load_networks(moved).config
        assert config.dataset == str(moved / "dataset.yaml")
        output = tmp_path / "scores"
        metrics = evaluate(EvaluateConfig(run=moved, output=output, device="cpu"))
        assert metrics["trained_on"] == metrics["dataset"] == "Clinic"
        assert metrics["leaks"]["checked"]
        was = read(moved, "metrics.json")["after"]["per-image"]["dice"]
        assert metrics["after"]["per-image"]["dice"] == pytest.approx(was)
        images, masks = clinic / "images", tmp_path / "masks"
        assert len(predict(PredictConfig(run=moved, input=images, output=masks, device="cpu"))) == 8
    finally:
        moved.rename(run)


def test_own_images_are_called_after_the_folder_around_them_or_by_title(
    clinic: Path, tmp_path: Path, run: Path
) -> None:
    assert read(run, "metrics.json")["title"] == "Clinic"
    images, masks = clinic / "images", clinic / "truth"

    def title(**own: Any) -> str:
        return card_of(SourceConfig(**own)).title

    assert title(images=images, masks=masks) == "Clinic"
    assert title(images=images, masks=images) == "images", "one folder for both is the set"
    assert title(table=clinic / "cases.csv") == "Clinic"
    assert title(images=images, masks=masks, title="Ward 3") == "Ward 3"
    assert title(table=clinic / "cases.csv", title="Ward 3") == "Ward 3"
    card = tmp_path / "mine.yaml"
    new(NewConfig(images=images, masks=masks, title="Ward: 3", output=card))
    assert title(dataset=str(card)) == "Ward: 3"


def test_select_takes_a_table(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {k: v for k, v in QUICK.items() if k != "epochs"}
    select(SelectConfig(table=clinic / "cases.csv", selection_images=1, **settings))
    said = capsys.readouterr().out
    assert f"{clinic.name}: 4 train / 2 val / 2 test images" in said
    assert "would have selected" not in said


def test_that_images_which_are_not_drawn_are_not_read_is_said(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for size, said in ((2, True), (None, False)):
        config = FinetuneConfig(table=clinic / "cases.csv", train_size=size)
        find_split(card_of(config), config)
        assert ("only what --train-size 2 draws" in capsys.readouterr().out) == said


def test_a_stopped_run_on_a_table_is_resumed(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "run"
    config = FinetuneConfig(
        table=clinic / "cases.csv", output=output, anonymous_ids=True, **{**QUICK, "epochs": 2}
    )
    from gpsseg.engine import state as resume

    saved, keep = [], resume.save_state

    def stop_after_one(*arguments: Any) -> None:
        keep(*arguments)
        saved.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("gpsseg.engine.train.save_state", stop_after_one, raising=False)
    monkeypatch.setattr("gpsseg.engine.state.save_state", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        finetune(config)
    assert saved
    monkeypatch.undo()
    before = read(output, "split.json")
    assert finetune(FinetuneConfig(resume=output)) == output
    assert read(output, "split.json") == before
    assert len([line for line in (output / "log.jsonl").read_text().splitlines() if line]) >= 2


def everything_but_paths(folder: Path) -> str:
    """All text that a run leaves, without the two files that say where the data lie."""
    files = [f for f in folder.rglob("*") if f.is_file() and f.name not in
             ("config.json", "dataset.yaml", "salt.txt")]  # fmt: skip
    return "\n".join(f"{f.name}\n{f.read_bytes().decode('latin-1')}" for f in files)


def test_a_nameless_run_names_no_folder(
    nameless: Path, run: Path, clinic: Path, tmp_path: Path
) -> None:
    """Folders, too, are called after patients and hospitals; two files must say where they are."""
    outputs = [tmp_path / "run", tmp_path / "again", tmp_path / "masks"]
    evaluate(EvaluateConfig(run=nameless, output=outputs[0], device="cpu"))
    evaluate(EvaluateConfig(run=run, output=outputs[1], device="cpu", anonymous_ids=True))
    truth = {"predictions": clinic / "truth", "truth": clinic / "truth"}
    evaluate(EvaluateConfig(**truth, output=outputs[2], anonymous_ids=True))
    for folder in (nameless, *outputs):
        text = everything_but_paths(folder)
        for name in ("Clinic", clinic.parent.name, str(clinic), "truth</", "cases.csv"):
            assert name not in text, (folder, name)
    assert read(nameless, "metrics.json")["title"] == "own images"


@pytest.fixture(scope="module")
def nameless(clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "nameless"
    config = FinetuneConfig(table=clinic / "cases.csv", output=output, anonymous_ids=True, **QUICK)
    return finetune(config)


def test_a_nameless_run_names_nobody(nameless: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Doe" not in everything_but_paths(nameless)
    split = read(nameless, "split.json")
    ids = split["train"] + split["val"] + split["test"]
    assert len(set(ids)) == 8
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in ids)
    with (nameless / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == split["test"]
    assert len({row["group"] for row in rows}) == 1, "groups are hashed, and stay groups"
    assert stat.S_IMODE((nameless / "salt.txt").stat().st_mode) == 0o600


def test_a_nameless_run_is_evaluated_with_its_own_salt(nameless: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores"
    metrics = evaluate(EvaluateConfig(run=nameless, output=output, device="cpu"))
    assert "Doe" not in everything_but_paths(output)
    assert metrics["split"]["sha256"] == read(nameless, "split.json")["sha256"]
    assert metrics["leaks"]["checked"]
    salt = nameless / "salt.txt"
    kept = salt.read_text()
    salt.unlink()
    try:
        with pytest.raises(UserError, match=r"has no salt\.txt: its image names are hashed"):
            evaluate(EvaluateConfig(run=nameless, output=tmp_path / "x", device="cpu"))
    finally:
        salt.write_text(kept)


def test_another_run_has_other_hashes(nameless: Path, run: Path, tmp_path: Path) -> None:
    """Two runs' ids cannot be joined without their salts."""
    output = tmp_path / "scores"
    evaluate(EvaluateConfig(run=run, output=output, anonymous_ids=True, device="cpu"))
    assert "Doe" not in everything_but_paths(output)
    with (output / "per_image.csv").open() as file:
        ids = {row["id"] for row in csv.DictReader(file)}
    split = read(nameless, "split.json")
    assert not ids & {*split["train"], *split["val"], *split["test"]}


def test_predictions_are_scored_namelessly(clinic: Path, tmp_path: Path) -> None:
    masks, output = tmp_path / "masks", tmp_path / "scores"
    masks.mkdir()
    for i, name in enumerate(NAMES):
        mask = polyp_case(np.random.default_rng([5, i]), 64)[1]
        Image.fromarray(mask).save(masks / f"{name}_pred.png")
    Image.new("L", (4, 4)).save(masks / "John_Doe_extra.png")
    config = EvaluateConfig(
        predictions=masks, truth=clinic / "truth", output=output, anonymous_ids=True
    )
    metrics = evaluate(config)
    assert metrics["after"]["per-image"]["dice"] == 1
    assert metrics["extra_files"] == ["1 file"]
    assert "Doe" not in everything_but_paths(output)


def test_one_test_set_of_a_combination(tmp_path: Path, run: Path) -> None:
    """PraNet's sets are scored one by one, by the name of the split."""
    synthesize("pranet", tmp_path / "data", cases=20, size=64)
    for split, images in (("pranet-etis", 1), ("pranet-all", 5)):
        metrics = evaluate(
            EvaluateConfig(
                run=run,
                dataset="pranet",
                data_root=tmp_path / "data",
                split=split,
                output=tmp_path / split,
                device="cpu",
            )
        )
        assert (metrics["split"]["name"], metrics["images"]) == (split, images)


def test_a_test_set_is_not_trained_on(tmp_path: Path) -> None:
    synthesize("ph2", tmp_path, cases=8, size=64)
    config = FinetuneConfig(dataset="ph2", data_root=tmp_path, output=tmp_path / "run", **QUICK)
    with pytest.raises(UserError, match=r"external-test-200 of PH2 is a test set only\. To"):
        finetune(config)
    assert not (tmp_path / "run").exists()


def test_options_of_old_runs_are_read(run: Path, tmp_path: Path) -> None:
    """A config.json from before these options were there."""
    content = read(run, "config.json")
    for name in ("images", "masks", "table", "split", "classes", "anonymous_ids"):
        del content["config"][name]
    content["config"]["dataset"] = "kvasir"
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_config(tmp_path).classes == ()
