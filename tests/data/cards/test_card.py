"""What a card may hold, and what is said of one that is wrong."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from gpsseg.data.cards.card import Card, build_transform, card_names, load_card
from gpsseg.data.formats.filenames import matching
from gpsseg.data.loader import CaseDataset
from gpsseg.data.splits.split import make_split
from gpsseg.errors import UserError
from gpsseg.files import bundled

SIDE = 64
KVASIR = load_card("kvasir")


def with_steps(*steps: Any) -> Card:
    return dataclasses.replace(KVASIR, transforms={"load": list(steps)})


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "gpsseg.files.os.system",
        "gpsseg.files.write_text",
        "gpsseg.data.transforms.os.getcwd",
        "monai.transforms.utils.np.save",
        "monai.transforms.io.array.LoadImage",
        "monai.transforms.LoadImage",  # its reader= may name any function
        "monai.transforms.SaveImaged",
        "monai.transforms_evil.Thing",
        "albumentations.core.utils.os.system",
        ["os.system"],
    ],
)
def test_foreign_targets_are_refused_unbuilt(target: Any) -> None:
    for step in (
        {"_target_": target},
        {"_target_": "monai.transforms.Identityd", "keys": [{"_target_": target}]},
    ):
        with pytest.raises(UserError, match=r"Data card kvasir: the transform .* is not allowed"):
            build_transform(with_steps(step), "load", SIDE)


@pytest.mark.parametrize("value", ["$print(1)", "$import os", "%other.yaml::steps"])
def test_expressions_are_refused(value: str) -> None:
    for step in (
        {"_target_": "monai.transforms.Identityd", "keys": value},
        {"_target_": "monai.transforms.Identityd", "keys": [value]},
        {"_target_": "monai.transforms.Identityd", "_disabled_": value},
        value,
    ):
        with pytest.raises(UserError, match="is a Python expression or a macro"):
            build_transform(with_steps(step), "load", SIDE)


def test_a_misspelt_transform_or_argument_is_named() -> None:
    with pytest.raises(UserError, match=r"Flipdd is not allowed\. Did you mean '.*Flipd'\?"):
        build_transform(with_steps({"_target_": "monai.transforms.Flipdd"}), "load", SIDE)
    step = {"_target_": "monai.transforms.Identityd", "keys": "image", "prob": 1}
    with pytest.raises(UserError, match=r"Identityd.*unexpected keyword argument 'prob'"):
        build_transform(with_steps(step), "load", SIDE)


def test_no_module_is_searched_for_transforms_that_are_named_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MONAI would look through all of its own, once a transform: a third of a short run's time."""
    searched: list[str] = []
    monkeypatch.setattr("monai.bundle.config_item.import_module", searched.append)
    assert len(build_transform(KVASIR, "load", SIDE).transforms) == len(KVASIR.transforms["load"])
    assert searched == []


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'kvasri'\. Did you mean 'kvasir'\?"):
        load_card("kvasri")
    with pytest.raises(UserError, match=f"Known: {', '.join(card_names())}"):
        load_card("")


