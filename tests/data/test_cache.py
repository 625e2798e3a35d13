"""Prepared images kept on disk: the same values as without, and never stale ones."""

import dataclasses
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gpsseg.data import cache, transforms
from gpsseg.data.cache import cache_folder, read_entry, write_entry
from gpsseg.data.cards.card import Card, load_card
from gpsseg.data.formats.masks import Labels
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.splits.split import Case, make_split
from gpsseg.errors import UserError

SIDE = 32
KVASIR = load_card("kvasir")


@pytest.fixture
def cases(kvasir: Path) -> tuple[Case, ...]:
    return make_split(KVASIR, kvasir).train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images decoded so far."""
    names, original = [], transforms.read_image

    def spy(path: Path) -> np.ndarray:
        names.append(path.stem)
        return original(path)

    monkeypatch.setattr(transforms, "read_image", spy)
    return names


def read_all(cases: Any, folder: Path | None, card: Card = KVASIR, side: int = SIDE) -> list[Any]:
    dataset = CaseDataset(cases, card, side, cache=folder)
    return [dataset[index] for index in range(len(dataset))]


def assert_equal(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        assert set(a) == set(b)
        for key in a:
            assert type(a[key]) is type(b[key])
            assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


def test_a_second_epoch_and_a_second_run_decode_nothing(
    cases: tuple[Case, ...], folder: Path, decoded: list[str]
) -> None:
    for epoch in (1, 2):
        dataset = CaseDataset(cases, KVASIR, SIDE, augment=True, epoch=epoch, cache=folder)
        list(make_loader(dataset, 2, 0, shuffle=True))
        assert sorted(decoded) == [case.id for case in cases]
    read_all(cases, folder)
    assert len(decoded) == len(cases)


def test_without_a_folder_every_epoch_decodes(
    cases: tuple[Case, ...], tmp_path: Path, decoded: list[str]
) -> None:
    before = set(tmp_path.rglob("*"))
    read_all(cases, None)
    read_all(cases, None)
    assert len(decoded) == 2 * len(cases)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_bit_for_bit(
    cases: tuple[Case, ...], folder: Path, augment: bool, workers: int
) -> None:
    def batches(cache: Path | None) -> list[Any]:
        dataset = CaseDataset(cases, KVASIR, SIDE, augment=augment, seed=2, epoch=3, cache=cache)
        return list(make_loader(dataset, 2, workers, shuffle=True))

    without = batches(None)
    assert_equal(without, batches(folder))  # made
    assert_equal(without, batches(folder))  # kept


def test_images_are_rounded_to_8_bits_and_small_on_disk(
    cases: tuple[Case, ...], folder: Path
) -> None:
    (sample, *_) = read_all(cases, folder, side=64)
    assert (sample["image"].dtype, sample["mask"].dtype) == (torch.float32, torch.float32)
    levels = sample["image"] * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    for file in folder.iterdir():
        assert 4 * 64 * 64 <= file.stat().st_size < 4 * 64 * 64 + 2000


def test_a_changed_file_is_read_again(
    cases: tuple[Case, ...], folder: Path, decoded: list[str]
) -> None:
    before = read_all(cases, folder)
    Image.new("RGB", Image.open(cases[0].image).size, "white").save(cases[0].image)
    mask = cases[1].mask
    assert mask is not None
    Image.new("L", Image.open(mask).size, 0).save(mask)
    decoded.clear()
    after = read_all(cases, folder)
    assert decoded == [cases[0].id, cases[1].id]
    assert after[0]["image"].min() == 1
    assert not after[1]["mask"].any()
    assert_equal(after[2:], before[2:])


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(
    tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "a.bmp"
    for colour in ("black", "white"):
        Image.new("RGB", (40, 40), colour).save(tmp_path / "new.bmp")
        os.utime(tmp_path / "new.bmp", (1e9, 1e9))
        (tmp_path / "new.bmp").replace(path)
        (sample,) = read_all([Case("a", path)], folder)
        assert (sample["image"] == (colour == "white")).all()


def changed_steps(change: Callable[[list[dict[str, Any]]], Any]) -> Card:
    steps = [dict(step) for step in KVASIR.transforms["load"]]
    change(steps)
    return dataclasses.replace(KVASIR, transforms={**KVASIR.transforms, "load": steps})


def test_another_size_pipeline_or_version_is_prepared_again(
    cases: tuple[Case, ...], folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flip = {"_target_": "monai.transforms.Flipd", "keys": ["image"], "spatial_axis": 0}
    cards = {
        "mode": changed_steps(lambda steps: steps[1].update(mode=["nearest", "nearest-exact"])),
        "step": changed_steps(lambda steps: steps.append(flip)),
    }
    (first, *_) = read_all(cases[:1], folder)
    for card in cards.values():
        (other,) = read_all(cases[:1], folder, card)
        assert not torch.equal(other["image"], first["image"])
    (larger,) = read_all(cases[:1], folder, side=48)
    assert larger["image"].shape == (3, 48, 48)
    monkeypatch.setattr(cache, "__version__", "another")
    read_all(cases[:1], folder)
    assert len(decoded) == 5
    read_all(cases[:1], folder)
    assert len(decoded) == 5
    dataset = CaseDataset(cases[:1], dataclasses.replace(KVASIR, title="x"), SIDE, cache=folder)
    assert torch.equal(dataset[0]["image"], first["image"])
    assert len(decoded) == 5, "a card's texts do not matter"


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:],  # one pixel's bit
        lambda whole: whole.replace(b"(3, 64, 64)", b"(3, 44, 64)"),  # fewer bytes than there are
        lambda whole: b"\x93NUMPY" + whole,
        lambda whole: b"not at all",
    ],
    ids=["empty", "half", "short", "bit", "header", "prefix", "text"],
)
def test_a_damaged_file_is_made_again(
    cases: tuple[Case, ...],
    folder: Path,
    decoded: list[str],
    damage: Callable[[bytes], bytes],
) -> None:
    before = read_all(cases[:1], folder, side=64)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_equal(read_all(cases[:1], folder, side=64), before)
    assert len(decoded) == 2
    assert_equal(read_all(cases[:1], folder, side=64), before)
    assert len(decoded) == 2, "the file is whole again"


def test_an_image_that_changes_while_it_is_read_is_not_kept(
    cases: tuple[Case, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = transforms.read_image

    def changing(path: Path) -> np.ndarray:
        image = original(path)
        Image.new("RGB", (9, 9), "white").save(path)
        return image

    monkeypatch.setattr(transforms, "read_image", changing)
    read_all(cases[:1], folder)
    assert list(folder.iterdir()) == []


def test_masks_absent_and_present_are_kept_apart(
    cases: tuple[Case, ...], folder: Path, decoded: list[str]
) -> None:
    bare = [dataclasses.replace(case, mask=None) for case in cases]
    assert_equal(read_all(bare, folder), read_all(bare, None))
    assert "mask" not in read_all(bare, folder)[0]
    assert_equal(read_all(cases, folder), read_all(cases, None))
    assert len(decoded) == 4 * len(cases)


def test_whoever_writes_at_the_same_time_no_reader_sees_half(folder: Path) -> None:
    arrays = {"image": np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)}
    file = folder / "entry.npz"
    write_entry(file, arrays)

    def write_and_read(_: int) -> bool:
        write_entry(file, arrays)
        found = read_entry(file)
        return found is not None and np.array_equal(found["image"], arrays["image"])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_read, range(200)))
    assert list(folder.iterdir()) == [file]


def test_a_folder_that_vanishes_or_fills_up_costs_time_only(
    cases: tuple[Case, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    expected = read_all(cases, None)
    monkeypatch.setattr(np, "savez", no_space)
    assert_equal(read_all(cases, folder), expected)
    assert list(folder.iterdir()) == [], "nothing half-written stays"
    dataset = CaseDataset(cases, KVASIR, SIDE, cache=folder)
    folder.rmdir()
    assert_equal([dataset[index] for index in range(len(cases))], expected)


def test_random_steps_of_load_are_not_frozen(cases: tuple[Case, ...], folder: Path) -> None:
    noise = {"_target_": "monai.transforms.RandGaussianNoised", "keys": ["image"], "prob": 1.0}
    card = changed_steps(lambda steps: steps.append(noise))
    epochs = [
        CaseDataset(cases, card, SIDE, seed=1, epoch=epoch, cache=folder)[0] for epoch in (1, 2, 1)
    ]
    assert not torch.equal(epochs[0]["image"], epochs[1]["image"])
    assert torch.equal(epochs[0]["image"], epochs[2]["image"])


def test_a_pipeline_that_leaves_0_to_1_is_refused(cases: tuple[Case, ...], folder: Path) -> None:
    step = {"_target_": "monai.transforms.NormalizeIntensityd", "keys": ["image"]}
    card = changed_steps(lambda steps: steps.append(step))
    with pytest.raises(UserError, match=r"kvasir: after its load steps .* hold values from -.* to"):
        read_all(cases, folder, card)


def test_new_data_never_empties_the_folder(cases: tuple[Case, ...], folder: Path) -> None:
    """MONAI's own set_data deletes the whole cache folder."""
    (folder / "precious.txt").touch()
    dataset = CaseDataset(cases, KVASIR, SIDE, cache=folder)
    dataset.set_data(cases[:1])
    assert len(dataset) == 1
    assert (folder / "precious.txt").exists()


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("GPSSEG_CACHE", str(tmp_path / "ours"))
    assert cache_folder(str(tmp_path / "asked")) == tmp_path / "asked" / "prepared"
    assert cache_folder(None) == tmp_path / "ours" / "prepared"
    assert cache_folder("off") is None
    monkeypatch.setenv("GPSSEG_CACHE", "off")
    assert cache_folder(None) is None
    monkeypatch.delenv("GPSSEG_CACHE")
    if os.name != "nt":
        own = cache_folder(None)
        assert own == tmp_path / "xdg" / "gpsseg" / "prepared"
        assert stat.S_IMODE(own.stat().st_mode) == stat.S_IMODE(own.parent.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_used_is_one_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for _ in range(3):
        assert cache_folder(str(tmp_path / "file" / "cache")) is None
    assert capsys.readouterr().out.count("Not a directory") == 1
    little = SimpleNamespace(free=1_000_000_000)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: little)
    assert cache_folder(str(tmp_path / "full")) is None
    assert "1.0 GB are free" in capsys.readouterr().out


def test_other_classes_or_annotators_are_another_entry(
    cases: tuple[Case, ...], folder: Path, decoded: list[str]
) -> None:
    """The same two files give other masks with other classes chosen, or with a further opinion."""
    case = cases[0]
    assert case.mask is not None
    with Image.open(case.mask) as stored:
        Image.fromarray(np.asarray(stored.convert("L")) // 128 + np.uint8(1)).save(
            case.mask.with_suffix(".png")
        )
    mapped = dataclasses.replace(case, mask=case.mask.with_suffix(".png"))
    one, two = (
        dataclasses.replace(mapped, labels=Labels(((1,), (2,)), (chosen,))) for chosen in (0, 1)
    )
    for _ in range(2):
        (of_one,), (of_two,) = read_all([one], folder), read_all([two], folder)
        assert torch.equal(of_one["mask"], 1 - of_two["mask"])
    assert len(decoded) == 2
    opinions = dataclasses.replace(case, opinions=(cases[1].mask,))
    assert cache.entry_name(case, "p") != cache.entry_name(opinions, "p")
