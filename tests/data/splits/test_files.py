"""Splits as files: grouped, even in lesion size, and what is wrong with a file."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpsseg.data.cards.card import load_card
from gpsseg.data.case import Case
from gpsseg.data.splits.files import deal, read_split, write_split
from gpsseg.data.splits.split import make_split
from gpsseg.errors import UserError
from gpsseg.veil import hashed

KVASIR = load_card("kvasir")


def named(groups: list[int]) -> list[Case]:
    return [Case(f"c{i}", Path("x"), group=f"p{g}") for i, g in enumerate(groups)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=50),
    st.integers(2, 5),
    st.integers(0, 2**32),
)
def test_dealing_covers_is_disjoint_and_keeps_groups_together(
    groups: list[int], folds: int, seed: int
) -> None:
    cases = named(groups)
    sizes = np.random.default_rng(seed).random(len(cases)).tolist()
    if len(set(groups)) < folds:
        with pytest.raises(UserError, match="a group is never torn apart"):
            deal(cases, sizes, [1 / folds] * folds, seed)
        return
    dealt = deal(cases, sizes, [1 / folds] * folds, seed)
    assert sorted((case for fold in dealt for case in fold), key=cases.index) == cases
    homes = [{case.group for case in fold} for fold in dealt]
    assert sum(map(len, homes)) == len(set(groups))
    assert all(fold == sorted(fold, key=cases.index) for fold in dealt)
    assert deal(cases, sizes, [1 / folds] * folds, seed) == dealt


def test_folds_are_even_in_number_and_lesion_size() -> None:
    cases = named(list(range(200)))
    sizes = np.random.default_rng(0).lognormal(-3, 1, 200)
    size_of = dict(zip([case.id for case in cases], sizes, strict=True))
    folds = deal(cases, sizes.tolist(), [0.2] * 5, 1)
    assert [len(fold) for fold in folds] == [40] * 5
    large = [sum(size_of[c.id] > np.median(sizes) for c in fold) for fold in folds]
    assert max(large) - min(large) <= 1
    assert deal(cases, sizes.tolist(), [0.2] * 5, 2) != folds


def test_the_largest_group_is_dealt_first() -> None:
    """One patient of ten images and ten of one: ten each; were it last, it would come on top."""
    cases = named([0] * 10 + list(range(1, 11)))
    for seed in range(8):
        folds = deal(cases, [0.5] * 20, [0.5, 0.5], seed, as_before=True)
        assert [len(fold) for fold in folds] == [10, 10]


@pytest.mark.parametrize("share", [0.05, 0.12, 0.3, 0.5, 0.75])
def test_a_hold_out_has_the_share_asked_for(share: float) -> None:
    cases = named([i // 2 for i in range(400)])
    out, rest = deal(cases, np.linspace(0, 1, 400).tolist(), [share, 1 - share], 0)
    assert abs(len(out) - 400 * share) <= 4
    assert len(out) + len(rest) == 400


def write(kvasir: Path, tmp_path: Path, **parts: list[str]) -> str:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", **parts}))
    return str(path)


def test_a_split_file_decides_the_order_too(kvasir: Path, tmp_path: Path) -> None:
    names = [f"synthetic_polyp_{i:03d}" for i in range(8)]
    file = write(kvasir, tmp_path, train=names[:4][::-1], val=[names[5]], test=names[6:])
    split = make_split(KVASIR, kvasir, split=file)
    assert split.name == "mine"
    assert split.ids == {"train": names[:4][::-1], "val": [names[5]], "test": names[6:]}
    carved = make_split(
        KVASIR, kvasir, split=write(kvasir, tmp_path, train=names[:6], test=names[6:])
    )
    assert len(carved.train) + len(carved.val) == 6


def test_another_runs_split_is_a_split_file(kvasir: Path, tmp_path: Path) -> None:
    first = make_split(KVASIR, kvasir, seed=7)
    parts = {"train": first.train, "val": first.val, "test": first.test}
    write_split(tmp_path / "split.json", "again", parts)
    again = make_split(KVASIR, kvasir, split=str(tmp_path / "split.json"))
    assert (again.name, again.sha256) == ("again", first.sha256)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["synthetic_polyp_000"]}, "is no split: expected the lists train and test"),
        ({"train": ["x"], "test": ["synthetic_polyp_000"]}, "names 1 image that .* not have: x"),
        ({"train": ["a", "b"], "test": ["b"]}, "names b twice; an image belongs to one part only"),
        (
            {part: [f"synthetic_polyp_{i:03d}"] for i, part in enumerate(("train", "dev", "test"))},
            r"mine\.json lists images as dev that are in no part; expected their names in the list",
        ),
    ],
)
def test_a_bad_split_file(
    kvasir: Path, tmp_path: Path, parts: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_split(KVASIR, kvasir, split=write(kvasir, tmp_path, **parts))


def test_what_else_a_split_file_tells_is_no_part_of_it(kvasir: Path, tmp_path: Path) -> None:
    """What a run writes beside its parts, and notes of whoever made the file."""
    names = [f"synthetic_polyp_{i:03d}" for i in range(8)]
    skipped = [{"id": names[0], "part": "train", "why": "unreadable"}]
    told = {"schema": 1, "sha256": "0", "data": "real", "skipped": skipped, "made by": "hand"}
    told |= {"classes": ["polyp"], "shares": [0.8, 0.2], "hard": names[:2], "dev": []}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**told, "train": names[:5], "val": [], "test": names[5:]}))
    assert len(make_split(KVASIR, kvasir, split=str(file), training=False).train) == 5


def test_a_split_that_is_not_there(kvasir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json cannot be read"):
        make_split(KVASIR, kvasir, split=str(tmp_path / "gone.json"))
    with pytest.raises(UserError, match=r"Unknown split 'offical-880-120'\. Did you mean 'offici"):
        make_split(KVASIR, kvasir, split="offical-880-120")
    (kvasir / "Kvasir-SEG" / "splits" / "val.txt").unlink()
    with pytest.raises(UserError) as caught:
        make_split(KVASIR, kvasir, split="official-880-120")
    missing = kvasir / "Kvasir-SEG" / "splits" / "val.txt"
    assert str(caught.value) == (
        f"Split official-880-120 of Kvasir-SEG cannot be used, as there is no {missing}; "
        "`python -m gpsseg.datasets info kvasir` says where to get it."
    )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=8),
    st.floats(0.05, 0.95),
    st.integers(0, 2**32),
)
def test_no_hold_out_of_whole_groups_is_nearer_to_the_share(
    groups: list[int], share: float, seed: int
) -> None:
    cases = named([group for group, size in enumerate(groups) for _ in range(size)])
    lesions = np.random.default_rng(seed).uniform(0, 1, len(cases)).tolist()
    out, rest = deal(cases, lesions, [share, 1 - share], seed)
    assert sorted(out + rest, key=cases.index) == cases
    assert not {case.group for case in out} & {case.group for case in rest}
    totals = {0}
    for size in groups:
        totals |= {total + size for total in totals}
    wanted = share * len(cases)
    nearest = min(abs(total - wanted) for total in totals if 0 < total < len(cases))
    assert abs(len(out) - wanted) == pytest.approx(nearest, abs=1e-9)


def test_folds_are_as_even_as_their_groups_allow() -> None:
    """Two patients with 5 images, two with 4 and two with 3 fit into three folds of 8."""
    cases = named([0] * 5 + [1] * 5 + [2] * 4 + [3] * 4 + [4] * 3 + [5] * 3)
    for seed in range(20):
        lesions = np.random.default_rng(seed).uniform(0, 1, 24).tolist()
        assert [len(fold) for fold in deal(cases, lesions, [1 / 3] * 3, seed)] == [8, 8, 8]


def test_a_file_may_hash_its_ids_with_a_salt_that_is_known(tmp_path: Path) -> None:
    cases, salt = named([0, 1, 2]), "ab"
    hidden = [Case(hashed(case.id, salt), case.image) for case in cases]
    write_split(tmp_path / "s.json", "s", {"train": hidden[:2], "test": hidden[2:]})
    _, parts = read_split(tmp_path / "s.json", cases, salt)
    assert parts == {"train": cases[:2], "test": cases[2:]}
    for other in (None, "cd"):
        with pytest.raises(UserError, match="that the set does not have"):
            read_split(tmp_path / "s.json", cases, other)


def test_a_file_may_name_images_of_another_split_than_the_first(tmp_path: Path) -> None:
    """Of a card with two tables; the file's images are in the second one."""
    for name, ids in (("one", "abc"), ("two", "defg")):
        lines = [f"{i}.png,{i}_mask.png" for i in ids]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,mask", *lines]))
        for i in ids:
            for file in (f"{i}.png", f"{i}_mask.png"):
                Image.new("L", (2, 2), 255).save(tmp_path / file)
    rules = [{"name": n, "all": {"table": f"{n}.csv"}, "test_share": 0.2} for n in ("one", "two")]
    card = dataclasses.replace(KVASIR, root=tmp_path, folder=".", splits=rules, group=None)
    (tmp_path / "s.json").write_text(json.dumps({"train": ["d", "e", "f"], "test": ["g"]}))
    split = make_split(card, tmp_path, split=str(tmp_path / "s.json"))
    assert split.ids["test"] == ["g"]
    assert {*split.ids["train"], *split.ids["val"]} == set("def")