def test_a_table_or_a_folder_given_as_a_card_names_its_option(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("image,mask\n")
    with pytest.raises(UserError, match=r"cases\.csv\. Write .* new --table .*cases\.csv`"):
        load_card(str(table))
    with pytest.raises(
        UserError, match=r"new --images .* --masks MASKS`; commands that have these"
    ):
        load_card(str(tmp_path))


def own_card(tmp_path: Path, **changes: Any) -> str:
    """Copy kvasir.yaml and change it, as the README tells users to."""
    content = yaml.safe_load((bundled("pipelines") / "kvasir.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "my set.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return str(path)


def test_own_card_by_path(tmp_path: Path) -> None:
    rule = {"images": "img/*.png", "masks": "seg/{id}_mask.png"}
    splits = [{"name": "mine", "all": rule, "test_share": 0.25}]
    card = load_card(own_card(tmp_path, folder="Clinic", title="Ours", splits=splits))
    assert (card.name, card.title) == ("my set", "Ours")
    for folder, ending in (("img", ".png"), ("seg", "_mask.png")):
        (tmp_path / "Clinic" / folder).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (9, 7), 255).save(tmp_path / "Clinic" / folder / f"{i}{ending}")
    split = make_split(card, tmp_path)
    assert (len(split.train), len(split.val), len(split.test)) == (5, 1, 2)
    assert CaseDataset(split.train, card, SIDE)[0]["mask"].all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, r"has keys that are unknown: colour"),
        ({"splits": None}, "every split needs a name"),
        ({"splits": [{"name": "x", "train": {}}]}, r"x has train, expected train, \(val,\)"),
        ({"splits": [{"name": "x", "all": {}}]}, "x needs test_share"),
        ({"splits": [{"name": "x", "all": {}, "test_share": 2.0}]}, "x needs test_share"),
        ({"splits": [{"name": "x", "all": {}, "test_share": 0.1}]}, "all of split x needs images"),
        (
            {"splits": [{"name": "x", "all": {"images": "*", "masks": "m"}, "test_share": 0.1}]},
            r"masks of all is m, expected \{id\} in it",
        ),
        ({"transforms": None}, "transforms holds the lists load and augment"),
        (
            {"group": {"pattern": "x"}},
            r"group has pattern, expected id; id and ranges; or csv",
        ),
        ({"group": {"id": "("}}, r"group: \( is no regular expression"),
        ({"group": {"id": "p[0-9]+"}}, "has 0 brackets, expected one"),
        ({"group": {"id": "([0-9]+)", "ranges": [[5, 1]]}}, r"\[5, 1\] is no range"),
        ({"group": {"id": "([0-9]+)", "ranges": [[1, 5], [5, 9]]}}, "begins before the one ahead"),
        ({"classes": {"a": 1, "b": [1, 2, 3]}}, "classes mixes values and colours"),
        ({"classes": {"a": "red"}}, "expected whole numbers: a value, or"),
        ({"sources": [{"url": "ftp://x"}]}, "ftp://x is no address"),
        ({"sources": [{"url": "https://x", "sha256": "12"}]}, "is 12, expected 64 hex digits"),
        ({"sources": [{"url": "https://x", "into": "../y"}]}, "expected a folder below"),
        ({"sources": [{"url": "https://x", "into": None}]}, "expected the name of a folder"),
        ({"sources": [{"url": "https://x/a.zip", "into": "a.zip"}]}, "expected the name of a fol"),
    ],
)
def test_a_wrong_card_says_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_card(own_card(tmp_path, **changes))
    assert "pipelines/kvasir.yaml" in str(caught.value)


def test_transforms_by_name(tmp_path: Path) -> None:
    assert load_card(own_card(tmp_path, transforms="rgb")).transforms == KVASIR.transforms
    with pytest.raises(UserError, match=r"Unknown transforms 'rbg'\. Did you mean 'rgb'\?"):
        load_card(own_card(tmp_path, transforms="rbg"))


def test_a_card_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read: No such file"):
        load_card(str(tmp_path / "gone.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1, 2")
    with pytest.raises(UserError, match=r"bad\.yaml is not valid YAML"):
        load_card(str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match=r"list\.yaml lacks citation, folder"):
        load_card(str(tmp_path / "list.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\x00\x81")
    with pytest.raises(UserError, match=r"bytes\.yaml is no text in UTF-8"):
        load_card(str(tmp_path / "bytes.yaml"))


def test_ctrl_c_while_a_library_is_imported_is_no_fault_of_the_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(name: str) -> None:
        if name == "albumentations":
            raise KeyboardInterrupt

    monkeypatch.setattr("gpsseg.data.cards.card.import_module", stopped)
    with pytest.raises(KeyboardInterrupt):
        build_transform(KVASIR, "augment", 32)


@pytest.mark.parametrize(
    "text",
    [
        "folder: FFF",
        "splits: [{name: a, train: {images: FFF/*.png, masks: '{id}'}, test: TTT}]",
        "splits: [{name: a, train: {images: x, masks: '{id}', ids: FFF}, test: TTT}]",
    ],
)
def test_a_name_that_no_file_can_have_is_a_fault_of_the_card(text: str, tmp_path: Path) -> None:
    card = tmp_path / "mine.yaml"
    content = yaml.safe_load((bundled("pipelines") / "kvasir.yaml").read_text())
    text = text.replace("TTT", "{images: x, masks: '{id}'}").replace("FFF", "ü" * 200)
    card.write_text(yaml.safe_dump(content | yaml.safe_load(text)))
    with pytest.raises(UserError, match=r"mine\.yaml.*names of up to 255 bytes"):
        make_split(load_card(str(card)), tmp_path)


def test_wildcards_beside_a_name_that_no_file_can_have_fit_none(tmp_path: Path) -> None:
    assert matching(tmp_path, f"{'i' * 300}/*.png") == []
