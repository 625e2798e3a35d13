import unicodedata
from pathlib import Path

import pytest

from gpsseg.errors import UserError
from gpsseg.evaluators.per_image import read_per_image


def table(folder: Path, *lines: str) -> Path:
    path = folder / "per_image.csv"
    path.write_text("\n".join(["id,group,dice,truth_pixels", *lines]) + "\n", encoding="utf-8")
    return path


def test_ids_are_in_one_form_and_numbers_are_numbers(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Läsion")
    _, (first, second) = read_per_image(table(tmp_path, f"{decomposed},,0.5,7", "b,p1,nan,-1"))
    assert (first.id, first.group, first.score("dice"), first.number("truth_pixels")) == (
        *("Läsion", None, 0.5, 7),
    )
    assert (second.group, second.score("dice"), second.score("truth_pixels")) == ("p1", None, None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,,0.5,1", "a,,0.6,1"], "a comes twice"),
        (["a,,1.7,1"], "a has no score in"),
        (["a,,,1"], "a has no score in"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_per_image(table(tmp_path, *lines), ["dice"])


def test_values_of_columns_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,dice,by_age,by_sex\na,0.5,10,\n")
    (row,) = read_per_image(tmp_path / "t.csv")[1]
    assert row.values == {"id": "a", "dice": 0.5, "by_age": "10", "by_sex": ""}


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no column iou"):
        read_per_image(table(tmp_path, "a,,1,1"), ["dice", "iou"])


@pytest.mark.parametrize("word", ["NA", "nan", "-", " ", "Unknown"])
def test_a_word_for_none_is_no_group(tmp_path: Path, word: str) -> None:
    (one, other) = read_per_image(table(tmp_path, f"a,{word},0.5,1", "b, p ,0.5,1"))[1]
    assert (one.group, other.group) == (None, "p")
