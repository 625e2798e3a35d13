"""One contract for every data card, and what a card may not hold."""

import contextlib
import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gpsseg.data.cards.card import Card, build_transform, card_names, load_card, save_card
from gpsseg.data.case import case_mask
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.splits.split import Case, Split, find_cases, make_split
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError
from gpsseg.files import bundled

SIDE, CASES = 64, 12
KVASIR = load_card("kvasir")


@pytest.fixture(scope="module", params=card_names())
def card(request: pytest.FixtureRequest) -> Card:
    return load_card(request.param)


ALIKE = {repr(load_card(name).transforms): name for name in reversed(card_names())}
one_of_each = pytest.mark.parametrize("card", sorted(ALIKE.values()), indirect=True, scope="module")
"""One card for each list of transforms: what is not about files is the same for all of them."""


@pytest.fixture(scope="module")
def root(card: Card, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the card's set, as its generator lays it out."""
    root = tmp_path_factory.mktemp(card.name)
    synthesize(card.name, root, cases=CASES, seed=1, size=96)
    return root


@pytest.fixture(scope="module")
def split(card: Card, root: Path) -> Split:
    """The first split of the set that has training images."""
    split = make_split(card, root)
    if not split.train:
        split = make_split(card, root, split="seeded-80-20")
    return split


def dice(one: torch.Tensor, other: torch.Tensor) -> float:
    one, other = one.bool(), other.bool()
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def batches(card: Card, split: Split, workers: int, **options: Any) -> list[dict[str, Any]]:
    dataset = CaseDataset(split.train, card, SIDE, **options)
    return list(make_loader(dataset, 2, workers, shuffle=True))


def test_the_contract(card: Card, split: Split) -> None:
    """Finds its cases; its batches have the promised shapes, types and ranges."""
    parts = (split.train, split.val, split.test)
    assert sum(map(len, parts)) == CASES
    assert len(split.train) >= 5
    assert split.val
    assert split.test
    assert split.data == "synthetic sample"
    dataset = CaseDataset(split.train[:5], card, SIDE)
    (batch,) = make_loader(dataset, 5, 0)
    assert set(batch) == {"image", "mask", "height", "width", "index"}
    assert (batch["image"].shape, batch["mask"].shape) == ((5, 3, SIDE, SIDE), (5, 1, SIDE, SIDE))
    assert batch["image"].dtype == batch["mask"].dtype == torch.float32
    assert type(batch["image"]) is type(batch["mask"]) is torch.Tensor
    assert 0 <= batch["image"].min() < 0.2 < 0.5 < batch["image"].max() <= 1
    assert set(batch["mask"].unique().tolist()) == {0.0, 1.0}
    assert batch["mask"].mean() < 0.6, "foreground, not background"
    assert batch["index"].tolist() == [0, 1, 2, 3, 4]
    for name in ("height", "width", "index"):
        assert batch[name].dtype == torch.int64
    for case, height, width in zip(split.train, batch["height"], batch["width"], strict=False):
        assert case_mask(case).shape == (height, width)


def test_every_file_of_the_set_is_somebodys(card: Card, root: Path) -> None:
    """No image lacks its mask, no mask its image, and nothing lies in the set unread."""
    found = find_cases(card, root, require_masks=False)
    assert len(found.cases) == CASES
    assert len({case.id for case in found.cases}) == CASES
    assert all(case.mask for case in found.cases)
    assert not found.lone_masks
    used = {path for case in found.cases for path in (case.image, case.mask)}
    others = {path for path in found.root.rglob("*") if path.is_file()} - used
    assert all(path.suffix in (".txt", ".csv", "") for path in others), others


def test_groups_stay_on_one_side(card: Card, split: Split) -> None:
    """Where a card knows patients, sequences or centres, each is in one part (PraNet's own split
    tears sequences apart, and says so)."""
    groups = [{case.group for case in part} for part in (split.train, split.val, split.test)]
    known = card.group is not None
    assert any(group != {None} for group in groups) == known
    if known and card.name != "pranet":
        assert None not in set().union(*groups)
        assert not groups[0] & groups[1]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]


def test_every_split_of_the_layout_can_be_named(card: Card, root: Path) -> None:
    for rule in card.splits:
        with contextlib.suppress(UserError):  # another layout than the one that was drawn
            named = make_split(card, root, split=rule["name"])
            assert named.name == rule["name"]
            assert named.test
    with pytest.raises(UserError, match=r"Unknown split 'nonsense'.*Known: "):
        make_split(card, root, split="nonsense")


@one_of_each
def test_an_image_without_mask_gives_the_same_image(card: Card, split: Split) -> None:
    bare = [dataclasses.replace(case, mask=None, opinions=()) for case in split.train]
    without, with_mask = CaseDataset(bare, card, SIDE)[1], CaseDataset(split.train, card, SIDE)[1]
    assert "mask" not in without
    assert torch.equal(without["image"], with_mask["image"])


