"""Folds: every image is tested once, and nothing of its group is seen before."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.folder import StudyFolder
from gpsseg.config.study import StudyConfig
from gpsseg.data.case import case_mask
from gpsseg.data.nameless import hashed_group
from gpsseg.errors import UserError
from gpsseg.files import write_rows
from gpsseg.study import study
from gpsseg.study.folds import deal_folds, find_images, group_of, kept_folds, write_folds
from gpsseg.veil import hashed


@pytest.mark.parametrize("groups", ["aabbbccdeffg", "aaaaabcdefgh", "abcdefghijk-"])
def test_every_image_is_in_one_fold_and_its_group_in_no_other(
    groups: str, tmp_path: Path, tools: SimpleNamespace
) -> None:
    settings = tools.config(tools.images(tmp_path / "in", groups), tmp_path / "s", folds=3)
    found = find_images(settings)
    assert found.written.name == "all images"
    folds = deal_folds(settings, found)
    tested = [case.id for parts in folds for case in parts["test"]]
    assert sorted(tested) == sorted(f"image {i}" for i in range(12))
    for parts in folds:
        test, train = ({group_of(case) for case in parts[part]} for part in ("test", "train"))
        assert not test & train
        assert len(parts["test"]) + len(parts["train"]) == 12
    sizes = sorted(len(parts["test"]) for parts in folds)
    assert (
        sizes == ([3, 4, 5] if groups.startswith("aaaaa") else [4, 4, 4])
        or sizes[-1] - sizes[0] < 2
    )


def test_another_seed_deals_other_folds_and_the_same_seed_the_same(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    table = tools.images(tmp_path / "in", "abcdefghijkl")

    def tested(seed: int) -> list[list[str]]:
        settings = tools.config(table, tmp_path / "s", folds=3, seed=seed)
        folds = deal_folds(settings, find_images(settings))
        return [[case.id for case in parts["test"]] for parts in folds]

    assert tested(1) == tested(1) != tested(2)


def test_the_folds_of_the_training_list_leave_the_test_images_aside(
    kvasir: Path, tmp_path: Path, tools: SimpleNamespace
) -> None:
    named = {"data_root": kvasir, "folds": 2, "val_share": 0.3}
    settings = dataclasses.replace(tools.config(None, tmp_path / "s", **named), folds_of="train")
    images = find_images(settings)
    listed = kvasir / "Kvasir-SEG" / "splits" / "val.txt"
    aside = set(listed.read_text().split())
    assert len(aside) == images.aside == 2
    assert not aside & {case.id for case in images.cases}
    everything = find_images(dataclasses.replace(settings, folds_of="all"))
    assert len(everything.cases) == 8
    assert everything.aside == 0
    assert everything.written.name == images.written.name, "its official lists, all dealt out"


@pytest.mark.parametrize(
    ("groups", "empty", "settings", "expected"),
    [
        ("aabb", "", {"folds": 3}, r"--folds 3 needs 3 groups at least, got 2 groups \(4 images\)"),
        ("----", "", {"folds": 5}, r"--folds 5 needs 5 images at least, got 4 images\. Ask"),
        ("aabbcc", "ab", {"folds": 3}, r"Fold 1 of 3: none of its 2 \w+ images shows a lesion"),
        ("aabb", "", {"folds": 2}, r"Fold 1 of 2: .* no image left in the train part"),
        ("abcdef", "", {"folds": 3, "train_size": 4}, r"Fold 1 of 3: --train-size 4 is out"),
        ("abcdef", "abcdef", {"folds": 3}, "Fold 1 of 3: none of its 2 test"),
    ],
)  # fmt: skip
def test_folds_that_cannot_be_are_refused_before_anything_is_written(
    groups: str,
    empty: str,
    settings: dict[str, int],
    expected: str,
    tmp_path: Path,
    tools: SimpleNamespace,
    never: None,
) -> None:
    table = tools.images(tmp_path / "in", groups, empty)
    with pytest.raises(UserError, match=expected):
        study(tools.config(table, tmp_path / "s", **settings))
    assert not (tmp_path / "s").exists()


def test_other_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, tools: SimpleNamespace, never: None
) -> None:
    table = tools.images(tmp_path / "in", "abcdef")
    with pytest.raises(UserError, match="--folds must be at least 2, got 1"):
        tools.config(table, tmp_path / "s", folds=1)
    with pytest.raises(UserError, match=r"--resume .* is for one run\. A study goes on"):
        tools.config(table, tmp_path / "s", resume=tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(UserError, match="full already exists and is no study"):
        study(tools.config(table, tmp_path / "full"))
    lists = {"train": [f"image {i}" for i in range(5)], "test": ["image 5", "image 0"]}
    (tmp_path / "twice.json").write_text(json.dumps(lists))
    with pytest.raises(UserError, match=r"names image 0 twice"):
        study(tools.config(table, tmp_path / "s", split=str(tmp_path / "twice.json")))
    only = re.sub(r"png,\w,", "png,test,", table.read_text()).replace("group", "split")
    (table.parent / "only.csv").write_text(only)
    with pytest.raises(UserError, match="has test cases only"):
        study(tools.config(table.parent / "only.csv", tmp_path / "s"))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"by": ("ag",)}, r"--by ag: these images have no such column\. Did you mean 'age'"),
        ({"tracker": "mlflow"}, "--tracker mlflow needs a package"),
        ({"strict": True}, "^Fold [12] of 2: LEAK: 1 of 3 test images is also among the training"),
    ],
)
def test_what_each_fold_would_refuse_is_refused_before_anything_is_written(
    settings: dict[str, Any],
    expected: str,
    tmp_path: Path,
    tools: SimpleNamespace,
    never: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder of a slip would be locked by it. Image 0 and 3, of two folds, are one picture."""
    monkeypatch.setattr("gpsseg.config.finetune.find_spec", lambda name: None)
    table = tools.images(tmp_path / "in", "abcdef")
    asked = tools.config(table, tmp_path / "s", folds=2)
    folds = deal_folds(asked, find_images(asked))
    one, other = (parts["test"][0].image for parts in folds)
    other.write_bytes(one.read_bytes())
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},age", *(f"{x},{i}" for i, x in enumerate(lines[1:]))]))
    with pytest.raises(UserError, match=expected):
        study(dataclasses.replace(asked, **settings))
    assert not (tmp_path / "s").exists()


