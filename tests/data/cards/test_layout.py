"""Patterns of data cards, groups, annotators and classes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.cards.card import Card, choose_classes, load_card
from gpsseg.data.cards.groups import with_groups
from gpsseg.data.cards.layout import part_cases
from gpsseg.data.cards.patterns import find_files
from gpsseg.data.case import Case, case_mask
from gpsseg.data.splits.split import find_cases, make_split
from gpsseg.errors import UserError

KVASIR = load_card("kvasir")
CLINIC = load_card("cvc-clinicdb")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 255).save(root / name)
    return root


def found(root: Path, pattern: str) -> dict[str, dict[str, str]]:
    return {p.relative_to(root).as_posix(): places for p, places in find_files(root, pattern)}


def test_places_take_one_part_of_a_name_and_the_same_twice(tmp_path: Path) -> None:
    touch(tmp_path, "d_A/i_A/1.png", "d_A/i_B/2.png", "d_B/i_B/3.png", "d_A/i_A/.4.png")
    assert found(tmp_path, "d_{x}/i_{x}/{id}.png") == {
        "d_A/i_A/1.png": {"x": "A", "id": "1"},
        "d_B/i_B/3.png": {"x": "B", "id": "3"},
    }
    assert list(found(tmp_path, "d_{x:[A]}/i_{x}/{id}.png")) == ["d_A/i_A/1.png"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a.png"]),
        ("*", ["a.JPG", "a.png", "b.gif"]),
        ("**/*", ["a.JPG", "a.png", "b.gif", "c/d.tif"]),
        ("{id:[!a]}.*", ["b.gif"]),
        ("c/?.tif", ["c/d.tif"]),
    ],
)
def test_wildcards_and_open_endings(tmp_path: Path, pattern: str, names: list[str]) -> None:
    touch(tmp_path, "a.png", "a.JPG", "b.gif", "c/d.tif", ".hidden/e.png")
    (tmp_path / "notes.txt").touch()
    assert sorted(found(tmp_path, pattern)) == names


def test_an_id_may_hold_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "C1/1.png", "C2/1.png", "C1m/1.png", "C2m/1.png")
    rule = {"images": "{c:C[12]}/{id}.png", "masks": "{c}m/{id}.png", "id": "{c}/{id}"}
    cases = part_cases(tmp_path, rule)
    assert [case.id for case in cases] == ["C1/1", "C2/1"]
    assert [case.mask and case.mask.parent.name for case in cases] == ["C1m", "C2m"]
    with pytest.raises(UserError, match=r"two images of one name, 1\. Rename"):
        part_cases(tmp_path, {**rule, "id": "{id}"})


def test_a_mask_pattern_with_a_star_wants_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "i/a[1].png", "m/a[1].tif")
    rule = {"images": "i/*.png", "masks": "m/{id}.*"}
    (case,) = part_cases(tmp_path, rule)
    assert case.mask == tmp_path / "m" / "a[1].tif"
    touch(tmp_path, "m/a[1].png")
    with pytest.raises(UserError, match=r"both fit .*: one mask an image is expected"):
        part_cases(tmp_path, rule)


def test_a_mask_of_other_capitals_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.png", "i/b.png", "m/A_seg.png", "m/b_seg.png")
    hint = r"A_seg\.png would fit a but for its capitals: spell both alike\."
    for masks in ({"masks": "m/{id}_seg.png"}, {"masks_in": "m"}):
        with pytest.raises(UserError, match=rf"has no mask.* {hint}$"):
            part_cases(tmp_path, {"images": "i/*.png", **masks})


def test_masks_found_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "i/p1/a.png", "i/p2/a.png", "m/p1/a_mask.png", "m/p2/a_mask.png")
    cases = part_cases(tmp_path, {"images": "i/**/*", "masks_in": "m"})
    assert [(case.id, case.mask and case.mask.parent.name) for case in cases] == [
        ("p1/a", "p1"), ("p2/a", "p2"),
    ]  # fmt: skip
    touch(tmp_path, "i/b.png")
    with pytest.raises(UserError, match="1 of 3 images has no mask: b"):
        part_cases(tmp_path, {"images": "i/**/*", "masks_in": "m"})
    lenient = part_cases(tmp_path, {"images": "i/**/*", "masks_in": "m"}, require_masks=False)
    assert [case.id for case in lenient if case.mask is None] == ["b"]


def test_images_and_masks_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_mask.png", "b.jpg", "b_segmentation.png")
    cases = part_cases(tmp_path, {"images": "**/*", "masks_in": "."})
    assert {case.id: case.mask and case.mask.name for case in cases} == {
        "a": "a_mask.png",
        "b": "b_segmentation.png",
    }


def test_the_sequences_of_clinicdb() -> None:
    """29 sequences, 612 frames: every frame is in one, and neighbours across a border are not."""
    cases = [Case(str(number), Path("x")) for number in range(0, 614)]
    groups = [case.group for case in with_groups(cases, CLINIC.group, Path("."))]
    assert groups[0] is groups[613] is None
    assert None not in groups[1:613]
    assert len(set(groups[1:613])) == 29
    assert groups[25] != groups[26] == groups[50] != groups[51]
    assert groups[591] != groups[592] == groups[612]


def test_pranet_knows_sequences_of_clinicdb_only() -> None:
    names = ["7", "CVC-ClinicDB/7", "CVC-300/7", "cju0qkwl35piu0993l0dewei2", "Kvasir/cju1"]
    cases = [Case(name, Path("x")) for name in names]
    groups = [case.group for case in with_groups(cases, load_card("pranet").group, Path("."))]
    assert groups == ["1-25", "1-25", None, None, None]


@pytest.mark.parametrize("text", ["id,who\na,p1\nb,p1\n", "\ufeffid;who\na;p1\nb;p1\n"])
def test_groups_of_a_table(tmp_path: Path, text: str) -> None:
    rule = {"csv": "who*", "key": "id", "value": "who"}
    cases = [Case(name, Path("x"), group=None) for name in "abc"]
    with pytest.raises(UserError, match=r"who\* is not there; it says which images belong"):
        with_groups(cases, rule, tmp_path)
    (tmp_path / "who.csv").write_text(text, encoding="utf-8")
    assert [case.group for case in with_groups(cases, rule, tmp_path)] == ["p1", "p1", None]
    with pytest.raises(UserError, match=r"has no column whom\. Did you mean 'who'\?"):
        with_groups(cases, {**rule, "value": "whom"}, tmp_path)


@pytest.mark.parametrize("word", ["NA", "nan", "-", "unknown", ""])
def test_a_word_for_none_is_no_group_of_a_card(tmp_path: Path, word: str) -> None:
    (tmp_path / "who.csv").write_text(f"id,who\na,{word}\nb,{word}\nc, p \n")
    cases = [Case("a", Path("x")), Case("b", Path("x"), group="own"), Case("c", Path("x"))]
    by_table = with_groups(cases, {"csv": "who.csv", "key": "id", "value": "who"}, tmp_path)
    assert [case.group for case in by_table] == [None, "own", "p"]
    assert [case.none for case in by_table] == [word, "", ""]
    named = [Case(f"{word}_1", Path("x")), Case(f"{word}_2", Path("x")), Case("p_3", Path("x"))]
    by_name = with_groups(named, {"id": r"(.*)_\d"}, tmp_path)
    assert [case.group for case in by_name] == [None, None, "p"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,who,who\na,p1,p2\n", "who.csv names the column who twice. Leave one out"),
        ("id,who\na,p1\nb,p2\na,p2\n", "who.csv: line 2 and line 4 are both of a and differ in"),
    ],
)
def test_two_groups_of_one_image_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "who.csv").write_text(text)
    with pytest.raises(UserError) as error:
        with_groups([Case("a", Path("x"))], {"csv": "*.csv", "key": "id", "value": "who"}, tmp_path)
    assert told in str(error.value)


def annotated(tmp_path: Path, **rule: Any) -> Card:
    """Three annotators of a row of four pixels: 1, 2 and 3 of them mark pixels 2, 1 and 0."""
    for name, row in (("ann", [1, 1, 1, 0]), ("ben", [1, 1, 0, 0]), ("cleo", [1, 0, 0, 0])):
        (tmp_path / "Set" / name).mkdir(parents=True)
        for case in range(8):
            pixels = np.array([row], np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / "Set" / name / f"{case}.png")
            touch(tmp_path / "Set", f"images/{case}.png")
    masks = {name: f"{name}/{{id}}.png" for name in ("ann", "ben", "cleo")}
    split = {"name": "s", "all": {"images": "images/*", "masks": masks, **rule}, "test_share": 0.25}
    return dataclasses.replace(KVASIR, name="set", folder="Set", splits=[split])


@pytest.mark.parametrize(
    ("rule", "marked"),
    [
        ({}, 2),
        ({"annotator": "majority"}, 2),
        ({"annotator": "ann"}, 3),
        ({"annotator": "cleo"}, 1),
    ],
)
def test_annotators_vote_or_one_is_chosen(
    tmp_path: Path, rule: dict[str, str], marked: int
) -> None:
    card = annotated(tmp_path, **rule)
    assert not find_cases(card, tmp_path).lone_masks
    for case in make_split(card, tmp_path).train:
        assert case_mask(case)[0].tolist() == [True] * marked + [False] * (4 - marked)


def test_two_annotators_must_agree_and_one_alone_decides(tmp_path: Path) -> None:
    card = annotated(tmp_path)
    (tmp_path / "Set" / "ann" / "0.png").unlink()
    (tmp_path / "Set" / "ann" / "1.png").unlink()
    (tmp_path / "Set" / "ben" / "1.png").unlink()
    cases = {case.id: case for case in find_cases(card, tmp_path).cases}
    assert case_mask(cases["0"])[0].tolist() == [True, False, False, False]
    assert case_mask(cases["1"])[0].tolist() == [True, False, False, False]


def test_annotators_masks_of_two_sizes(tmp_path: Path) -> None:
    card = annotated(tmp_path)
    Image.new("L", (3, 1)).save(tmp_path / "Set" / "ben" / "0.png")
    with pytest.raises(
        UserError, match=r"1x3 but .* is 1x4 .*: the annotators' masks of one image"
    ):
        case_mask(find_cases(card, tmp_path).cases[0])


def with_classes(tmp_path: Path, classes: dict[str, Any], pixels: np.ndarray, end: str) -> Card:
    for case in range(4):
        touch(tmp_path / "Set", f"images/{case}.png")
        (tmp_path / "Set" / "masks").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "Set" / "masks" / f"{case}.{end}")
    rule = {"images": "images/*", "masks": f"masks/{{id}}.{end}"}
    splits = [{"name": "s", "all": rule, "test_share": 0.25}]
    return dataclasses.replace(KVASIR, name="s", folder="Set", splits=splits, classes=classes)


def test_classes_by_colour(tmp_path: Path) -> None:
    """Red, green and black stripes in a JPEG: both colours count, or the one chosen."""
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, :16, 0] = pixels[:, 16:32, 1] = 255
    card = with_classes(tmp_path, {"neo": [255, 0, 0], "non": [0, 255, 0]}, pixels, "jpg")
    for names, expected in (((), [1, 1, 0]), (("neo",), [1, 0, 0]), (("non",), [0, 1, 0])):
        chosen = choose_classes(card, names)
        mask = case_mask(find_cases(chosen, tmp_path).cases[0])
        assert mask[8, 8::16].tolist() == [bool(value) for value in expected]
    assert choose_classes(card, ("neo",)).foreground == "neo"
    with pytest.raises(UserError, match=r"Unknown class 'neoo'\. Did you mean 'neo'\?"):
        choose_classes(card, ("neoo",))
    with pytest.raises(UserError, match="Kvasir-SEG has one class, polyp"):
        choose_classes(KVASIR, ("polyp",))


def test_classes_by_value(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 2]], np.uint8)
    card = with_classes(tmp_path, {"liver": 1, "tumour": 2}, pixels, "png")
    assert case_mask(find_cases(card, tmp_path).cases[0]).tolist() == [[False, True, True]]
    tumour = choose_classes(card, ("tumour",))
    assert case_mask(find_cases(tumour, tmp_path).cases[0]).tolist() == [[False, False, True]]
    strange = dataclasses.replace(card, classes={"liver": 1})
    with pytest.raises(UserError, match=r"holds the value 2, expected 0 or a class .*: 1\."):
        case_mask(find_cases(strange, tmp_path).cases[0])


def test_classes_of_a_palette_are_its_indices(tmp_path: Path) -> None:
    card = with_classes(tmp_path, {"a": 1, "b": 2}, np.array([[0, 1, 2]], np.uint8), "png")
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    image.save(tmp_path / "Set" / "masks" / "0.png")
    case = find_cases(choose_classes(card, ("b",)), tmp_path).cases[0]
    assert case_mask(case).tolist() == [[False, False, True]]