@one_of_each
def test_augmentation_moves_image_and_mask_together(
    card: Card, split: Split, tmp_path: Path
) -> None:
    """The mask is put in as the image too: after every step both must still mark the same place."""
    cases = []
    for number, case in enumerate(split.train[:5]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(case_mask(case).astype(np.uint8) * 255).save(path)
        cases.append(Case(case.id, path, path))
    still = CaseDataset(cases, card, SIDE)
    moved = 0
    for epoch in range(1, 5):
        dataset = CaseDataset(cases, card, SIDE, augment=True, seed=3, epoch=epoch)
        for index in range(len(cases)):
            sample = dataset[index]
            image, mask = sample["image"].mean(0), sample["mask"][0]
            assert (sample["image"].shape, mask.dtype) == ((3, SIDE, SIDE), torch.float32)
            assert 0 <= image.min() < image.max() <= 1
            assert set(mask.unique().tolist()) <= {0.0, 1.0}
            assert dice(image > (image.min() + image.max()) / 2, mask) > 0.9
            moved += dice(mask, still[index]["mask"][0]) < 0.9
    assert moved > 10, "of 20: flips and rotation do something"


@one_of_each
def test_augmentation_depends_on_seed_epoch_and_index_alone(card: Card, split: Split) -> None:
    first = batches(card, split, workers=0, augment=True, seed=1, epoch=2)
    for again in (
        batches(card, split, workers=2, augment=True, seed=1, epoch=2),
        batches(card, split, workers=0, augment=True, seed=1, epoch=2),
    ):
        for one, other in zip(first, again, strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)
    dataset = CaseDataset(split.train, card, SIDE, augment=True, seed=1, epoch=2)
    assert torch.equal(dataset[3]["image"], dataset[3]["image"])
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        changed = CaseDataset(split.train, card, SIDE, augment=True, **other)
        assert not torch.equal(dataset[3]["image"], changed[3]["image"])


@one_of_each
def test_order_depends_on_seed_and_epoch_alone(card: Card, split: Split) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [int(i) for b in batches(card, split, 0, seed=seed, epoch=epoch) for i in b["index"]]

    orders = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) > 5
    assert order(1, 2) == order(1, 2)
    assert sorted(order(1, 2)) == list(range(len(split.train)))


@one_of_each
def test_a_dataset_can_be_sent_to_another_process(card: Card, split: Split) -> None:
    """As on systems that start worker processes afresh."""
    dataset = CaseDataset(split.train, card, SIDE, augment=True, seed=1, epoch=1)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[2]["image"], dataset[2]["image"])


def test_facts(card: Card) -> None:
    for text in (card.title, card.licence, card.citation, card.folder, card.foreground):
        assert isinstance(text, str)
        assert text
    assert re.match(r"https?://", card.homepage)
    assert card.allows
    assert card.sources or card.get, "a user is told where to get it"
    assert all(source["url"].startswith("https://") for source in card.sources)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_reads_well_whoever_finds_it(tmp_path: Path, workers: int) -> None:
    (tmp_path / "bad.jpg").touch()
    dataset = CaseDataset([Case("bad", tmp_path / "bad.jpg")], KVASIR, SIDE)
    with pytest.raises(UserError) as caught:
        list(make_loader(dataset, 1, workers))
    assert str(caught.value).startswith(f"{tmp_path / 'bad.jpg'} is an empty file (0 bytes);")
    assert "Traceback" not in str(caught.value)


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


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'kvasri'\. Did you mean 'kvasir'\?"):
        load_card("kvasri")
    with pytest.raises(UserError, match=f"Known: {', '.join(card_names())}"):
        load_card("")


def test_a_table_or_a_folder_given_as_a_card_names_its_option(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("image,mask\n")
    with pytest.raises(UserError, match=r"got .*cases\.csv\. Pass it by --table"):
        load_card(str(table))
    with pytest.raises(UserError, match="Pass it by --images"):
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
        ({"splits": [{"name": "x", "train": {}}]}, r"x has \['train'\], expected train, \(val,\)"),
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
            r"group has \['pattern'\], expected id; id and ranges; or csv",
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


def test_a_card_is_written_and_read_again(tmp_path: Path, card: Card) -> None:
    save_card(card, tmp_path / "again.yaml", "two\nlines")
    assert (
        (tmp_path / "again.yaml").read_text(encoding="utf-8").startswith("# two\n# lines\nname: ")
    )
    assert load_card(str(tmp_path / "again.yaml")) == card


def test_a_card_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read: No such file"):
        load_card(str(tmp_path / "gone.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1, 2")
    with pytest.raises(UserError, match=r"bad\.yaml is not valid YAML"):
        load_card(str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match=r"list\.yaml lacks citation, folder"):
        load_card(str(tmp_path / "list.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match=r"bytes\.yaml is not valid YAML"):
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
