"""A split's file: lists that are no part, images in none of them, and parts that are empty."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gpsseg.data.cards.card import load_card
from gpsseg.data.case import Case
from gpsseg.data.splits.besides import is_word_for_part
from gpsseg.data.splits.drawn import hash_of_ids
from gpsseg.data.splits.files import read_split
from gpsseg.data.splits.split import brings_validation, make_split
from gpsseg.errors import UserError
from gpsseg.veil import hashed

KVASIR = load_card("kvasir")
POLYPS = [f"synthetic_polyp_{i:03d}" for i in range(8)]
CASES = [
    Case(f"p{i:02d}", Path(f"scans/p{i:02d}.png"), Path(f"truth/m{i:02d}.png")) for i in range(10)
]


def write(tmp_path: Path, **content: Any) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    return path


def read(tmp_path: Path, others: dict[str, Any]) -> dict[str, list[Case]]:
    """p07 to p09 are in no part."""
    listed = {"train": [f"p{i:02d}" for i in range(5)], "test": ["p05", "p06"]}
    return read_split(write(tmp_path, **listed, **others), CASES)[1]


WAYS: dict[str, Any] = {
    "objects": [{"image": "p07"}, {"image": "p08"}],
    "MONAI's": [{"image": "scans/p07.png", "label": "truth/m07.png"}],
    "masks of other names": ["truth/m07.png"],
    "a list in a list": [["p07", "p08"]],
    "an object of lists": {"ids": ["p07"]},
    "a mapping": {"p07": 1, "p08": 1},
    "one name": "p07",
    "names with commas": "p07,p08",
    "lines": "p07\np08\n",
    "endings": ["p07.png", "p08.PNG"],
    "folders": ["set/scans/p07.png"],
    "Windows": ["scans\\p07.png"],
    "words of masks": ["p07_mask"],
    "blanks": [" p07 "],
    "capitals": ["P07"],
}


@pytest.mark.parametrize("way", WAYS)
def test_another_list_is_refused_however_it_is_written(tmp_path: Path, way: str) -> None:
    with pytest.raises(UserError, match=r"mine\.json lists images as validation that are in no pa"):
        read(tmp_path, {"validation": WAYS[way]})


@pytest.mark.parametrize(
    "others",
    [
        {"other": {"validation": ["p07"]}},
        {"other": {"hold-out": "p07"}},
        {"Val": ["p07"]},
        {"valIds": "p07 p08"},
        {"hard cases": ["p00, p07"]},
        {"left out": {"why": [{"image": "p07.png"}]}},
    ],
)
def test_another_list_is_refused_below_any_key(tmp_path: Path, others: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"lists images as {next(iter(others))} that are in no p"):
        read(tmp_path, others)


@pytest.mark.parametrize(
    "others",
    [
        {"note": "p07 was left out for its quality"},
        {"notes": ["p07 was blurred, as p08 was", "p01"]},
        {"quality": {"p07": "blurred", "p08": {"grade": 2}}},
        {"validation": "one in seven of train, by a seed"},
        {"validation": None, "test date": "2024", "validated": True},
        {"shares": [0.7, 0.2], "seed": 7, "reader": "p07"},
        {"skipped": [{"id": "p07", "part": "train", "why": "unreadable"}]},
        {"hard": ["p00", "p06.png", "nobody"]},
    ],
)
def test_notes_of_a_split_are_read_over(tmp_path: Path, others: dict[str, Any]) -> None:
    assert len(read(tmp_path, others)["train"]) == 5


@pytest.mark.parametrize(
    "others",
    [
        {"seeds": [0, 1, 2], "image_size": [352, 352], "spacing": [1, 1, 3]},
        {"counts": {"train": 500, "test": 6}, "per fold": ["1, 2"]},
        {"validation": 8},
        {"test_fold": 3, "test set": "Dataset 7"},
        {"validation": "official, images 1 to 9"},
    ],
)
def test_numbers_are_no_names_of_images_that_are_called_by_numbers(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    """As those of CVC-ClinicDB are; but where they are listed as a part."""
    cases = [Case(f"{i}", Path(f"{i}.png")) for i in range(10)]
    parts = {"train": ["4", "5"], "test": ["6"]}
    read_split(write(tmp_path, **parts, **others), cases)
    for listed in ([7, 8], ["7.png"], "7,8"):
        with pytest.raises(UserError, match="lists images as validation that are in no part"):
            read_split(write(tmp_path, **parts, validation=listed), cases)


def test_the_end_of_a_path_names_nothing_where_two_images_have_it(tmp_path: Path) -> None:
    cases = [Case(f"{site}/{n}", Path(f"{site}/{n}.png")) for site in "ab" for n in (1, 2)]
    parts = {"train": ["a/1", "a/2"], "test": ["b/1"]}
    read_split(write(tmp_path, **parts, hard=["a/2.png", "2.png"]), cases)
    for name in ("b/2.png", "set/b/2.png"):
        with pytest.raises(UserError, match="lists images as hard that are in no part"):
            read_split(write(tmp_path, **parts, hard=[name]), cases)


def test_hashed_names_of_a_list_are_names(tmp_path: Path) -> None:
    ids = [hashed(case.id, "ab") for case in CASES]
    parts = {"train": ids[:5], "test": ids[5:7]}
    read_split(write(tmp_path, **parts, hard=["p00", ids[1]]), CASES, "ab")
    with pytest.raises(UserError, match="lists images as dev that are in no part"):
        read_split(write(tmp_path, **parts, dev=ids[7:]), CASES, "ab")


@pytest.mark.parametrize(
    "key", ["validation", "VAL", "dev set", "Hold-out", "test_ids", "fold1 val"]
)
def test_other_words_for_a_part(key: str) -> None:
    assert is_word_for_part(key)
    assert not is_word_for_part(f"{key} note")


def test_another_split_of_a_set_makes_a_list_no_note(tmp_path: Path) -> None:
    """The second table lacks the image that the first one has and the file lists elsewhere."""
    for name, ids in (("one", "abcd"), ("two", "abc")):
        lines = "".join(f"{i}.png,{i}_mask.png\n" for i in ids)
        (tmp_path / f"{name}.csv").write_text(f"image,mask\n{lines}")
        for i in ids:
            (tmp_path / f"{i}.png").touch()
            (tmp_path / f"{i}_mask.png").touch()
    rules = [{"name": n, "all": {"table": f"{n}.csv"}, "test_share": 0.2} for n in ("one", "two")]
    card = dataclasses.replace(KVASIR, root=tmp_path, folder=".", splits=rules, group=None)
    path = write(tmp_path, train=["a", "b"], test=["c"], validation=["d"])
    with pytest.raises(UserError, match="lists images as validation that are in no part"):
        make_split(card, tmp_path, split=str(path))


def notes_of(kvasir: Path, path: Path) -> tuple[str, ...]:
    return make_split(KVASIR, kvasir, split=str(path)).notes


def test_images_in_no_part_are_said(kvasir: Path, tmp_path: Path) -> None:
    """Of the eight images of the set."""
    path = write(tmp_path, train=POLYPS[:2], test=POLYPS[2:4])
    (note,) = notes_of(kvasir, path)
    assert note == (
        "note: 4 of 8 images of the set are in no part of the split's file, and not used: "
        "synthetic_polyp_004, synthetic_polyp_005, synthetic_polyp_006 (and 1 more)"
    )
    (note,) = make_split(KVASIR, kvasir, split=str(path), salt="ab").notes
    assert note.endswith("not used")
    (note,) = notes_of(kvasir, write(tmp_path, train=POLYPS[:5], test=POLYPS[5:7]))
    assert note.startswith("note: 1 of 8 images of the set is in no part")
    assert notes_of(kvasir, write(tmp_path, train=POLYPS[:5], test=POLYPS[5:8])) == ()


def test_a_run_knows_what_its_split_leaves_out(kvasir: Path, tmp_path: Path) -> None:
    """Unless its lists were changed since."""
    parts = {"train": POLYPS[:4], "val": POLYPS[4:5], "test": POLYPS[5:7]}
    assert notes_of(kvasir, write(tmp_path, **parts, sha256=hash_of_ids(parts))) == ()
    changed = {**parts, "train": POLYPS[:3]}
    assert len(notes_of(kvasir, write(tmp_path, **changed, sha256=hash_of_ids(parts)))) == 1


@pytest.mark.parametrize(
    ("part", "fix"),
    [
        ("train", r"Fill it in\.$"),
        ("val", r"Fill it in, or leave it out: then --val-share of the training images validate"),
        ("test", r"Fill it in\.$"),
    ],
)
def test_an_empty_list_is_called_so(kvasir: Path, tmp_path: Path, part: str, fix: str) -> None:
    parts = {"train": POLYPS[:3], "val": POLYPS[3:4], "test": POLYPS[4:6], part: []}
    path = write(tmp_path, **parts)
    for size in (None, 2):
        with pytest.raises(UserError, match=rf"in the {part} part .* {part} is empty\. {fix}"):
            make_split(KVASIR, kvasir, split=str(path), train_size=size)
    assert (brings_validation(KVASIR, kvasir, str(path)) is None) == (part == "val")
