"""A share is a share of the images; groups stay whole; what was split before stays as it was."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpsseg.data.cards.card import load_card
from gpsseg.data.cards.own import table_card
from gpsseg.data.case import Case
from gpsseg.data.splits.carve import BLOCK, carve, first_with_sum, nearest_total
from gpsseg.data.splits.split import make_split
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError


def of_sizes(sizes: list[int]) -> list[Case]:
    """Groups of these sizes; a group of one image names none."""
    return [
        Case(f"{group}-{i}", Path("x.png"), group=f"patient {group}" if size > 1 else None)
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


SIZES = st.lists(st.integers(1, 9), min_size=2, max_size=8)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.floats(0.001, 0.999), st.integers(0, 2**32))
def test_no_choice_of_groups_is_nearer_to_the_share(
    sizes: list[int], share: float, seed: int
) -> None:
    cases, images = of_sizes(sizes), sum(sizes)
    carved = carve(cases, share, seed)
    assert sorted(carved.rest + carved.picked, key=cases.index) == cases, "covers, disjoint"
    assert carved.rest
    assert carved.picked
    assert {c.group for c in carved.rest if c.group}.isdisjoint(c.group for c in carved.picked)
    totals = [
        sum(size for size, taken in zip(sizes, some, strict=True) if taken)
        for some in product((False, True), repeat=len(sizes))
    ]
    nearest = min(abs(total - share * images) for total in totals if 0 < total < images)
    assert abs(len(carved.picked) - share * images) == pytest.approx(nearest, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(SIZES, st.floats(0.001, 0.999), st.integers(0, 2**32))
def test_the_old_choice_is_kept_unless_another_is_nearer(
    sizes: list[int], share: float, seed: int
) -> None:
    cases = of_sizes(sizes)
    old, new = carve(cases, share, seed, by_groups=True), carve(cases, share, seed)
    assert old.as_before
    if new.as_before:
        assert (new.rest, new.picked) == (old.rest, old.picked)
    elif old.rest:
        missed = [abs(len(carved.picked) - share * len(cases)) for carved in (old, new)]
        assert missed[1] < missed[0]


@pytest.mark.parametrize("seed", range(6))
def test_one_large_patient_does_not_decide_how_many_images_are_tested(seed: int) -> None:
    """20 % of 100 images, of whom one patient has 60 and ten have four."""
    carved = carve(of_sizes([60] + [4] * 10), 0.2, seed)
    assert (len(carved.picked), carved.note) == (20, "")


def test_a_share_that_cannot_be_had_is_said() -> None:
    carved = carve(of_sizes([90] + [1] * 10), 0.2, 0)
    assert len(carved.picked) == 10
    assert carved.note == (
        "test part has 10 of 100 images (asked 20): one group has 90, and groups stay whole."
    )


def test_without_groups_nothing_changes() -> None:
    carved = carve(of_sizes([1] * 5000), 0.15, 3)
    assert (len(carved.picked), carved.as_before) == (750, True)


def test_many_groups_are_summed_in_blocks() -> None:
    sizes = [2] * (3 * BLOCK) + [3]
    picked = first_with_sum(sizes, 2 * BLOCK + 3)
    assert picked == [*range(BLOCK), 3 * BLOCK], "the earlier ones, and the only odd one"
    assert nearest_total(sizes, 7.2, 2) == 7


def frames_of_clinicdb(folder: Path) -> Path:
    """The names of all 612 frames, as published."""
    for name in ("Original", "Ground Truth"):
        place = folder / "CVC-ClinicDB" / "PNG" / name
        place.mkdir(parents=True)
        for number in range(1, 613):
            (place / f"{number}.png").touch()
    return folder


# Made by version 0.1 (b1e6db5), which took a share of the groups; seed of val -> sha256.
FRAMES = {
    0: "2ffcb36b48770790ba194e5f12b81417307d20bf2a72d2127d3823ac5edecaf9",
    1: "18747e47ca0fd2a8743f693f0b727227b4f64b4f7352d8d5f0c9e20bf6103980",
}
SYNTHESIZED = {
    "cvc-clinicdb": (
        "sequences-90-10",
        "2e276314abb3ff75809cbcd33adb8efeb212ee674eb207455e5d44e570768e57",
    ),
    "ham10000": (
        "lesions-80-20",
        "30b3701c51af191972da51501c786a3b24147356b6c188cca70d294a0aba07e3",
    ),
    "polypgen": (
        "centre-6-held-out",
        "c520e4404f13449b92b224b0fc374a4d20a130afd843cedd833e3312b4b3ed92",
    ),
    "pranet": (
        "pranet-all",
        "eaca6e9d0663abe8915212c59328c34574c0c58dc29ff9d6a080091909be571d",
    ),
    "kvasir": (
        "official-880-120",
        "cd11c146fdebf8f3a02a1e02d09680509ae95cfe932a719355ea778758b6250d",
    ),
    "isic2017": (
        "train-to-validation-2000-150",
        "86804901d194563bb3a41c69460a6116ffdf8034f1f0ed32e6f7c96d10b35124",
    ),
}


@pytest.mark.parametrize("name", SYNTHESIZED)
def test_published_splits_keep_name_and_hash(name: str, tmp_path: Path) -> None:
    synthesize(name, tmp_path, cases=40, seed=0, size=16)
    for asked in (None, SYNTHESIZED[name][0]):
        split = make_split(load_card(name), tmp_path, split=asked)
        assert (split.name, split.sha256) == SYNTHESIZED[name]


def test_a_published_share_of_sequences_is_had_by_its_name(tmp_path: Path) -> None:
    """3 of 29 sequences have 67 of 612 frames; others have 61, which is nearer to 61.2."""
    root, card = frames_of_clinicdb(tmp_path), load_card("cvc-clinicdb")
    for seed, sha256 in FRAMES.items():
        split = make_split(card, root, seed=seed, split="sequences-90-10")
        assert (split.name, split.sha256) == ("sequences-90-10", sha256)
    new = make_split(card, root)
    assert new.name == "sequences-90-10-by-images"
    assert (len(new.train) + len(new.val), len(new.test)) == (551, 61)
    assert abs(len(new.val) - 0.15 * 551) < 1
    assert make_split(card, root, split=new.name) == new
    assert not {c.group for c in new.test} & {c.group for c in (*new.train, *new.val)}


def table(folder: Path, sizes: list[int]) -> Path:
    """Touches images and masks, and lists them with their groups."""
    rows = []
    for case in of_sizes(sizes):
        for name in (f"{case.id}.png", f"{case.id}_mask.png"):
            (folder / name).touch()
        rows.append(f"{case.id}.png,{case.id}_mask.png,{case.group or ''}")
    path = folder / "cases.csv"
    path.write_text("\n".join(["image,mask,group", *rows]) + "\n")
    return path


def test_another_choice_than_before_has_another_name(tmp_path: Path) -> None:
    card = table_card(table(tmp_path, [60] + [4] * 10))
    new, old = make_split(card, None), make_split(card, None, split="seeded-80-20-by-groups")
    assert (new.name, len(new.test)) == ("seeded-80-20-by-images", 20)
    assert old.name == "seeded-80-20", "two of eleven groups: 8 or 64 images"
    assert len(old.test) in (8, 64)
    assert make_split(card, None, split="seeded-80-20") == new


def test_one_group_alone_cannot_be_divided(tmp_path: Path) -> None:
    card = table_card(table(tmp_path, [10]))
    with pytest.raises(
        UserError, match=r"no image left in the train part of its split .*one group has 10"
    ):
        make_split(card, None)
