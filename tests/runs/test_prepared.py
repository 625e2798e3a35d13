"""Each file of a run is decoded once, and what is made of it then is what its reader would make."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.cache import Folder, cache_folder
from gpsseg.data.cards.card import load_card
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import say_notes
from gpsseg.data.formats.masks import Labels
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.splits.split import Split
from gpsseg.errors import UserError
from gpsseg.runs.data import Data, open_card, open_data
from gpsseg.runs.prepared import Prepared, preparation
from gpsseg.runs.scores import scored_images
from gpsseg.scoring.network import _inputs

SIDE = 32
KVASIR = load_card("kvasir")
Decoded = Callable[[], Counter[str]]


@pytest.fixture
def decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """How often each file was decoded since it was last asked, in all processes."""
    original, log = ImageFile.ImageFile.load, tmp_path / "decoded.txt"

    def load(image: Any) -> Any:
        if image.tile:  # else it was decoded before
            with log.open("a") as file:
                file.write(f"{Path(image.fp.name).parent.name}/{Path(image.fp.name).name}\n")
        return original(image)

    def since() -> Counter[str]:
        lines = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return Counter(lines)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    return since


def asked(root: Path, cache: str, **more: Any) -> FinetuneConfig:
    sizes = {"image_size": SIDE, "batch_size": 2, "selection_images": 4}
    return FinetuneConfig(data_root=root, cache=cache, **{**sizes, "workers": 0, **more})


def opened(config: Any, prompt: str | None = None) -> Data:
    facts: Any = SimpleNamespace(prompt=prompt)
    card = open_card(config, None)
    return open_data(config, None, card=card, preparation=preparation(config, card, facts))


def read(data: Data, config: Any, prompt: str | None = None) -> Iterator[Any]:
    """What selection, two epochs of training, and validation are shown."""
    yield from make_loader(scored_images(data, config), 1, config.workers)
    cache = data.held or cache_folder(config.cache)
    given = (data.split.train, data.card, SIDE, True, 0, 1, cache, 2)
    yield from make_loader(CaseDataset(*given), 2, config.workers, shuffle=True)
    model: Any = SimpleNamespace(facts=SimpleNamespace(prompt=prompt))
    machine: Any = SimpleNamespace(share_of=lambda batch_size: batch_size)
    inputs = (data.split.val, data.card, config, None, machine, data.held)
    yield from _inputs(model, *inputs)[0]


def assert_equal(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        assert set(a) == set(b)
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    ("cache", "workers", "prompt"),
    [("here", 0, None), ("here", 1, "box"), ("off", 0, "box"), ("off", 1, None)],
)
def test_each_file_is_decoded_once_and_shown_bit_for_bit_as_without(
    drawn_kvasir: Path, tmp_path: Path, decoded: Decoded, cache: str, workers: int, prompt: Any
) -> None:
    config: Any = asked(drawn_kvasir, cache if cache == "off" else str(tmp_path), workers=workers)
    data = opened(config, prompt)
    once = decoded()
    assert set(once.values()) == {1}
    assert len(once) == 2 * 8, "images and masks"
    found = list(read(data, config, prompt))
    assert decoded() == {}, "all were decoded by the check"
    off = asked(drawn_kvasir, "off", workers=0)
    assert_equal(found, list(read(open_data(off, None), off, prompt)))
    assert len(decoded()) > 0
    if cache != "off":
        list(read(opened(config, prompt), config, prompt))
        assert decoded() == once, "another run's check reads each, and none but the check"


def test_a_file_that_changes_after_the_check_is_read_again(
    kvasir: Path, tmp_path: Path, decoded: Decoded
) -> None:
    for cache in ("off", str(tmp_path / "cache")):
        config: Any = asked(kvasir, cache)
        data = opened(config)
        case = data.split.train[0]
        Image.new("RGB", Image.open(case.image).size, "white").save(case.image)
        decoded()
        dataset = CaseDataset(data.split.train, data.card, SIDE, cache=data.held or Path(cache))
        assert dataset[0]["image"].min() == 1
        assert len(decoded()) == 2, cache


def keep_all(cases: list[Case], folder: Path) -> None:
    split = Split("s", "real", folder, tuple(cases), (), ())
    prepared = Prepared(KVASIR, SIDE, False, folder, None)
    say_notes(cases, skip=True, keeper=prepared.keeper(split))


def test_pictures_of_every_kind_are_kept_as_they_are_read(tmp_path: Path) -> None:
    """Grey, with a palette, transparent, turned, of one bit; those of 16 bits are not kept."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 24, 4)).astype(np.uint8)
    whole = Image.fromarray(noise)
    kinds: dict[str, Any] = {mode: whole.convert(mode) for mode in ("L", "LA", "RGBA", "P", "1")}
    kinds |= {"CMYK": whole.convert("CMYK"), "RGB": whole.convert("RGB")}
    cases = []
    for kind, image in kinds.items():
        image.save(tmp_path / f"{kind}.{'jpg' if kind == 'CMYK' else 'png'}")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    kinds["RGB"].transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(noise[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.png")
    (tmp_path / "masks").mkdir()
    for path in sorted(path for path in tmp_path.iterdir() if path.is_file()):
        mask = tmp_path / "masks" / f"{path.stem}.png"
        Image.fromarray(((noise[..., 1] > 99) * 255).astype(np.uint8)).save(mask)
        cases.append(Case(path.stem, path, mask))
    other = tmp_path / "masks" / "RGB.png"
    cases.append(dataclasses.replace(cases[0], id="votes", opinions=(other, other)))
    cases.append(dataclasses.replace(cases[0], id="joined", opinions=(other,), joined=True))
    labels = Labels(((255,),), (0,))
    cases.append(dataclasses.replace(cases[0], id="class", labels=labels))
    (tmp_path / "cache").mkdir()
    keep_all(cases, tmp_path / "cache")
    dataset = CaseDataset(cases, KVASIR, SIDE, cache=tmp_path / "cache")
    for case in cases:
        name = dataset._entry(case)
        assert name is not None
        kept, loaded = Folder(tmp_path / "cache").read(name), dataset._load(case)
        assert (kept is None) == (case.id == "deep"), case.id
        for key in kept or ():
            assert kept[key].dtype == loaded[key].dtype, key
            assert np.array_equal(kept[key], loaded[key]), (case.id, key)


def test_classes_that_are_told_apart_keep_their_numbers(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(tmp_path / "i.png")
    numbers = np.arange(SIDE, dtype=np.uint8)[None].repeat(SIDE, 0) % 3
    Image.fromarray(numbers).save(tmp_path / "m.png")
    (tmp_path / "cache").mkdir()
    labels = Labels(((1,), (2,)), (0, 1), separate=True)
    case = Case("i", tmp_path / "i.png", tmp_path / "m.png", labels=labels)
    keep_all([case], tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    kept = Folder(entry.parent).read(entry.name)
    assert kept is not None
    assert np.array_equal(kept["mask"][0], numbers)


READ = {"_target_": "gpsseg.data.transforms.ReadCased"}
FLIP = {"_target_": "monai.transforms.Flipd", "keys": ["image"], "spatial_axis": 0}
TO_NUMPY = {"_target_": "monai.transforms.ToNumpyd", "keys": ["image"]}
SMALL = KVASIR.transforms["load"][1]


@pytest.mark.parametrize(
    "steps",
    [[READ, {**FLIP, "keys": "nothing"}, SMALL], [FLIP, TO_NUMPY, READ, SMALL]],
    ids=["after", "before"],
)
def test_steps_that_fail_are_told_where_they_are_needed(tmp_path: Path, steps: list[Any]) -> None:
    """Also those before the reading, which fail on a path and would not on pixels."""
    image = tmp_path / "i.png"
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(image)
    (tmp_path / "cache").mkdir()
    card = dataclasses.replace(KVASIR, transforms={"load": steps})
    split = Split("s", "real", tmp_path, (Case("i", image),), (), ())
    keeper = Prepared(card, SIDE, False, tmp_path / "cache", None).keeper(split)
    (found,) = say_notes(split.train, keeper=keeper)
    assert found.error == ""
    assert os.listdir(tmp_path / "cache") == []
    with pytest.raises(UserError, match=r"its load steps fail on i\.png"):
        CaseDataset(split.train, card, SIDE, cache=tmp_path / "cache")[0]


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"cache": "here"}, False),  # the folder takes them
        ({"in_memory": False}, False),  # a comparison's runs, side by side
        ({"RANK": "0", "WORLD_SIZE": "2"}, False),  # each process checks a part
        ({"workers": 1, "begun": "spawn"}, False),  # workers that see nothing of it
        ({"workers": 1, "begun": "fork"}, True),
        ({"begun": "spawn"}, True),
    ],
)
def test_memory_takes_images_only_where_who_reads_them_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], holds: bool
) -> None:
    for name in {"RANK", "WORLD_SIZE"} & set(changed):
        monkeypatch.setenv(name, changed[name])
    begun = changed.get("begun", "fork")
    monkeypatch.setattr("multiprocessing.get_start_method", lambda allow_none: begun)
    folder = str(tmp_path) if changed.get("cache") else "off"
    config: Any = asked(tmp_path, folder, workers=changed.get("workers", 0))
    facts: Any = SimpleNamespace(prompt="none")
    prepared = preparation(config, KVASIR, facts, changed.get("in_memory", True))
    assert (prepared.held is not None) == holds
