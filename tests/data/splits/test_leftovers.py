"""Which files of one's own set are joined, and that no file is left out without a word."""

import glob
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.cards.card import Card
from gpsseg.data.cards.layout import part_cases
from gpsseg.data.cards.own import folder_card, table_card
from gpsseg.data.cards.patterns import find_files
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.case import Case, case_labels, case_mask
from gpsseg.data.formats.filenames import left_out
from gpsseg.data.formats.maps import find_maps
from gpsseg.data.formats.masks import Labels
from gpsseg.data.splits.leftovers import file_notes, notes_of
from gpsseg.data.splits.split import find_cases
from gpsseg.errors import UserError


def mask(path: Path, x: int, value: int = 255, size: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = np.zeros(size, np.uint8)
    pixels[2:4, x : x + 5] = value
    Image.fromarray(pixels).save(path)
    return path


def image(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(path)
    return path


def busi(root: Path, masks: str) -> Card:
    for k in range(3):
        image(root / "i" / f"benign ({k}).png")
        mask(root / masks / f"benign ({k})_mask.png", 0)
    mask(root / masks / "benign (1)_mask_1.png", 10)
    mask(root / masks / "benign (1)_mask_2.png", 12)
    return folder_card(root / "i", root / masks)


@pytest.mark.parametrize("masks", ["m", "i"])
def test_masks_of_one_image_are_joined_in_two_folders_and_in_one(
    tmp_path: Path, masks: str
) -> None:
    card = busi(tmp_path, masks)
    found = find_cases(card, None)
    sizes = {case.id: int(case_mask(case).sum()) for case in found.cases}
    assert sizes == {"benign (0)": 10, "benign (1)": 10 + 14, "benign (2)": 10}
    assert found.lone_masks == ()
    (note,) = file_notes(card, None)
    assert note.startswith("note: the masks of 1 image are in several files (3 in all, such as be")
    assert "benign" not in file_notes(card, None, nameless=True)[0]


def test_what_predict_leaves_beside_masks_is_not_told(tmp_path: Path) -> None:
    card = busi(tmp_path, "m")
    before = file_notes(card, None)
    for name in (
        "benign (0)_mask_overlay.jpg",
        "benign (1)_mask_uncertainty.png",
        "uncertainty.csv",
    ):
        image(tmp_path / "m" / f"{name}.png").rename(tmp_path / "m" / name)
    for name in ("predict.json", "propagated.csv"):
        (tmp_path / "m" / name).touch()
    assert file_notes(card, None) == before
    image(tmp_path / "m" / "other_overlay.jpg")
    assert "other_overlay.jpg" in file_notes(card, None)[-1]


def test_a_table_and_a_pattern_join_too(tmp_path: Path) -> None:
    busi(tmp_path, "m")
    (tmp_path / "a.csv").write_text(
        "image,mask\n" + "".join(f"i/benign ({k}).png,m/benign ({k})_mask.png\n" for k in range(3))
    )
    cases = table_cases(tmp_path / "a.csv")["all"]
    assert [int(case_mask(case).sum()) for case in cases] == [10, 24, 10]
    (note,) = file_notes(table_card(tmp_path / "a.csv"), None)
    assert "1 image are in several files (3 in all" in note
    image(tmp_path / "i" / "other.png")
    with (tmp_path / "a.csv").open("a") as file:
        file.write("i/other.png,m/benign (1)_mask_1.png\n")
    cases = table_cases(tmp_path / "a.csv")["all"]
    assert [int(case_mask(case).sum()) for case in cases] == [10, 20, 10, 10], "one is listed"
    rule = {"images": "i/benign*.png", "masks": "m/{id}_mask.png"}
    assert [int(case_mask(case).sum()) for case in part_cases(tmp_path, rule)] == [10, 24, 10]


def test_joined_masks_must_have_one_size_and_keep_their_classes(tmp_path: Path) -> None:
    one, two = mask(tmp_path / "a_mask.png", 0, 1), mask(tmp_path / "a_mask_1.png", 4, 2)
    labels = Labels(((1,), (2,)), (0, 1), separate=True)
    case = Case("a", one, one, opinions=(two,), labels=labels, joined=True)
    found = case_labels(case)
    assert [int((found == n).sum()) for n in (1, 2)] == [10, 8], "the first counts where both mark"
    assert case_mask(case).sum() == 18
    mask(two, 0, 1, size=(20, 31))
    with pytest.raises(UserError, match=r"a_mask_1\.png is 20x31 but .*a_mask\.png is 20x30"):
        case_mask(case)


def test_files_that_nobody_reads_are_said_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        image(tmp_path / "i" / f"{name}.png")
        mask(tmp_path / "m" / f"{name}.png", 0)
    mask(tmp_path / "m" / "d.png", 0)
    (tmp_path / "i" / "scan.heic").touch()
    (tmp_path / "m" / "notes.txt").touch()
    (tmp_path / "m" / ".DS_Store").touch()
    card = folder_card(tmp_path / "i", tmp_path / "m")
    left, lone = file_notes(card, None)
    assert left == "note: 2 files are left out (1 .heic, 1 .txt): i/scan.heic, m/notes.txt"
    assert lone == "note: 1 mask has no image and is not used (d.png)."
    assert find_cases(card, None).others == (
        tmp_path / "i" / "scan.heic", tmp_path / "m" / "notes.txt",
    )  # fmt: skip


def test_a_mask_of_two_images_is_said(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        image(tmp_path / "i" / f"{name}.png")
        mask(tmp_path / "m" / f"{name}.png", 0)
    rows = ("a.png,m/a.png", "b.png,m/../m/a.png", "c.png,m/c.png")
    (tmp_path / "t.csv").write_text("image,mask\n" + "".join(f"i/{row}\n" for row in rows))
    (note,) = file_notes(table_card(tmp_path / "t.csv"), None)
    assert note.startswith("note: 1 masks are given to several images each, such as a.png of a.png")
    (note,) = file_notes(table_card(tmp_path / "t.csv"), None, nameless=True)
    assert note == "note: 1 masks are given to several images each; is that meant?"


@pytest.mark.parametrize("masks", ["m", "i"])
def test_linked_folders_are_looked_into_once(tmp_path: Path, masks: str) -> None:
    """Images and masks in two folders or in one; links that lead back are followed nowhere."""
    image(tmp_path / "i" / "a.png")
    mask(tmp_path / masks / "a_mask.png", 0)
    image(tmp_path / "disk" / "i" / "b.png")
    mask(tmp_path / "disk" / masks / "b_mask.png", 0)
    (tmp_path / "disk" / "i" / "b.heic").touch()
    for name in {"i", masks}:
        (tmp_path / "set" / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "set" / name)
        (tmp_path / "set" / name / "sub").symlink_to(tmp_path / "disk" / name)
        (tmp_path / "set" / name / "loop").symlink_to(tmp_path / "set" / name)
        (tmp_path / "disk" / name / "up").symlink_to(tmp_path / "disk")
    card = folder_card(tmp_path / "set" / "i", tmp_path / "set" / masks)
    found = find_cases(card, None)
    assert {case.id: int(case_mask(case).sum()) for case in found.cases} == {"a": 10, "b": 10}
    assert [path.name for path in found.others] == ["b.heic"]
    assert found.lone_masks == ()
    names = [path.name for path in find_maps(tmp_path / "set" / masks, "--truth")]
    assert sorted(n for n in names if "mask" in n) == ["a_mask.png", "b_mask.png"]


def test_wildcards_before_the_stars_and_names_that_hold_some(tmp_path: Path) -> None:
    for name in ("C1/x/a.png", "C2/b.png", "D1/c.png", "[C]3/d.png"):
        image(tmp_path / name)
    stars = [path.stem for path, _ in find_files(tmp_path, "C?/**/*")]
    assert stars == ["a", "b"]
    assert [path.stem for path, _ in find_files(tmp_path, f"{glob.escape('[C]3')}/**/*")] == ["d"]


def test_what_our_own_commands_leave_behind_is_not_named(tmp_path: Path) -> None:
    assert left_out([tmp_path / "predict.json", tmp_path / "slices.json"], tmp_path) == ""


def grouped_notes(root: Path, groups: list[str], nameless: bool = False) -> list[str]:
    """What is said of a table of two images of each group."""
    rows = []
    for k, group in enumerate(groups * 2):
        image(root / f"{k}.png")
        mask(root / f"{k}_mask.png", 0)
        rows.append(f"{k}.png,{k}_mask.png,{group}")
    (root / "t.csv").write_text("\n".join(["image,mask,group", *rows]))
    return notes_of(find_cases(table_card(root / "t.csv"), None), nameless)


def test_groups_that_are_spelt_nearly_alike_are_said(tmp_path: Path) -> None:
    (note,) = grouped_notes(tmp_path, ["pX", "PX ", "7", "7.0", "07", "p7", "p70", "8"])
    assert note == (
        "note: 5 groups count as different and are spelt nearly alike, but for capitals or as 7 "
        "and 7.0: 07 and 7 and 7.0, PX and pX; where they are one patient, spell them alike"
    )
    (note,) = grouped_notes(tmp_path, ["pX", "PX "], nameless=True)
    assert "PX" not in note
    assert note.startswith("note: 2 groups count as different")
    assert grouped_notes(tmp_path, ["p1", "p10", "10", "1", "1-25"]) == []


def test_blanks_round_a_group_make_no_other(tmp_path: Path) -> None:
    assert grouped_notes(tmp_path, ["PX", " PX", "PX\t"]) == []
