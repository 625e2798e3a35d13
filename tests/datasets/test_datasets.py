"""`python -m gpsseg.datasets`: what each command promises."""

import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gpsseg import datasets
from gpsseg.config.datasets import (
    CheckConfig,
    DatasetInfoConfig,
    DownloadConfig,
    GroupsConfig,
    ListConfig,
    NewConfig,
    SplitConfig,
)
from gpsseg.data.cards.card import card_names, load_card
from gpsseg.data.splits.split import make_split
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError


@pytest.mark.parametrize("command", ["check", "groups", "split", "split-without-leaks", "new"])
def test_drawn_images_are_called_so_by_each_command_that_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    root = synthesize("kvasir", tmp_path / "set", cases=12, size=48)
    output, place = tmp_path / "out", tmp_path / "set"
    if command == "check":
        page = tmp_path / "page.html"
        datasets.check(CheckConfig(data_root=place, output=page, duplicates=False))
    elif command == "groups":
        datasets.groups(GroupsConfig(data_root=place, output=tmp_path / "groups.csv"))
    elif command == "new":
        folders = {"images": root / "images", "masks": root / "masks"}
        datasets.new(NewConfig(**folders, output=tmp_path / "card.yaml"))
    else:
        without = "official-880-120" if command == "split-without-leaks" else None
        datasets.split(SplitConfig(data_root=place, output=output, without_leaks=without))
    assert "SYNTHETIC SAMPLE: these images are drawn by gpsseg" in capsys.readouterr().out


@pytest.mark.parametrize("name", card_names())
def test_info_says_what_must_be_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    card = datasets.info(DatasetInfoConfig(name))
    said = " ".join(capsys.readouterr().out.split())
    for text in (card.title, card.homepage, card.licence, card.citation, card.note):
        assert " ".join(text.split()) in said
    assert f"datasets download {name}" in said if card.sources else card.get.rstrip() in said
    assert all(split["name"] in said for split in card.splits)


def test_list_says_what_to_do_where_a_set_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPSSEG_DATA", raising=False)
    for root, variable, said in (
        (None, "", "not on this machine: pass --data-root, or set GPSSEG_DATA"),
        (None, str(tmp_path), f"not found in {tmp_path} (GPSSEG_DATA)"),
        (tmp_path, "", f"not found in {tmp_path} (--data-root)"),
    ):
        monkeypatch.setenv("GPSSEG_DATA", variable)
        datasets.list_datasets(ListConfig(data_root=root))
        assert said in capsys.readouterr().out


def test_split_makes_folds_that_a_run_can_use(tmp_path: Path) -> None:
    synthesize("cvc-clinicdb", tmp_path, cases=12, size=48)
    card = load_card("cvc-clinicdb")
    config = SplitConfig(
        dataset="cvc-clinicdb", data_root=tmp_path, folds=3, output=tmp_path / "folds", seed=2
    )
    files = datasets.split(config)
    assert [file.name for file in files] == ["fold-1.json", "fold-2.json", "fold-3.json"]
    tested: list[str] = []
    for file in files:
        split = make_split(card, tmp_path, split=str(file))
        assert len(split.train) + len(split.val) + len(split.test) == 12
        groups = {case.group for case in split.test}
        assert not groups & {case.group for case in (*split.train, *split.val)}
        tested += split.ids["test"]
    assert len(set(tested)) == len(tested) == 12
    with pytest.raises(UserError, match="already exists and is not empty"):
        datasets.split(config)
    again = dataclasses.replace(config, output=tmp_path / "again")
    assert [f.read_bytes() for f in datasets.split(again)] == [f.read_bytes() for f in files]


def test_a_set_s_own_split_without_what_leaks(kvasir: Path, tmp_path: Path) -> None:
    """Two of the training images are copies of the two test images."""
    card = load_card("kvasir")
    before = make_split(card, kvasir, val_share=0.2)
    copies = [*before.train, *before.val][:2]
    for case, test in zip(copies, before.test, strict=True):
        case.image.write_bytes(test.image.read_bytes())
    config = SplitConfig(
        data_root=kvasir, without_leaks="official-880-120", output=tmp_path / "clean"
    )
    (file,) = datasets.split(config)
    after = make_split(card, kvasir, split=str(file), val_share=0.2)
    seen = {case.id for case in (*after.train, *after.val)}
    assert seen == {case.id for case in (*before.train, *before.val)} - {c.id for c in copies}
    assert set(after.ids["test"]) == set(before.ids["test"])
    with pytest.raises(UserError, match="expected one of them"):
        SplitConfig(without_leaks="official-880-120", folds=3, output=tmp_path)


@pytest.mark.parametrize("how", [{"without_leaks": "official-880-120"}, {"folds": 2}])
def test_a_split_that_is_there_is_refused_before_an_image_is_looked_for(tmp_path, monkeypatch, how):
    (tmp_path / "split.json").touch()
    monkeypatch.setattr("gpsseg.datasets.splitting.card_of", lambda _: pytest.fail("looked"))
    with pytest.raises(UserError, match="already exists and is not empty"):
        datasets.split(SplitConfig(output=tmp_path, **how))


