"""One contract for every data card, and what a card may not hold."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gpsseg.data.cards import Card, build_transform, card_names, load_card
from gpsseg.data.cases import Case, Split, make_split
from gpsseg.data.images import read_mask
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.synthetic import synthesize
from gpsseg.errors import UserError
from gpsseg.files import bundled

SIDE = 64
KVASIR = load_card("kvasir")


@pytest.fixture(scope="module", params=card_names())
def card(request: pytest.FixtureRequest) -> Card:
    return load_card(request.param)


@pytest.fixture(scope="module")
def split(card: Card, tmp_path_factory: pytest.TempPathFactory) -> Split:
    """The card's set, as its generator lays it out."""
    root = tmp_path_factory.mktemp(card.name)
    synthesize(card.name, root, cases=8, seed=1, size=96)
    return make_split(card, root)


def dice(one: torch.Tensor, other: torch.Tensor) -> float:
    one, other = one.bool(), other.bool()
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def batches(card: Card, split: Split, workers: int, **options: Any) -> list[dict[str, Any]]:
    dataset = CaseDataset(split.train, card, SIDE, **options)
    return list(make_loader(dataset, 2, workers, shuffle=True))


def test_the_contract(card: Card, split: Split) -> None:
    """Finds its cases; its batches have the promised shapes, types and ranges."""
    assert (len(split.train), len(split.val), len(split.test)) == (5, 1, 2)
    dataset = CaseDataset(split.train, card, SIDE)
    (batch,) = make_loader(dataset, 5, 0)
    assert set(batch) == {"image", "mask", "height", "width", "index"}
    assert (batch["image"].shape, batch["mask"].shape) == ((5, 3, SIDE, SIDE), (5, 1, SIDE, SIDE))
    assert batch["image"].dtype == batch["mask"].dtype == torch.float32
    assert type(batch["image"]) is type(batch["mask"]) is torch.Tensor
    assert 0 <= batch["image"].min() < 0.2 < 0.5 < batch["image"].max() <= 1
    assert set(batch["mask"].unique().tolist()) == {0.0, 1.0}
    assert batch["index"].tolist() == [0, 1, 2, 3, 4]
    for name in ("height", "width", "index"):
        assert batch[name].dtype == torch.int64
    for case, height, width in zip(split.train, batch["height"], batch["width"], strict=True):
        assert case.mask is not None
        assert read_mask(case.mask).shape == (height, width)


def test_an_image_without_mask_gives_the_same_image(card: Card, split: Split) -> None:
    bare = [dataclasses.replace(case, mask=None) for case in split.train]
    without, with_mask = CaseDataset(bare, card, SIDE)[1], CaseDataset(split.train, card, SIDE)[1]
    assert "mask" not in without
    assert torch.equal(without["image"], with_mask["image"])


def test_augmentation_moves_image_and_mask_together(
    card: Card, split: Split, tmp_path: Path
) -> None:
    """The mask is put in as the image too: after every step both must still mark the same place."""
    cases = []
    for case in split.train:
        assert case.mask is not None
        path = tmp_path / f"{case.id}.png"
        Image.fromarray(read_mask(case.mask).astype(np.uint8) * 255).save(path)
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


def test_order_depends_on_seed_and_epoch_alone(card: Card, split: Split) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [int(i) for b in batches(card, split, 0, seed=seed, epoch=epoch) for i in b["index"]]

    orders = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) > 5
    assert order(1, 2) == order(1, 2)
    assert sorted(order(1, 2)) == [0, 1, 2, 3, 4]


def test_a_dataset_can_be_sent_to_another_process(card: Card, split: Split) -> None:
    """As on systems that start worker processes afresh."""
    dataset = CaseDataset(split.train, card, SIDE, augment=True, seed=1, epoch=1)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[2]["image"], dataset[2]["image"])


def test_facts(card: Card) -> None:
    for text in (card.title, card.licence, card.citation, card.folder, card.foreground):
        assert isinstance(text, str)
        assert text
    assert card.homepage.startswith("https://")


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
    with pytest.raises(UserError, match=r"transforms, load: Cannot locate .*Flipdd"):
        build_transform(with_steps({"_target_": "monai.transforms.Flipdd"}), "load", SIDE)
    step = {"_target_": "monai.transforms.Identityd", "keys": "image", "prob": 1}
    with pytest.raises(UserError, match=r"Identityd.*unexpected keyword argument 'prob'"):
        build_transform(with_steps(step), "load", SIDE)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'kvasri'\. Did you mean 'kvasir'\?"):
        load_card("kvasri")
    with pytest.raises(UserError, match="Known: isic2017, kvasir"):
        load_card("")


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
        ({"colour": "red"}, r"unknown keys \['colour'\]"),
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
    ],
)
def test_a_wrong_card_says_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_card(own_card(tmp_path, **changes))
    assert "pipelines/kvasir.yaml" in str(caught.value)


def test_a_card_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read: No such file"):
        load_card(str(tmp_path / "gone.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1, 2")
    with pytest.raises(UserError, match=r"bad\.yaml is not valid YAML"):
        load_card(str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match=r"list\.yaml lacks \['citation'"):
        load_card(str(tmp_path / "list.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match=r"bytes\.yaml is not valid YAML"):
        load_card(str(tmp_path / "bytes.yaml"))
