"""Every file is read once before anything long begins."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.checks.readable import MOST_TOLD, check_cases, first_of, say_notes
from gpsseg.data.splits.split import Case
from gpsseg.errors import UserError


def case(
    folder: Path, name: str, image: tuple[int, int] = (8, 10), mask: tuple[int, int] = (8, 10)
) -> Case:
    truth = np.zeros(mask, np.uint8)
    truth[2:5, 2:5] = 255
    Image.fromarray(np.full((*image, 3), 90, np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(truth).save(folder / f"{name}_mask.png")
    return Case(name, folder / f"{name}.png", folder / f"{name}_mask.png")


def test_sound_files_give_no_note(tmp_path: Path) -> None:
    assert check_cases([case(tmp_path, "a"), case(tmp_path, "b")]) == []


def test_sizes_that_differ_are_named_in_full(tmp_path: Path) -> None:
    wrong = case(tmp_path, "cju0", (8, 10), (8, 11))
    with pytest.raises(UserError) as caught:
        check_cases([case(tmp_path, "a"), wrong])
    assert "cju0_mask.png: the mask is 8x11 but its image is 8x10" in str(caught.value)
    assert "export it again at the image's size" in str(caught.value)


def test_masks_of_a_wrong_size_are_named_without_what_follows_in_the_sentence(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError) as caught:
        check_cases([case(tmp_path, name, (8, 10), (8, 11)) for name in "abc"])
    first, others = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'a_mask.png'}: the mask is 8x11 but its image is 8x10")
    assert others == "The same is wrong with 2 more: b_mask.png, c_mask.png."


def test_of_one_mask_for_all_images_the_images_are_named(tmp_path: Path) -> None:
    cases = [case(tmp_path, name) for name in ("p1", "p2", "p3")]
    shared = case(tmp_path, "all", (8, 10), (8, 11)).mask
    with pytest.raises(UserError) as caught:
        check_cases([Case(each.id, each.image, shared) for each in cases])
    first, others = str(caught.value).splitlines()
    assert first.startswith(
        f"{shared}: the mask is 8x11 but its image {tmp_path / 'p1.png'} is 8x10 (height x width)."
    )
    assert others == "The same is wrong with 2 more: p2, p3."


def test_an_image_that_exif_turns_is_named_as_the_reason(tmp_path: Path) -> None:
    turned = case(tmp_path, "phone")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 8)).save(turned.image, exif=exif)
    with pytest.raises(UserError, match=r"is 8x10 but its image is 10x8 .* by its EXIF orientat"):
        check_cases([turned])


def test_a_black_mask_is_a_note(tmp_path: Path) -> None:
    black = case(tmp_path, "b")
    assert black.mask is not None
    Image.fromarray(np.zeros((8, 10), np.uint8)).save(black.mask)
    notes = check_cases([case(tmp_path, "a"), black])
    assert len(notes) == 1
    assert notes[0] == (
        "note: 1 of 2 masks: all black, which counts as an image without lesion (b_mask.png)."
    )


def test_many_black_masks_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [case(tmp_path, f"c{number}") for number in range(5)]
    for each in cases[1:]:
        assert each.mask is not None
        Image.fromarray(np.zeros((8, 10), np.uint8)).save(each.mask)

    def said(number: int, anonymous: bool = False) -> list[str]:
        say_notes(cases[:number], anonymous)
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "black" in line]

    black = "all black, which counts as an image without lesion"
    assert said(5) == [
        f"note: 4 of 5 masks: {black} (c1_mask.png, c2_mask.png, c3_mask.png (and 1 more))."
    ]
    assert said(2) == [f"note: 1 of 2 masks: {black} (c1_mask.png)."]
    assert said(5, True) == [f"note: 4 of 5 masks: {black}."]
    assert said(1) == []


def test_an_image_without_truth_is_fine(tmp_path: Path) -> None:
    assert check_cases([Case("a", case(tmp_path, "a").image)]) == []


def test_several_errors_are_listed_at_once(tmp_path: Path) -> None:
    cases = [case(tmp_path, f"c{i}", (8, 10), (9, 10)) for i in range(2)]
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError) as caught:
        check_cases([*cases, Case("empty", tmp_path / "empty.png")])
    lines = str(caught.value).split("\n")
    assert [name in line for name, line in zip(("c0", "c1", "empty"), lines, strict=True)]


def test_what_is_wrong_with_many_files_is_said_once(tmp_path: Path) -> None:
    cases = [Case(str(i), tmp_path / f"gone{i}.png") for i in range(MOST_TOLD + 3)]
    with pytest.raises(UserError) as caught:
        check_cases(cases)
    first, others = str(caught.value).splitlines()
    assert first == f"{tmp_path}/gone0.png does not exist."
    assert others.startswith("The same is wrong with 12 more: gone1.png, gone2.png")
    assert others.endswith("gone9.png (and 3 more).")


def test_a_long_list_of_errors_is_cut() -> None:
    faults = [(letter, f"{letter}.png is {letter}.") for letter in "abcdefghijklm"]
    lines = first_of(faults).splitlines()
    assert (len(lines), lines[9:]) == (11, ["j.png is j.", "... and 3 other faults."])
