"""nnU-Net's raw layout, by its dataset.json and by its folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.shared import SourceConfig
from gpsseg.data.cards.nnunet import further_channels, nnunet_classes
from gpsseg.data.cards.own import card_of, folder_card
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.case import case_mask
from gpsseg.data.splits.leftovers import file_notes, notes_of
from gpsseg.data.splits.split import find_cases
from gpsseg.errors import UserError

LABELS = {"background": 0, "polyp": 1}


def raw(root: Path, channels: int = 1, cases: int = 3, part: str = "Tr") -> Path:
    for name in (f"images{part}", f"labels{part}"):
        (root / name).mkdir(parents=True)
    for k in range(cases):
        mask = np.zeros((6, 8), np.uint8)
        mask[1:3, 2:4] = 1
        Image.fromarray(mask).save(root / f"labels{part}" / f"case_{k:03d}.png")
        for c in range(channels):
            pixels = np.full((6, 8, 3), 50 * c, np.uint8)
            Image.fromarray(pixels).save(root / f"images{part}" / f"case_{k:03d}_{c:04d}.png")
    return root


def dataset(root: Path, **more: Any) -> Path:
    facts = {"channel_names": {"0": "RGB"}, "labels": LABELS, "numTraining": 3, **more}
    (root / "dataset.json").write_text(json.dumps({"file_ending": ".png", **facts}))
    return root / "dataset.json"


def test_the_dataset_json_of_version_2(tmp_path: Path) -> None:
    (found,) = table_cases(dataset(raw(tmp_path))).values()
    assert [case.id for case in found] == ["case_000", "case_001", "case_002"]
    assert found[0].image == tmp_path / "imagesTr" / "case_000_0000.png"
    assert case_mask(found[0]).sum() == 4
    assert card_of(SourceConfig(table=tmp_path / "dataset.json")).classes == {}


def test_test_images_with_masks_are_the_test_part(tmp_path: Path) -> None:
    raw(tmp_path, part="Ts", cases=2)
    parts = table_cases(dataset(raw(tmp_path)))
    assert {part: len(cases) for part, cases in parts.items()} == {"train": 3, "test": 2}
    assert [case.id for case in parts["test"]] == ["test/case_000", "test/case_001"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ({"background": 0, "a": 1, "b": 2}, {"a": 1, "b": 2}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {"label 1": 1, "label 2": 2}),
        ({"background": 0, "a": 1}, {}),
        ({"background": 0, "a": 1, "ignore": 2}, {"a": 1}),
        ({"background": 0, "whole": [1, 2], "a": 1, "ignore": 3}, {"a": 1, "label 2": 2}),
    ],
)
def test_its_labels_are_the_classes(tmp_path: Path, labels: Any, classes: dict[str, int]) -> None:
    table = dataset(raw(tmp_path), labels=labels)
    assert card_of(SourceConfig(table=table)).classes == classes


def test_a_region_of_no_values_is_refused(tmp_path: Path) -> None:
    for odd in ([[1]], [{"a": 1}], ["1"]):
        with pytest.raises(UserError, match=r"dataset\.json: the label x is .* expected a whole"):
            card_of(SourceConfig(table=dataset(raw(tmp_path / str(odd)[2:4]), labels={"x": odd})))


def test_regions_and_what_is_ignored_are_said_and_refused(tmp_path: Path) -> None:
    labels = {"background": 0, "polyp": 1, "whole": [1, 2], "ignore": 3}
    card = card_of(SourceConfig(table=dataset(raw(tmp_path), labels=labels)))
    regions, ignored = file_notes(card, None)
    assert "taken apart into their values: whole (1, 2). --classes" in regions
    assert "label `ignore` (3) is no class, and every pixel is scored: masks that hold" in ignored
    found = find_cases(card, None).cases
    assert int(case_mask(found[0]).sum()) == 4
    Image.fromarray(np.full((6, 8), 3, np.uint8)).save(tmp_path / "labelsTr" / "case_000.png")
    with pytest.raises(UserError, match=r"case_000\.png holds the value 3, expected 0 or a class"):
        case_mask(found[0])


def test_what_a_table_leaves_out_is_counted(tmp_path: Path) -> None:
    named = {
        f"c{k}": {"images": [f"imagesTr/case_00{k}_0000.png"], "label": f"labelsTr/case_00{k}.png"}
        for k in range(2)
    }
    raw(tmp_path, channels=2, cases=5)
    table = dataset(tmp_path, dataset=named, numTraining=9)
    (tmp_path / "labelsTr" / "case_004.png").unlink()
    notes = file_notes(card_of(SourceConfig(table=table)), None)
    assert notes[:3] == [
        "note: 1 image in imagesTr has no mask in labelsTr, left out: case_004",
        "note: 2 images in imagesTr have no entry in dataset.json, left out: case_002, case_003",
        "note: dataset.json says numTraining 9, 2 are used",
    ]
    assert "case_0" not in " ".join(file_notes(card_of(SourceConfig(table=table)), None, True))


@pytest.mark.parametrize("ending", [".jp2", ".png"])
def test_channels_of_files_whose_ending_has_a_digit(tmp_path: Path, ending: str) -> None:
    names = [f"a_{channel}{ending}" for channel in ("0000", "0001", "0002")]
    for name in (*names, f"b_0001{ending}"):
        (tmp_path / name).touch()
    assert further_channels([tmp_path / names[0]]) == {tmp_path / name for name in names[1:]}
    assert further_channels([tmp_path / name for name in names[1:]]) == set(), "no first one"


def test_the_files_may_be_named_and_version_1_lists_no_channel(tmp_path: Path) -> None:
    named = {"c": {"images": ["imagesTr/case_001_0000.png"], "label": "labelsTr/case_001.png"}}
    (found,) = table_cases(dataset(raw(tmp_path), dataset=named)).values()
    assert [case.id for case in found] == ["c"]
    listed = [{"image": "./imagesTr/case_002.png", "label": "./labelsTr/case_002.png"}]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": listed}))
    (found,) = table_cases(tmp_path / "dataset.json").values()
    assert found[0].image.name == "case_002_0000.png"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    table = dataset(raw(tmp_path))
    (tmp_path / "imagesTr" / "case_001_0000.png").unlink()
    with pytest.raises(UserError, match=r"is nnU-Net's, and case_001\.png has no image: expected"):
        table_cases(table)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"is nnU-Net's, and there is no mask beside it"):
        table_cases(dataset(tmp_path / "empty"))


@pytest.mark.parametrize("by_table", [True, False])
def test_of_several_channels_the_first_is_used_and_the_others_are_named(
    tmp_path: Path, by_table: bool
) -> None:
    table = dataset(raw(tmp_path, channels=3))
    folders = folder_card(tmp_path / "imagesTr", tmp_path / "labelsTr")
    found = find_cases(card_of(SourceConfig(table=table)) if by_table else folders, None)
    assert [case.id for case in found.cases] == ["case_000", "case_001", "case_002"]
    assert {case.image.name[-9:] for case in found.cases} == {"_0000.png"}
    assert found.lone_masks == ()
    (note,) = notes_of(found)
    assert note.startswith("note: nnU-Net's channel 0000 of each image is used, 6 files of further")


def test_frames_with_masks_of_their_own_are_no_channels(tmp_path: Path) -> None:
    raw(tmp_path)
    for path in (tmp_path / "labelsTr").iterdir():
        path.rename(path.with_name(f"{path.stem}_0000_mask.png"))
    found = find_cases(folder_card(tmp_path / "imagesTr", tmp_path / "labelsTr"), None)
    assert found.cases[0].id == "case_000_0000"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2], r"labels is \[1, 2\], expected names"),
        ({"background": 0, "a": True}, "the label a is True, expected a whole number from 0"),
        ({"background": 0, "a": 2.0}, "the label a is 2.0"),
        ({"background": 0, "a": -2}, "the label a is -2"),
        ({"background": 0, "a": 10**30}, "the label a is 1000"),
        ({"background": 0, "a": [1, "x"]}, r"the label a is \[1, 'x'\]"),
        ({"background": 1, "a": 0, "b": 2}, "background is 1, expected 0, which nnU-Net demands"),
    ],
)
def test_labels_that_are_no_values_are_named(labels: Any, message: str) -> None:
    content = {"channel_names": {"0": "x"}, "labels": labels, "file_ending": ".png"}
    with pytest.raises(UserError, match=rf"dataset\.json: {message}"):
        nnunet_classes(content)
