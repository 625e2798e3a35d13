"""Tables of cases, and cards for one's own folders."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gpsseg.config.shared import SourceConfig
from gpsseg.data.cards.card import load_card, save_card
from gpsseg.data.cards.own import card_of
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.splits.split import find_cases, make_split
from gpsseg.errors import UserError
from gpsseg.runs.leaks import groups_note


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 4), 255).save(root / name)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pairs = [f"{kind}/{i}.png" for kind in ("i", "m") for i in range(10)]
    return pictures(tmp_path / "Study", *pairs)


def write_table(folder: Path, rows: list[str], name: str = "cases.csv") -> Path:
    (folder / name).write_text("\n".join(rows), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_with_groups_and_splits(folder: Path, sign: str) -> None:
    rows = ["image,mask,group,split"]
    parts = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    rows += [f"i/{i}.png,m/{i}.png,p{i // 2},{parts[i]}" for i in range(10)]
    table = write_table(folder, [row.replace(",", sign) for row in rows])
    split = make_split(card_of(SourceConfig(table=table)), None)
    assert split.ids == {
        "train": [str(i) for i in range(6)], "val": ["6", "7"], "test": ["8", "9"],
    }  # fmt: skip
    assert [case.group for case in split.test] == ["p4", "p4"]
    assert split.name == "cases"
    assert split.data == "real"


def test_a_table_without_splits_is_split_by_groups(folder: Path) -> None:
    rows = ["image,mask,group", *(f"i/{i}.png,m/{i}.png,p{i // 2}" for i in range(10))]
    split = make_split(card_of(SourceConfig(table=write_table(folder, rows))), None)
    assert [len(part) for part in (split.train, split.val, split.test)] == [6, 2, 2]
    groups = [{case.group for case in part} for part in (split.train, split.val, split.test)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]


def test_a_row_may_begin_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a file that is really called so goes on to be found."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    image, mask = sorted(folder.rglob("*.png"))[:2]
    below = [path.relative_to(folder) for path in (image, mask)]
    for name in ("home", "named"):
        (folder / name).mkdir()
    (folder / "named" / "~nobody.png").write_bytes(image.read_bytes())
    text = f"image,mask\n~/{below[0]},~/{below[1]}\n"
    (folder / "home" / "t.csv").write_text(text)
    (case,) = table_cases(folder / "home" / "t.csv")["all"]
    assert (case.image, case.mask) == (image, mask)
    (folder / "named" / "t.csv").write_text(f"image,mask\n~nobody.png,~/{below[1]}\n")
    (case,) = table_cases(folder / "named" / "t.csv")["all"]
    assert case.image == folder / "named" / "~nobody.png"


def test_names_that_repeat_take_their_folder(tmp_path: Path) -> None:
    pictures(tmp_path, "p1/a.png", "p2/a.png", "m/1.png", "m/2.png")
    table = write_table(tmp_path, ["image,mask", "p1/a.png,m/1.png", "p2/a.png,m/2.png"])
    assert [case.id for case in table_cases(table)["all"]] == ["p1/a", "p2/a"]
    absolute = [f"{tmp_path}/p1/a.png,{tmp_path}/m/1.png", f"{tmp_path}/p2/a.png,m/2.png"]
    table = write_table(tmp_path, ["image,mask", *absolute])
    assert [case.id for case in table_cases(table)["all"]] == ["p1/a", "p2/a"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["image,label", "i/0.png,m/0.png"], r"has no column mask\. .*It has: image, label"),
        (["image,maks", "i/0.png,m/0.png"], r"no column mask\. Did you mean 'maks'\?"),
        (["image,mask"], "holds no case; expected a row for each image"),
        (["image,mask", "i/99.png,m/0.png"], r"line 2: .*99\.png does not exist\. Paths are rel"),
        (["image,mask", "i/0.png,"], "line 2: the cell mask is empty"),
        (["", "sep=,", "image,mask", "", "i/0.png,"], "line 5: the cell mask is empty"),
        (
            ["image,mask,centre", "i/0.png,m/0.png,a", "i/1.png,m/1.png,a, b"],
            r"line 3: 4 cells, expected 3 as in its first line\. Put a cell that holds a ',' in",
        ),
        (["image,mask,split", "i/0.png,m/0.png,tran"], "line 2: split is 'tran', expected train"),
        (
            ["image,mask,split", "i/0.png,m/0.png,train", "i/1.png,m/1.png,"],
            "1 row names no split while others do",
        ),
        (
            ["image,mask", "i/0.png,m/0.png", "i/0.png,m/1.png"],
            "line 2 and line 3 are both called ",
        ),
        (["image,mask,split", "i/0.png,m/0.png,train"], "has train cases only, expected train and"),
    ],
)
def test_a_bad_table_names_the_row(folder: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        card_of(SourceConfig(table=write_table(folder, rows)))


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nimage;mask\r\ni/0.png;m/0.png\r\n",
        "\n\nimage,mask\n\ni/0.png,m/0.png\n,\n",
        "Image,MASK\ri/0.png,m/0.png\r",
        "image,mask\ni\\0.png,.\\m\\0.png\n",
        'image,mask,group\n"i/0.png","m/0.png","p 1,\nward 2"\n',
        "image,mask\ni/0.png,m/0.png,, ,\n",
    ],
    ids=[
        "Excel's sep=",
        "blank lines",
        "capitals and old Mac lines",
        "Windows paths",
        "quotes",
        "empty cells behind",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_programs_write_them(folder: Path, text: str, encoding: str) -> None:
    (folder / "cases.csv").write_bytes(text.encode(encoding))
    (case,) = table_cases(folder / "cases.csv")["all"]
    assert (case.id, case.image, case.mask) == ("0", folder / "i/0.png", folder / "m/0.png")
    assert case.group in (None, "p 1,\nward 2")


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("image,mask,group,centre,group", "the column group twice. Leave one out"),
        ("image,mask,group,centre, group ", "the column group twice. Leave one out"),
        ("image,mask,group,note,note", "the column note twice. Leave one out"),
        ("image,mask,group,split,Group", "the column group twice, as group, Group. Leave one out"),
        ("image,mask,Group,split,GROUP", "the column group twice, as Group, GROUP. Leave one out"),
        ("image,mask,Mask,split,id", "the column mask twice, as mask, Mask. Leave one out"),
    ],
)
def test_two_columns_of_one_name_are_refused(folder: Path, head: str, told: str) -> None:
    """Else the last wins in silence, and a leak passes."""
    rows = [f"i/{i}.png,m/{i}.png,same,train,q{i}" for i in range(4)]
    with pytest.raises(UserError) as error:
        table_cases(write_table(folder, [head, *rows]))
    assert str(error.value).startswith(f"{folder / 'cases.csv'} names {told}")


NOTHING = ("NA", "N/A", "nan", "NaN", "null", "None", "-", "unknown", "#N/A", "<NA>")


@pytest.mark.parametrize("word", NOTHING)
def test_a_word_for_none_is_no_patient(folder: Path, word: str) -> None:
    """Else all images without one are one patient, and leaks are found that are none."""
    rows = [f"i/{i}.png,m/{i}.png,{'p' if i < 2 else '' if i < 4 else word}" for i in range(6)]
    cases = table_cases(write_table(folder, ["image,mask,group", *rows]))["all"]
    assert [case.group for case in cases] == ["p", "p", None, None, None, None]
    assert groups_note(cases).startswith(f"4 of 6 images have no group ({word} counts as none): w")
    entries = [{"image": f"i/{i}.png", "label": f"m/{i}.png", "group": word} for i in range(3)]
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    cases = table_cases(folder / "dataset.json")["all"]
    assert {case.group for case in cases} == {None}
    assert groups_note(cases).startswith(f"No groups were given ({word} counts as none): where")


@pytest.mark.parametrize(
    "column", ["patient", "Patient_ID", "subject", "case_id", "PatientID", "pid", "Groups"]
)
def test_a_column_that_may_name_patients_is_pointed_to(folder: Path, column: str) -> None:
    rows = [f"i/{i}.png,m/{i}.png,{i // 2},x,{'' if i else 'p'}" for i in range(6)]
    table = write_table(folder, [f"image,mask,{column},patients' ward,group", *rows])
    cases = table_cases(table)["all"]
    hint = f"The images have a column {column}: if it names patients, call it group. `python -m "
    assert hint in groups_note(cases[1:])
    assert "call it group" not in groups_note(cases), "one has a group, so the column is known"
    empty = write_table(folder, [f"image,mask,{column},case", "i/0.png,m/0.png,NA,7"])
    assert "have a column case: if" in groups_note(table_cases(empty)["all"])
    both = write_table(folder, [f"image,mask,{column},video", "i/0.png,m/0.png,1,7"])
    said = groups_note(table_cases(both)["all"])
    assert f"The images have columns {column}, video: if one names patients, call it" in said


def test_a_key_of_a_json_that_may_name_patients_is_pointed_to(folder: Path) -> None:
    entries = [
        {"image": f"i/{i}.png", "label": f"m/{i}.png", "patient_id": i // 2} for i in range(4)
    ]
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    note = groups_note(table_cases(folder / "dataset.json")["all"])
    assert "have a column patient_id: if it names patients, call it group. " in note


def test_the_groups_of_a_json_may_be_numbers_and_null(folder: Path) -> None:
    given = (0, 0, 1, None, float("nan"), " x ")
    entries = [
        {"image": f"i/{i}.png", "label": f"m/{i}.png", "group": group}
        for i, group in enumerate(given)
    ]
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    cases = table_cases(folder / "dataset.json")["all"]
    assert [case.group for case in cases] == ["0", "0", "1", None, None, "x"]


def test_columns_without_a_name_are_no_doubles(folder: Path) -> None:
    (case,) = table_cases(write_table(folder, ["image,mask,,", "i/0.png,m/0.png,,"]))["all"]
    assert case.facts == ()


def test_two_columns_of_a_parquet_are_refused(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = [pyarrow.array([cell]) for cell in ("i/0.png", "m/0.png", "a", "b")]
    table = pyarrow.Table.from_arrays(cells, names=["image", "mask", "group", "group"])
    parquet.write_table(table, folder / "cases.parquet")
    with pytest.raises(UserError, match="names the column group twice"):
        table_cases(folder / "cases.parquet")


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--table .*gone\.csv does not exist"):
        table_cases(tmp_path / "gone.csv")
    (tmp_path / "latin.csv").write_bytes("image,mask\nL\xe4sion.png,x".encode("latin-1"))
    with pytest.raises(
        UserError, match=r"is no text in UTF-8 .* Save it again in UTF-8, which Excel"
    ):
        table_cases(tmp_path / "latin.csv")


def test_parquet(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import Table, parquet

    rows = [{"image": f"i/{i}.png", "mask": f"m/{i}.png", "group": i // 2} for i in range(10)]
    parquet.write_table(Table.from_pylist(rows), folder / "cases.parquet")
    cases = table_cases(folder / "cases.parquet")["all"]
    assert [case.group for case in cases][:3] == ["0", "0", "1"]
    (folder / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="cannot be read as a Parquet table"):
        table_cases(folder / "bad.parquet")


def test_dataset_json_of_msd_and_monai(folder: Path) -> None:
    entries = [{"image": f"./i/{i}.png", "label": f"./m/{i}.png"} for i in range(10)]
    msd = {"name": "x", "training": entries[:8], "test": ["./i/8.png", "./i/9.png"]}
    table = folder / "dataset.json"
    table.write_text(json.dumps(msd))
    assert list(table_cases(table)) == ["all"], "MSD's test images have no labels"
    assert len(make_split(card_of(SourceConfig(table=table)), None).test) == 2
    monai = {"training": entries[:6], "validation": entries[6:8], "testing": entries[8:]}
    table.write_text(json.dumps(monai))
    split = make_split(card_of(SourceConfig(table=table)), None)
    assert split.ids["val"] == ["6", "7"]
    assert split.ids["test"] == ["8", "9"]
    table.write_text(json.dumps({"training": entries[:6], "val": entries[6:]}))
    with pytest.raises(UserError, match="lists images and masks as val, expected training, valid"):
        table_cases(table)
    table.write_text(json.dumps({"train": entries}))
    with pytest.raises(UserError, match="has no list `training`; expected MONAI's or MSD's form"):
        table_cases(table)


def told(table: Path, **how: Any) -> tuple[str, ...]:
    return make_split(card_of(SourceConfig(table=table)), None, **how).notes


@pytest.mark.parametrize("column", ["fold", "Folds", "kfold", "cv_fold", "fold id"])
def test_folds_that_nobody_reads_are_said(folder: Path, column: str) -> None:
    rows = [f"i/{i}.png,m/{i}.png,{i % 3}" for i in range(10)]
    table = write_table(folder, [f"image,mask,{column}", *rows])
    (note,) = told(table)
    assert note == (
        f"note: the column {column} holds folds, which are not used; say in a column split which "
        "images train, validate and test, or pass --split FILE for each fold"
    )
    (note,) = told(table, salt="ab")
    assert note.startswith("note: a column of the table holds folds")
    parts = {"train": [*"0123456"], "test": [*"789"]}
    (folder / "s.json").write_text(json.dumps(parts))
    assert told(table, split=str(folder / "s.json")) == ()
    rows = [f"{row},{'test' if i > 6 else 'train'}" for i, row in enumerate(rows)]
    assert told(write_table(folder, [f"image,mask,{column},split", *rows])) == ()


def test_parts_in_another_column_than_split_are_said(folder: Path) -> None:
    rows = [f"i/{i}.png,m/{i}.png,{'Test' if i > 6 else 'training'},test" for i in range(10)]
    (note,) = told(write_table(folder, ["image,mask,subset,kind", *rows]))
    assert note == "note: the column subset says test, training and is not used; call it split"


def test_folds_of_monai_are_said_and_kept(folder: Path) -> None:
    entries = [{"image": f"i/{i}.png", "label": f"m/{i}.png", "fold": i % 5} for i in range(10)]
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    (note,) = told(folder / "dataset.json")
    assert "; say in the lists training, validation and test which images" in note
    assert table_cases(folder / "dataset.json")["all"][6].facts == (("fold", "1"),)


def test_a_table_of_volumes_says_how_to_cut_them(folder: Path) -> None:
    (folder / "ct.nii.gz").touch()
    entry = {"image": "ct.nii.gz", "label": "m/1.png"}
    (folder / "dataset.json").write_text(json.dumps({"training": [entry]}))
    with pytest.raises(UserError, match=r"lists volumes, such as ct\.nii\.gz; .*slices --table"):
        card_of(SourceConfig(table=folder / "dataset.json"))


def test_two_folders_become_a_card_that_can_be_kept(folder: Path, tmp_path: Path) -> None:
    card = card_of(SourceConfig(images=folder / "i", masks=folder / "m"))
    assert (card.name, card.root) == ("Study", folder)
    split = make_split(card, None)
    assert [len(part) for part in (split.train, split.val, split.test)] == [7, 1, 2]
    save_card(card, tmp_path / "kept.yaml")
    again = load_card(str(tmp_path / "kept.yaml"))
    assert make_split(again, None) == split
    assert make_split(again, folder) == split, "the root that a run records"


def test_folders_with_strange_names(tmp_path: Path) -> None:
    root = pictures(tmp_path / "a [1] ü", *(f"{k} *[x]/{i}.png" for k in "im" for i in range(8)))
    card = card_of(SourceConfig(images=root / "i *[x]", masks=root / "m *[x]"))
    assert len(find_cases(card, None).cases) == 8


def test_own_images_are_never_called_by_a_known_name(tmp_path: Path) -> None:
    root = pictures(tmp_path / "kvasir", *(f"{k}/{i}.png" for k in "im" for i in range(8)))
    assert card_of(SourceConfig(images=root / "i", masks=root / "m")).name == "own-kvasir"


def test_folders_that_are_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--masks .*gone does not exist\. Pass a folder"):
        card_of(SourceConfig(images=folder / "i", masks=tmp_path / "gone"))
    with pytest.raises(UserError, match="--images goes with --masks"):
        SourceConfig(images=folder / "i")
    with pytest.raises(UserError, match="Got --images and --table, expected one"):
        SourceConfig(images=folder, masks=folder, table=folder)
    (tmp_path / "none").mkdir()
    with pytest.raises(
        UserError, match=r"--images .*none holds no file; expected images such as \.jpg"
    ):
        card_of(SourceConfig(images=tmp_path / "none", masks=folder / "m"))
    (tmp_path / "none" / "a.svg").touch()
    with pytest.raises(UserError, match=r"holds 1 file of another kind: \.svg; expected"):
        card_of(SourceConfig(images=tmp_path / "none", masks=folder / "m"))
    (tmp_path / "none" / "a.nii.gz").touch()
    with pytest.raises(UserError, match=r"holds volumes or DICOM.* python -m gpsseg\.slices"):
        card_of(SourceConfig(images=tmp_path / "none", masks=folder / "m"))
    moved = card_of(SourceConfig(images=folder / "i", masks=folder / "m"))
    folder.rename(tmp_path / "Moved")
    with pytest.raises(UserError, match=r"Were the files moved from .*Study\? Pass --data-root"):
        make_split(moved, None)
    assert len(make_split(moved, tmp_path / "Moved").test) == 2