FITS = "ids stand without ending and folder, spelt as in the set. Write them so."


@pytest.mark.parametrize(
    "form",
    ["{}.jpg", "images/{}.jpg", "C:\\own\\images\\{}.jpg", " {} ", "{}_mask", "/data/{}.PNG", "up"],
)
def test_names_that_would_fit_are_said_to(tmp_path: Path, form: str) -> None:
    """Neither is it another set, nor was an image removed."""
    cases = [Case(f"scan{i}", Path(f"images/scan{i}.jpg")) for i in range(4)]
    names = [c.id.upper() if form == "up" else form.format(c.id) for c in cases]
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"train": names[:2], "test": names[2:]}))
    with pytest.raises(UserError) as error:
        read_split(file, cases)
    assert str(error.value) == (
        f"{file} names 4 images otherwise than by their ids, such as {names[0]}; expected scan0: "
        f"{FITS}"
    )
    file.write_text(json.dumps({"train": [*names[:2], "nope"], "test": ["scan3"]}))
    with pytest.raises(UserError, match=r"names 2 images otherwise .* It also names 1 image that "):
        read_split(file, cases)


def test_names_that_would_fit_two_images_or_another_id(tmp_path: Path) -> None:
    cases = [Case(f"p{i}/a", Path(f"p{i}/a.jpg")) for i in range(2)]
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"train": ["a"], "test": ["p1/a"]}))
    with pytest.raises(UserError, match=r"the set does not have: a\. It belongs"):
        read_split(file, cases)
    file.write_text(json.dumps({"train": ["x/p0/a.jpg"], "test": ["p1/a"]}))
    with pytest.raises(UserError, match=r"as x/p0/a\.jpg; expected p0/a: ids stand without end"):
        read_split(file, cases)
    file.write_text(json.dumps({"train": ["own/x.jpg"], "test": ["c1"]}))
    with pytest.raises(UserError, match=r"as own/x\.jpg; expected c0: ids stand without ending"):
        read_split(file, [Case("c0", Path("own/x.jpg")), Case("c1", Path("own/y.jpg"))])


