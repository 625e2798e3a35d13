"""What the loader makes of cases, and how it says what fails."""

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from gpsseg.data.cards.card import Card, build_transform, load_card
from gpsseg.data.case import Case
from gpsseg.data.dealt import Shuffled
from gpsseg.data.loader import CaseDataset, default_workers, make_loader
from gpsseg.data.steps import prepare_picture
from gpsseg.errors import UserError

KVASIR = load_card("kvasir")
READ = {"_target_": "gpsseg.data.transforms.ReadCased"}
FLIP = {"_target_": "monai.transforms.Flipd", "keys": "image", "spatial_axis": 0}
RESIZE = {
    "_target_": "monai.transforms.Resized",
    "keys": ["image", "mask"],
    "spatial_size": ["@image_size", "@image_size"],
    "allow_missing_keys": True,
}


def with_steps(*steps: Any, stage: str = "load") -> Card:
    return dataclasses.replace(KVASIR, transforms={stage: list(steps)})


def case(tmp_path: Path) -> Case:
    Image.fromarray(np.full((9, 7, 3), 100, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.eye(9, 7, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    return Case("a", tmp_path / "a.png", tmp_path / "m.png")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([READ, {**FLIP, "keys": "nothing"}], r"load steps fail on a\.png \(KeyError"),
        ([READ], r"load steps give an image of shape \(3, 9, 7\).*expected \(3, 8, 8\)"),
        (
            [READ, RESIZE, {"_target_": "monai.transforms.DeleteItemsd", "keys": "image"}],
            "load steps fail on",
        ),
        ([READ, RESIZE, {"_target_": "albumentations.NoOp"}], r"load steps fail on a\.png"),
    ],
)
def test_steps_that_fail_on_a_case_are_one_sentence(
    tmp_path: Path, steps: list[Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"Data card kvasir: its {message}"):
        CaseDataset([case(tmp_path)], with_steps(*steps), 8)[0]


def test_augmentation_that_fails_on_a_case_is_one_sentence(tmp_path: Path) -> None:
    zoom = {"_target_": "monai.transforms.RandZoomd", "keys": ["image", "mask"], "prob": 1.0}
    zoom |= {"min_zoom": 2.0, "max_zoom": 2.0, "keep_size": False}
    for step, message in (
        (zoom, r"shape \(3, 16, 16\)"),
        ({**FLIP, "keys": "no"}, "fail on a.png"),
    ):
        transforms = {"load": [READ, RESIZE], "augment": [step]}
        card = dataclasses.replace(KVASIR, transforms=transforms)
        with pytest.raises(UserError, match=f"its augment steps .*{message}"):
            CaseDataset([case(tmp_path)], card, 8, augment=True)[0]
    steps = build_transform(with_steps(READ, {**FLIP, "keys": "no"}), "load", 8)
    with pytest.raises(UserError, match="load steps fail on a picture"):
        prepare_picture(np.zeros((9, 7, 3), np.uint8), steps, "kvasir")


def test_training_sees_what_most_annotators_mark(tmp_path: Path) -> None:
    """Three masks of 8 x 8: columns 0 to 3, 2 to 5 and 4 to 7; two of them agree on 2 to 5."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "i.png")
    masks = []
    for first in (0, 2, 4):
        values = np.zeros((8, 8), np.uint8)
        values[:, first : first + 4] = 255
        masks.append(tmp_path / f"{first}.png")
        Image.fromarray(values).save(masks[-1])
    one = Case("i", tmp_path / "i.png", masks[0], opinions=tuple(masks[1:]))
    for each, columns in ((one, (2, 6)), (dataclasses.replace(one, joined=True), (0, 8))):
        expected = torch.zeros(1, 8, 8)
        expected[..., slice(*columns)] = 1
        assert torch.equal(CaseDataset([each], KVASIR, 8)[0]["mask"], expected)


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 1), (7, 3), (16, 8), (64, 8)])
def test_workers_by_default(cores: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_workers() == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers() == workers


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_reads_well_whoever_finds_it(tmp_path: Path, workers: int) -> None:
    (tmp_path / "bad.jpg").touch()
    dataset = CaseDataset([Case("bad", tmp_path / "bad.jpg")], KVASIR, 8)
    with pytest.raises(UserError) as caught:
        list(make_loader(dataset, 1, workers))
    assert str(caught.value).startswith(f"{tmp_path / 'bad.jpg'} is an empty file (0 bytes);")
    assert "Traceback" not in str(caught.value)


def several(tmp_path: Path, count: int) -> list[Case]:
    (tmp_path / "several").mkdir()
    mask, cases = case(tmp_path).mask, []
    for number in range(count):
        path = tmp_path / "several" / f"{number}.png"
        Image.fromarray(np.full((9, 7, 3), number, np.uint8)).save(path)
        cases.append(Case(str(number), path, mask))
    return cases


def test_a_shuffled_order_is_that_of_a_plain_loader_with_the_epochs_seed() -> None:
    for seed in (0, 5, 300_010):
        plain = DataLoader(
            range(7), batch_size=7, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        assert list(Shuffled(7, seed)) == next(iter(plain)).tolist()
        assert [index - 14 for index in Shuffled(7, seed, 14)] == list(Shuffled(7, seed))


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_of_one_loader_are_those_of_a_loader_each(tmp_path: Path, workers: int) -> None:
    cases = several(tmp_path, 5)

    def batches(epoch: int, epochs: int) -> list[Any]:
        dataset = CaseDataset(cases, KVASIR, 8, True, seed=3, epoch=epoch, epochs=epochs)
        loader = make_loader(dataset, 2, workers, shuffle=True, part=(1, 2))
        found = list(loader)
        assert len(found) == len(loader) == 3 * epochs
        return found

    together = batches(2, 3)
    alone = [batch for epoch in (2, 3, 4) for batch in batches(epoch, 1)]
    for one, other in zip(together, alone, strict=True):
        assert set(one) == set(other)
        assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(IndexError):
        CaseDataset(cases, KVASIR, 8, epochs=2)[10]


def test_workers_start_once_for_all_epochs_and_read_on_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = CaseDataset._load

    def spy(dataset: CaseDataset, case: Case) -> Any:
        (tmp_path / f"{case.id}-{os.getpid()}-{time.monotonic_ns()}").touch()
        return original(dataset, case)

    monkeypatch.setattr(CaseDataset, "_load", spy)
    dataset = CaseDataset(several(tmp_path, 2), KVASIR, 8, epochs=3)
    batches = iter(make_loader(dataset, 1, 1, shuffle=True))
    for _ in range(2):
        next(batches)  # the first epoch ends here
    ends = time.monotonic() + 20
    while len(list(tmp_path.glob("*-*-*"))) < 4 and time.monotonic() < ends:
        time.sleep(0.01)
    reads = [path.name.split("-") for path in tmp_path.glob("*-*-*")]
    assert sorted(name for name, *_ in reads)[:4] == ["0", "0", "1", "1"]
    assert len({process for _, process, _ in reads}) == 1