def test_split_holds_out_test_and_validation(kvasir: Path, tmp_path: Path) -> None:
    config = SplitConfig(data_root=kvasir, test_share=0.25, val_share=0.25, output=tmp_path / "s")
    (file,) = datasets.split(config)
    content = json.loads(file.read_text())
    assert [len(content[part]) for part in ("train", "val", "test")] == [4, 2, 2]
    card = dataclasses.replace(
        load_card("kvasir"),
        splits=[{"name": "mine", "all": {"images": "images/*", "masks": "masks/{id}.jpg"},
                 "file": str(file)}],
    )  # fmt: skip
    assert make_split(card, kvasir).ids == {
        part: content[part] for part in ("train", "val", "test")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "--folds must be at least 2, got 1"),
        ({"test_share": 1.0}, "--test-share must lie between 0 and 1, got 1.0"),
        ({"val_share": 0.9}, r"--val-share 0\.9 leaves no images for training"),
    ],
)
def test_split_options_out_of_range(
    tmp_path: Path, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        SplitConfig(output=tmp_path, **options)


def own_images(tmp_path: Path) -> Path:
    for folder in ("scans", "truth"):
        (tmp_path / folder).mkdir()
        for i in range(10):
            Image.new("L", (6, 5), 255).save(tmp_path / folder / f"patient{i // 2}_{i}.png")
    return tmp_path


def test_new_writes_a_card_that_works_and_explains_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = own_images(tmp_path)
    card = tmp_path / "cards" / "mine.yaml"
    config = NewConfig(
        images=root / "scans", masks=root / "truth", output=card, foreground="lesion"
    )
    assert datasets.new(config) == card
    said = capsys.readouterr().out
    assert "10 cases in" in said
    assert "No groups. If several images show one patient" in said
    text = card.read_text(encoding="utf-8")
    assert text.startswith("# Your data card.")
    loaded = load_card(str(card))
    assert (loaded.name, loaded.foreground) == ("mine", "lesion")
    assert len(make_split(loaded, None).test) == 2
    card.write_text(text + 'group: {id: "(patient[0-9]+)_.*"}\n', encoding="utf-8")
    grouped = make_split(load_card(str(card)), None)
    assert len(grouped.test) == 2
    assert len({case.group for case in grouped.test}) == 1
    with pytest.raises(UserError, match=r"mine\.yaml already exists.* such as .*/mine-2\.yaml"):
        datasets.new(config)


def test_a_card_that_does_not_say_where_its_set_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = own_images(tmp_path)
    config = NewConfig(images=root / "scans", masks=root / "truth", output=root / "mine.yaml")
    mine = str(datasets.new(config))
    capsys.readouterr()
    datasets.info(DatasetInfoConfig(mine))
    assert "get it" not in capsys.readouterr().out
    with pytest.raises(UserError, match=r"has no direct official link\.$"):
        datasets.download(DownloadConfig(mine, tmp_path, accept_licence=True))
    with pytest.raises(UserError, match=r"in truth\. Correct --data-root\.$"):
        make_split(dataclasses.replace(load_card(mine), root=None), tmp_path / "gone")
    card = dataclasses.replace(load_card("kvasir"), get="", homepage="")
    with pytest.raises(
        UserError, match=r"\.txt.*\. Correct --data-root, or leave out --data-root to"
    ):
        make_split(card, tmp_path / "gone")


def test_new_without_images_or_with_a_wrong_ending(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Pass --images and --masks, or --table"):
        NewConfig(output=tmp_path / "a.yaml")
    with pytest.raises(UserError, match=r"a\.txt should end in \.yaml"):
        NewConfig(table=tmp_path / "t.csv", output=tmp_path / "a.txt")


def test_download_without_a_direct_link_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no direct official link\. The homepage gives"):
        datasets.download(DownloadConfig("polypgen", tmp_path, accept_licence=True))


def test_download_asks_for_the_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(
        "gpsseg.data.download.fetch_source", lambda source, *_: fetched.append(source["url"])
    )
    with pytest.raises(UserError, match="pass --accept-licence if you do"):
        datasets.download(DownloadConfig("kvasir", tmp_path))
    assert "free for research and education" in capsys.readouterr().out, "shown before"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(UserError, match="The licence was not accepted; nothing was fetched"):
        datasets.download(DownloadConfig("kvasir", tmp_path))
    assert not fetched
    monkeypatch.setattr("builtins.input", lambda _: "Yes")
    assert datasets.download(DownloadConfig("kvasir", tmp_path)) == tmp_path
    datasets.download(DownloadConfig("isic2016", tmp_path, accept_licence=True))
    assert len(fetched) == 1 + 4


@pytest.mark.parametrize(
    "command", ["list", "info", "check", "groups", "split", "download", "synthesize", "new"]
)
def test_help_of_each_command_is_fast_and_shows_an_example(command: str) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "gpsseg.datasets", command, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"Example: python -m gpsseg.datasets {command}" in " ".join(done.stdout.split())
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "monai", "numpy", "PIL"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "kvasri"], "Unknown data set 'kvasri'. Did you mean 'kvasir'?"),
        (["check", "--images", "gone", "--masks", "gone"], "--images gone does not exist."),
        (["split", "--output", "x", "--folds", "1"], "--folds must be at least 2, got 1."),
        (["synthesize", "--layout", "kvasri", "--output", "x"], "Unknown data set 'kvasri'."),
        (["new", "--output", "a.yaml"], "Pass --images and --masks, or --table"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    tmp_path: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["", *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("gpsseg.datasets", run_name="__main__", alter_sys=True)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"gpsseg: error: {message}")
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