A, B, C = ["a"], ["b"], ["c"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"Train": A, "Val": B, "Test": C},
            "Its keys are Train, Val, Test; call them train, val and test.",
        ),
        (
            {"training": A, "validation": B, "testing": C, "by": "me"},
            "Its keys are training, validation, testing; call them train, val and test.",
        ),
        ({"train": A, "Test": C}, "Its keys are train, Test; call them train and test."),
        ({"split": {"train": A, "test": B}}, "A split stands below split; put what stands there"),
        ({"folds": [{"train": A, "test": B}]}, "A split stands below folds; put what stands"),
        ({"folds": [{"train": A, "test": B}] * 2}, "Splits stand below folds; write a file for"),
        (
            {"fold_0": {"train": A, "test": B}, "fold_1": {"Train": A, "Test": B}},
            "Splits stand below fold_0, fold_1; write a file for each.",
        ),
        ({"a": "train", "b": "test"}, "It gives each name its part, such as a (and 1 more); list"),
        ([{"train": A, "test": B}] * 2, "It is a list of 2 splits; write a file for each."),
        ({"train": A, "val": B}, "Its keys are train, val. Make one with `python -m gpsseg.dat"),
        ({"subset": A}, "Its key is subset. Make one with"),
        ({}, "It is empty. Make one with"),
        (7, "It is 7. Make one with"),
    ],
)
def test_a_file_that_is_no_split_is_told_what_it_holds(
    tmp_path: Path, content: object, told: str
) -> None:
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_split(tmp_path / "s.json", [Case(each, Path("x")) for each in "abc"])
    expected = "s.json is no split: expected the lists train and test (and perhaps val) of image "
    assert f"{expected}names. {told}" in str(error.value)


@pytest.mark.parametrize("there", ["split.txt", "folder"])
def test_a_split_that_is_another_file_says_what_was_expected(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    if path.suffix:
        path.write_text("a\n")
    else:
        path.mkdir()
    with pytest.raises(
        UserError, match=r"is a file or folder, expected the name of a split .*json"
    ):
        make_split(KVASIR, None, split=str(path))