def test_folds_that_were_tampered_with_are_refused(tmp_path: Path, tools: SimpleNamespace) -> None:

    settings = tools.config(tools.images(tmp_path / "in", "aabbccdd"), tmp_path / "s", folds=2)
    images = find_images(settings)
    folds = deal_folds(settings, images)
    (tmp_path / "s").mkdir()
    write_folds(settings, images, folds, None)
    assert kept_folds(settings, images, None) == folds
    file = StudyFolder(settings.output).split_of(1)
    content = json.loads(file.read_text())
    moved = content["test"].pop()
    content["train"].append(moved)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="no longer holds the folds of this study"):
        kept_folds(settings, images, None)
    file.unlink()
    assert kept_folds(settings, images, None) is None


def test_groups_that_changed_are_named_and_may_not_join_folds(
    tmp_path: Path, tools: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tools.images(tmp_path / "in", "aabbccdd")
    settings = tools.config(table, tmp_path / "s", folds=2)
    folds = deal_folds(settings, find_images(settings))
    write_folds(settings, find_images(settings), folds, None)
    tested = [case.id for case in folds[0]["test"]]
    tools.finished(tmp_path / "s", 1, dict.fromkeys(tested, 0.5))
    rows = [{"id": case.id, "group": case.group} for case in folds[0]["test"]]
    write_rows(StudyFolder(settings.output).run_of(1).per_image, rows)
    assert kept_folds(settings, find_images(settings), None) == folds
    assert "another group" not in capsys.readouterr().out
    group = folds[0]["test"][0].group
    table.write_text(table.read_text().replace(f"png,{group},", "png,new,", 1))
    assert kept_folds(settings, find_images(settings), None)
    said = f"1 image now has another group than when the fold was tested: {tested[0]}."
    assert said in capsys.readouterr().out
    other = folds[1]["test"][0].group
    table.write_text(table.read_text().replace(f"png,{other},", "png,new,"))
    with pytest.raises(UserError, match=r"saw nothing of its group\. Put back the .* groups"):
        kept_folds(settings, find_images(settings), None)


def test_a_fold_that_was_scored_on_other_masks_is_refused(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    """Also where a mask can no longer be read; one of a fold without scores may change."""
    table = tools.images(tmp_path / "in", "abcdefgh")
    settings = tools.config(table, tmp_path / "s", folds=2)
    folds, salt = deal_folds(settings, find_images(settings)), "5" * 64
    images = find_images(dataclasses.replace(settings, anonymous_ids=True), salt)
    write_folds(settings, images, folds, salt)
    case, kept = folds[0]["test"][:2]
    tools.finished(tmp_path / "s", 1, {"x": 0.5})
    rows = [
        {"id": hashed(one.id, salt), "group": hashed_group(str(one.group), salt), "pixels": 24 * 24,
         "truth_pixels": int(case_mask(one).sum())} for one in folds[0]["test"]
    ]  # fmt: skip
    write_rows(StudyFolder(settings.output).run_of(1).per_image, rows)
    (folds[1]["test"][0].mask or tmp_path).write_bytes((case.mask or tmp_path).read_bytes())
    assert kept_folds(settings, images, salt)
    said = f"fold-1 was scored on other masks of 1 image than .*: {hashed(case.id, salt)}.* Put"
    mask = np.zeros((24, 24), np.uint8)
    for changed in (mask, np.pad(case_mask(case), 1).astype(np.uint8) * 255):
        Image.fromarray(changed).save(case.mask or tmp_path)
        with pytest.raises(UserError, match=said):
            kept_folds(settings, images, salt)
    (kept.mask or tmp_path).write_bytes(b"none")
    with pytest.raises(UserError, match="of 2 images than"):
        kept_folds(settings, images, salt)
    StudyFolder(settings.output).run_of(1).metrics.unlink()
    assert kept_folds(settings, images, salt), "its run goes on, and scores again"


def test_a_nameless_study_calls_its_images_as_a_nameless_run_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However short the folder's name is, of which the veil hides only what can be told apart."""
    for folder in ("w/i", "w/m"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 255).save(tmp_path / folder / f"{number}.png")
    config = StudyConfig(
        images=tmp_path / "w" / "i", masks=tmp_path / "w" / "m", output=tmp_path / "s",
        anonymous_ids=True,
    )  # fmt: skip
    find_images(config, "0" * 64)
    assert capsys.readouterr().out.startswith("own images: 4 images")
    find_images(dataclasses.replace(config, anonymous_ids=False))
    assert capsys.readouterr().out.startswith("w: 4 images")
