"""The real sets, as published; skipped where they are not at hand."""

from pathlib import Path

import pytest

from gpsseg.data.cards.card import load_card
from gpsseg.data.checks.readable import check_cases
from gpsseg.data.formats.images import read_image
from gpsseg.data.formats.masks import read_mask
from gpsseg.data.splits.split import make_split


@pytest.mark.parametrize(
    ("name", "rule", "train", "test"),
    [
        ("kvasir", "official-880-120", 880, 120),
        ("isic2017", "train-to-validation-2000-150", 2000, 150),
    ],
)
def test_published_counts(real_data: Path, name: str, rule: str, train: int, test: int) -> None:
    split = make_split(load_card(name), real_data)
    assert (split.name, split.data) == (rule, "real")
    assert (len(split.train) + len(split.val), len(split.test)) == (train, test)
    assert len(split.val) == round(0.15 * train)
    for case in (*split.train, *split.val, *split.test):
        assert case.mask is not None
        assert case.image.stat().st_size > 1000
        assert case.mask.stat().st_size > 100


def test_kvasir_follows_its_lists(real_data: Path) -> None:
    split = make_split(load_card("kvasir"), real_data)
    lists = {
        part: (split.root / "splits" / f"{part}.txt").read_text().split()
        for part in ("train", "val")
    }
    assert split.ids["test"] == lists["val"]
    assert set(split.ids["train"]) | set(split.ids["val"]) == set(lists["train"])


def test_kvasir_images_are_native_size_and_masks_binary(real_data: Path) -> None:
    cases = make_split(load_card("kvasir"), real_data).test[:12]
    (note,) = check_cases(cases)
    assert note.startswith("note: 12 of 12 masks: more than two levels"), "they are JPEG"
    for case in cases:
        assert case.mask is not None
        image, mask = read_image(case.image), read_mask(case.mask)
        assert image.shape == (*mask.shape, 3)
        assert 332 <= min(mask.shape) <= max(mask.shape) <= 1920
        assert 0.001 < mask.mean() < 0.95
        assert 20 < image.mean() < 235


def test_isic_images_are_256(real_data: Path) -> None:
    cases = make_split(load_card("isic2017"), real_data).test[:12]
    assert check_cases(cases) == []
    for case in cases:
        assert case.mask is not None
        assert read_image(case.image).shape == (256, 256, 3)
        assert 0 < read_mask(case.mask).mean() < 1
