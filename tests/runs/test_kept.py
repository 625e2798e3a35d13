"""A run keeps the split in its split.json, whatever rule would split its images today."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.anonymous import hashed, load_salt
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.split import make_split
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.files import write_json
from gpsseg.finetune import finetune
from gpsseg.runs.folder import read_config
from gpsseg.runs.leaks import training_cases


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Patients with 4, 2, 6 and 2 images: 20 % of the groups are one of them, of the images 2.8."""
    folder = tmp_path_factory.mktemp("own")
    rows, rng = ["image,mask,group"], np.random.default_rng(0)
    for patient, count in enumerate((4, 2, 6, 2)):
        for i in range(count):
            name = f"{patient}{i}"
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(
                folder / f"{name}.png"
            )
            mask = np.zeros((32, 32), np.uint8)
            mask[8:24, 8:24] = 255
            Image.fromarray(mask).save(folder / f"{name}_mask.png")
            rows.append(f"{name}.png,{name}_mask.png,patient {patient}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def made_by_version_01(table, output, **options):
    """A run whose split is of groups, though its settings name no split."""
    config = FinetuneConfig(
        table=table,
        split="seeded-80-20-by-groups",
        backbone="unet-efficientnet-lite0",
        image_size=32,
        epochs=2,
        batch_size=4,
        selection_images=1,
        cache="off",
        device="cpu",
        output=output,
        **options,
    )
    run = finetune(config)
    content = read(run / "config.json")
    content["config"]["split"] = None
    (run / "config.json").write_text(json.dumps(content))
    return run


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    return made_by_version_01(table, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def today(run):
    config = read_config(run)
    return make_split(card_of(config), config.data_root)


def scored(folder):
    with (folder / "per_image.csv").open(encoding="utf-8") as file:
        return sorted(row["id"] for row in csv.DictReader(file))


def test_the_rule_of_today_would_split_otherwise(run):
    assert today(run).sha256 != read(run / "split.json")["sha256"]
    assert today(run).name == "seeded-80-20-by-images"
    assert read(run / "split.json")["name"] == "seeded-80-20"


def test_evaluate_and_the_leak_check_use_the_runs_own_ids(run, tmp_path):
    listed = read(run / "split.json")
    metrics = evaluate(EvaluateConfig(run=run, output=tmp_path / "out", device="cpu"))
    assert scored(tmp_path / "out") == sorted(listed["test"])
    assert metrics["split"] == {"name": listed["name"], "sha256": listed["sha256"]}
    assert metrics["leaks"]["checked"]
    seen = [case.id for case in training_cases(run, read_config(run))]
    assert seen == listed["train"] + listed["val"]


def test_a_stopped_run_goes_on_with_its_own_ids(copy):
    listed = read(copy / "split.json")
    for name in ("metrics.json", "per_image.csv", "report.html"):
        (copy / name).unlink()
    finetune(FinetuneConfig(resume=copy))
    assert scored(copy) == sorted(listed["test"])
    assert read(copy / "metrics.json")["split"]["sha256"] == listed["sha256"]


def test_hashed_ids_are_told_by_the_salt(table, tmp_path):
    run = made_by_version_01(table, tmp_path / "run", anonymous_ids=True)
    listed, salt = read(run / "split.json"), load_salt(run)
    evaluate(EvaluateConfig(run=run, output=tmp_path / "out", device="cpu"))
    assert scored(tmp_path / "out") == sorted(listed["test"])
    plain = {case.id for part in ("train", "val", "test") for case in getattr(today(run), part)}
    assert set(listed["test"]) < {hashed(name, salt) for name in plain}
    assert len(training_cases(run, read_config(run))) == len(listed["train"] + listed["val"])


def test_hashing_on_request_hides_the_training_images_too(copy, tmp_path):
    metrics = evaluate(
        EvaluateConfig(run=copy, output=tmp_path / "out", device="cpu", anonymous_ids=True)
    )
    test = read(copy / "split.json")["test"]
    assert scored(tmp_path / "out") == sorted(hashed(name, load_salt(copy)) for name in test)
    assert metrics["leaks"]["checked"]


def test_images_that_came_later_change_nothing_and_lost_ones_are_named(table, run, tmp_path):
    """Under another root, where the set was moved and changed."""
    moved = shutil.copytree(table.parent, tmp_path / "moved")
    listed = read(run / "split.json")
    lines = (moved / "cases.csv").read_text().splitlines()
    shutil.copy(moved / "00.png", moved / "new.png")
    (moved / "cases.csv").write_text("\n".join([*lines, "new.png,00_mask.png,patient 9"]) + "\n")
    config = EvaluateConfig(run=run, data_root=moved, output=tmp_path / "out", device="cpu")
    evaluate(config)
    assert scored(tmp_path / "out") == sorted(listed["test"])

    gone = listed["test"][0]
    kept = [line for line in lines if not line.startswith(f"{gone}.png")]
    (moved / "cases.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(UserError, match=rf"names 1 image that the set does not have: {gone}\."):
        evaluate(dataclasses.replace(config, output=tmp_path / "other"))


def test_the_same_set_elsewhere_with_other_images_is_another_set(run, table, tmp_path):
    other = shutil.copytree(table.parent, tmp_path / "other")
    text = (other / "cases.csv").read_text().replace("image,mask,group", "image,mask,group,id")
    head, *rows = text.splitlines()
    rows = [f"{row},other {i}" for i, row in enumerate(rows)]
    (other / "cases.csv").write_text("\n".join([head, *rows]) + "\n")
    config = EvaluateConfig(run=run, data_root=other, output=tmp_path / "out", device="cpu")
    assert evaluate(config)["split"]["name"] == "seeded-80-20-by-images"


def test_a_split_json_that_was_altered_is_refused(tmp_path):
    """Training and test swapped by hand: the scores would be those of the training images."""
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.synthetic.scenes import synthesize
    from gpsseg.runs.kept import kept_split

    synthesize("kvasir", tmp_path / "data", cases=12, seed=3, size=48)
    card = load_card("kvasir")
    split = make_split(card, tmp_path / "data")
    content = {"name": split.name, "sha256": split.sha256, **split.ids}
    write_json(tmp_path / "split.json", content)
    assert kept_split(tmp_path, card, tmp_path / "data").ids == split.ids
    swapped = {**content, "train": content["test"], "test": content["train"]}
    write_json(tmp_path / "split.json", swapped)
    with pytest.raises(UserError, match="was changed since the run wrote it"):
        kept_split(tmp_path, card, tmp_path / "data")
