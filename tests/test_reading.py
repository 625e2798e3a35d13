"""Whatever a text file holds, the answer is a value or one sentence that names the file."""

import os
from pathlib import Path
from typing import Any, TypedDict

import pytest

from gpsseg import reading
from gpsseg.config.fitting import Count, Text
from gpsseg.errors import UserError, shown
from gpsseg.reading import csv_rows, read_json, read_object, read_table, read_text
from gpsseg.reading_yaml import read_yaml

BOMB = "b0: &b0 {}\n"


class Inner(TypedDict):
    n: Count


class Outer(TypedDict, total=False):
    name: Text
    pairs: list[Inner]
    score: float | None


def written(folder: Path, data: bytes, name: str = "x.json") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def said(path: Path, hint: Any = dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        read_object(path, hint)
    text = str(error.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not readable as JSON"),
        (b"[" * 50_000, "nested too deeply"),
        (b"[" * 300 + b"]" * 300, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "names a twice. Leave one out"),
        (b"\xff\xfe\xfd", "is no text in UTF-8"),
        (b"9" * 5000, "not readable as JSON"),
        (b"[1]", r"holds [1], expected an object {...}"),
        (b'"' + b"x" * 100_000 + b'"', "expected an object"),
    ],
)
def test_json_of_anything(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in said(written(tmp_path, data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"pairs": [{"n": 1}, {}]}', "pairs.1.n is None, expected a whole number, 0 or more"),
        (b'{"pairs": [{"n": true}]}', "pairs.0.n is True, expected a whole number, 0 or more"),
        (b'{"pairs": [{"n": 1e400}]}', "pairs.0.n is inf, expected a whole number, 0 or more"),
        (b'{"pairs": {}}', "pairs is {}, expected a list"),
        (b'{"score": "x\\u001b[2J"}', "score is 'x\\x1b[2J', expected a number"),
        (b'{"name": []}', "name is [], expected a text"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(
    tmp_path: Path, data: bytes, message: str
) -> None:
    assert message in said(written(tmp_path, data), Outer)


def test_what_fits_is_read_in_any_unicode(tmp_path: Path) -> None:
    text = '{"name": "\u00e9", "pairs": [{"n": 2}], "more": 1}'
    for code in ("utf-8", "utf-8-sig", "utf-16"):
        found = read_object(written(tmp_path, text.encode(code)), Outer)
        assert found == {"name": "\u00e9", "pairs": [{"n": 2}], "more": 1}


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name, message in (
        ("pipe", "is no file"),
        (".", "is a folder"),
        ("link", "No such file.*Check the path"),
    ):
        with pytest.raises(UserError, match=message):
            read_json(tmp_path / name)


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "x.json").open("wb") as file:
        file.truncate(5 << 30)  # of no blocks
    with pytest.raises(
        UserError, match=r"x\.json has more than 100 MB, expected a text of at most"
    ):
        read_text(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BOMB.format("[x, x]")
            + "".join(f"b{i}: &b{i} [*b{i - 1}, *b{i - 1}]\n" for i in range(1, 40)),
            "too many values",
        ),
        (
            BOMB.format("{b: c}")
            + "".join(f"b{i}: &b{i} {{<<: [*b{i - 1}, *b{i - 1}]}}\n" for i in range(1, 40)),
            "too many",
        ),
        ("a: &a [*a]", "holds itself"),
        ("a: " + "[" * 9000, "nested too deeply"),
        ("a: 2001-99-99", "is not valid YAML: month must be in 1..12"),
        ("a: " + "9" * 5000, "is not valid YAML"),
    ],
)
def test_yaml_that_is_a_trap(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text.encode(), "c.yaml")
    with pytest.raises(UserError) as error:
        read_yaml(path, "data card")
    assert f"The data card {path} " in str(error.value)
    assert message in str(error.value)


def test_a_table_of_very_many_columns(tmp_path: Path) -> None:
    path = written(tmp_path, b"a," * 20_000, "t.csv")
    with pytest.raises(UserError, match=r"t\.csv, line 1: 20,001 cells, expected at most 10,000"):
        read_table(path)
    assert list(csv_rows('a;b\n\n"1;2";3\n', path, ";")) == [(1, ["a", "b"]), (3, ["1;2", "3"])]


def test_a_log_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"n": 1}\n{"n": -1}\n[]\n{"n"\n\xff\n{"n": 3}', "log.jsonl")
    assert reading.read_log(path, Inner) == [{"n": 1}, {"n": 3}]


def test_a_value_is_shown_short_and_plain() -> None:
    assert shown("a\x1b") == "'a\\x1b'"
    assert shown(10**5000) == "a number of very many digits"
    nested: list[Any] = []
    nested.append(nested)
    assert len(shown(nested)) <= 80
    assert len(shown({str(i): "x" * 10**6 for i in range(1000)})) == 80


def test_an_error_obeys_no_name() -> None:
    text = str(UserError("a\nb\x1b[2J\u202e.png " + "x" * 10_000))
    assert text.startswith("a\ufffdb\ufffd[2J\ufffd.png xx")
    assert len(text) < 4010


def test_json_that_another_program_wrote_is_to_be_written_again(tmp_path):
    (tmp_path / "split.json").write_text('{"train": ["a"')
    with pytest.raises(UserError, match=r"split\.json is not readable as JSON .*Write it again"):
        read_json(tmp_path / "split.json")
    with pytest.raises(
        UserError, match=r"split\.json is not readable as JSON .*as gpsseg wrote it"
    ):
        read_object(tmp_path / "split.json")


@pytest.mark.parametrize(("mark", "name"), [(";", ";"), ("\t", "tabs")])
def test_a_table_as_excel_writes_it_elsewhere_is_told_as_such(tmp_path, mark, name):
    path = tmp_path / "t.csv"
    path.write_text(f"id{mark}dice\na{mark}0,5\n")
    with pytest.raises(UserError, match=rf"t\.csv is separated by {name}, expected commas"):
        read_table(path)
    path.write_text("id\na;b\n")
    assert read_table(path) == (["id"], [{"id": "a;b"}])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,group,dice,group,dice\na,p,0.5,q,0.6\n", "t.csv")
    with pytest.raises(UserError, match=r"t\.csv names the columns group, dice twice\. Leave one"):
        read_table(path)
    path = written(tmp_path, b"id,,\na,,\n", "t.csv")
    assert read_table(path)[0] == ["id", "", ""]
