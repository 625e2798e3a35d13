"""Columns that scores are shown by: what tables and paths say of images, quarters, hashes."""

from pathlib import Path

import pytest

from gpsseg.data.cards.groups import with_groups
from gpsseg.data.cards.layout import part_cases
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.case import Case
from gpsseg.data.splits.columns import labels_by
from gpsseg.data.splits.drawn import Split
from gpsseg.errors import UserError


def split(*values: dict[str, str], group: str | None = None) -> Split:
    """Half of the cases train, half are tested."""
    cases = [
        Case(str(i), Path("x"), group=group, facts=tuple(of.items())) for i, of in enumerate(values)
    ]
    half = len(cases) // 2
    return Split("s", "real", Path("."), tuple(cases[:half]), (), tuple(cases[half:]))


def test_the_other_columns_of_a_table_are_kept(tmp_path: Path) -> None:
    for name in ("a.png", "a_mask.png"):
        (tmp_path / name).touch()
    (tmp_path / "t.csv").write_text("image,Mask,group,Centre,age,Age\na.png,a_mask.png,p,Oslo,,7\n")
    ((case,),) = table_cases(tmp_path / "t.csv").values()
    assert case.facts == (("Centre", "Oslo"), ("age", ""), ("Age", "7"))


def test_a_path_says_the_centre_and_a_cards_csv_the_rest(tmp_path: Path) -> None:
    for folder in ("images_C1", "masks_C1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "7.png").touch()
    rule = {"images": "images_{centre}/{id}.png", "masks": "masks_{centre}/{id}.png"}
    cases = part_cases(tmp_path, rule)
    assert cases[0].facts == (("centre", "C1"),)
    (tmp_path / "meta.csv").write_text("image,lesion,Sex\n7,L1,female\n8,L2,male\n")
    (case,) = with_groups(cases, {"csv": "meta.csv", "key": "image", "value": "lesion"}, tmp_path)
    assert (case.group, case.facts) == ("L1", (("centre", "C1"), ("Sex", "female")))


def test_values_are_shown_as_they_are_or_hashed() -> None:
    data = split({"sex": "m"}, {"sex": "f"}, {"sex": "m"}, {})
    assert labels_by(["Sex"], data, None) == {"sex": {"0": "m", "1": "f", "2": "m", "3": ""}}
    hashed = labels_by(["sex"], data, "salt")["sex"]
    assert hashed["0"] == hashed["2"] != hashed["1"]
    assert (len(hashed["0"]), hashed["3"]) == (8, "")
    assert labels_by(["sex"], data, "pepper")["sex"]["0"] != hashed["0"]


def test_groups_are_a_column() -> None:
    assert labels_by(["group"], split({}, {}, group="p"), None) == {"group": {"0": "p", "1": "p"}}


def test_many_numbers_are_taken_in_quarters_of_all_images() -> None:
    ages = split(*({"age": str(age)} for age in (10, 20, 30, 40, 50, 60, 70, 80, 90)), {"age": ""})
    labels = list(labels_by(["age"], ages, None)["age"].values())
    assert labels[:3] == ["1: up to 30"] * 3
    assert labels[3:5] == ["2: above 30 up to 50"] * 2
    assert labels[7:] == ["4: above 70"] * 2 + [""]
    assert list(labels_by(["age"], ages, "salt")["age"].values())[6:] == ["3", "4", "4", ""]


def test_of_columns_that_differ_in_capitals_the_one_that_is_named_is_taken() -> None:
    data = split({"age": "1", "Age": "2"}, {"age": "3", "Age": "4"})
    assert labels_by(["age", "Age"], data, None) == {
        "age": {"0": "1", "1": "3"},
        "Age": {"0": "2", "1": "4"},
    }
    with pytest.raises(UserError, match="--by AGE: several columns have this name, but for their"):
        labels_by(["AGE"], data, None)


@pytest.mark.parametrize("value", ["1_{}", "n{}", "{}e1", "0x{}", "٣{}"])
def test_codes_are_no_numbers(value: str) -> None:
    data = split(*({"device": value.format(i)} for i in range(12)))
    assert labels_by(["device"], data, None)["device"]["3"] == value.format(3)


def test_a_quarter_names_its_ends_with_all_digits() -> None:
    data = split(*({"day": str(20240101 + i)} for i in range(9)), {"day": "0.1"})
    labels = labels_by(["day"], data, None)["day"]
    assert labels["5"] == "3: above 20240104 up to 20240106"


@pytest.mark.parametrize("word", ["NA", "n/a", "nan", "-", "Unknown"])
def test_a_word_for_none_does_not_end_the_quarters(word: str) -> None:
    data = split(*({"age": str(i)} for i in range(30)), {"age": word}, {"age": word})
    labels = labels_by(["age"], data, None)["age"]
    assert (labels["0"], labels["30"]) == ("1: up to 7", "")
    few = split({"sex": "m"}, {"sex": word})
    assert labels_by(["sex"], few, None)["sex"]["1"] == word


def test_a_cell_that_is_no_number_among_numbers_is_named() -> None:
    data = split(*({"age": str(i)} for i in range(30)), {"age": "4o"})
    with pytest.raises(UserError, match=r"got 31 different values.* No numbers are: 4o\."):
        labels_by(["age"], data, None)
    with pytest.raises(UserError, match="Name a column") as told:
        labels_by(["age"], data, "salt")
    assert "4o" not in str(told.value)


@pytest.mark.parametrize("column", ["id", "image", "Mask", "split"])
def test_a_column_that_names_the_image_is_no_column_of_values(column: str) -> None:
    with pytest.raises(UserError, match="id, image, mask and split tell of no kind of image"):
        labels_by([column], split({"sex": "m"}), None)


def test_a_column_that_is_not_there_and_one_of_too_many_values_are_refused() -> None:
    data = split(*({"device": f"d{i}", "sex": "m"} for i in range(21)))
    with pytest.raises(UserError, match=r"--by devce.*Did you mean 'device'.*device, sex"):
        labels_by(["devce"], data, None)
    with pytest.raises(UserError, match="--by device: got 21 different values, expected at most"):
        labels_by(["device"], data, None)
    with pytest.raises(UserError, match="They have none"):
        labels_by(["sex"], split({}, {}), None)
