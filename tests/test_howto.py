"""The how-to pages of docs/, done as they say: lines put into the package, cards, commands."""

import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from PIL import Image

import gpsseg.config.evaluate
import gpsseg.config.methods
import gpsseg.evaluators.about
import gpsseg.evaluators.protocols
import gpsseg.evaluators.rules
import gpsseg.tuning.whole
from gpsseg.data.cards.card import load_card
from gpsseg.data.cards.groups import with_groups
from gpsseg.data.case import Case
from gpsseg.data.splits.split import find_cases
from gpsseg.reading import read_json

ROOT = Path(__file__).parents[1]
PAGES = {
    name: (ROOT / "docs" / f"howto-{name}.md").read_text(encoding="utf-8")
    for name in ("data-set", "method", "score")
}


def blocks(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGES[page], re.S)


def patched(page):
    """The files that a page changes, as it says: path -> text."""
    files = {}
    for block in blocks(page, "diff"):
        head, *lines = block.splitlines()
        path = head.removeprefix("--- ")
        text = files.get(path) or (ROOT / path).read_text(encoding="utf-8")
        old, new = ("\n".join(s[1:] for s in lines if s[:1] != without) for without in "+-")
        assert text.count(f"{old}\n") == 1, f"{path}: {old}"
        files[path] = text.replace(f"{old}\n", f"{new}\n")
    return files


def run(text, name):
    """A module of that text, under the name of the one that it replaces."""
    module = ModuleType(name)
    module.__package__ = name if name == "gpsseg.tuning" else name.rpartition(".")[0]
    exec(compile(text, name, "exec"), module.__dict__)
    return module


@pytest.fixture
def with_method(monkeypatch):
    """The package as the page on methods leaves it."""
    files = patched("method")
    whole = run(files["gpsseg/tuning/whole.py"], "gpsseg.tuning.whole")
    monkeypatch.setattr(gpsseg.tuning.whole, "first", whole.first, raising=False)
    methods = run(files["gpsseg/tuning/__init__.py"], "gpsseg.tuning").METHODS
    monkeypatch.setattr(gpsseg.tuning, "METHODS", methods)
    told = run(files["gpsseg/config/methods.py"], "gpsseg.config.methods")
    assert set(told.METHOD_OPTIONS) == set(methods) == set(told.METHOD_TITLES)
    return methods


def test_the_method_of_the_page_is_one(with_method):
    assert list(with_method)[8:] == ["first", "lora", "dora", "adapter", "ssf"]
    method = with_method["first"]
    assert (method.rate, method.adds, method.selects) == ("values", None, None)
    (block,) = blocks("method", "python")
    there = {}
    exec(block, there)
    there["test_the_first_layer_alone"]()


@pytest.fixture
def with_score(monkeypatch):
    """The package as the page on scores leaves it."""
    files = patched("score")
    about = run(files["gpsseg/evaluators/about.py"], "gpsseg.evaluators.about").ABOUT
    rules = run(files["gpsseg/evaluators/rules.py"], "gpsseg.evaluators.rules")
    monkeypatch.setattr(gpsseg.evaluators.about, "ABOUT", about)
    monkeypatch.setattr(gpsseg.evaluators.rules, "similar_size", rules.similar_size, raising=False)
    protocols = run(files["gpsseg/evaluators/protocols.py"], "gpsseg.evaluators.protocols")
    monkeypatch.setattr(gpsseg.evaluators, "Scorer", protocols.Scorer)
    told = run(files["gpsseg/config/evaluate.py"], "gpsseg.config.evaluate").PROTOCOLS
    assert set(told) == set(protocols.registry())
    return protocols


def test_the_score_of_the_page_is_one(with_score):
    (block,) = blocks("score", "python")
    there = {}
    exec(block, there)
    there["test_sizes_by_hand_and_by_their_definition"]()
    assert "wherever they lie" in with_score.protocol_named("similar-size").about


@pytest.mark.parametrize("page", ["method", "score"])
def test_what_a_page_adds_is_in_the_style_of_the_house(page, tmp_path):
    for path, text in patched(page).items():
        lines = [line for line in text.splitlines() if len(line) > 100]
        assert not lines, path
        assert len(text.splitlines()) <= 300, path


@pytest.fixture
def clinic(tmp_path, monkeypatch):
    """The folder of the page: eight patients, two images each; and the card that it shows."""
    for folder in ("scans", "truth"):
        (tmp_path / "clinic" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(16):
        name = f"patient{number // 2 + 1}_{'ab'[number % 2]}"
        mask = np.zeros((40, 40), np.uint8)
        mask[number : number + 12, 8:30] = 255
        picture = rng.integers(0, 90, (40, 40, 3)).astype(np.uint8) + mask[..., None] // 3
        Image.fromarray(picture).save(tmp_path / "clinic" / "scans" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "clinic" / "truth" / f"{name}_mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(line, monkeypatch):
    """Do what a line of a page says, in this process."""
    words = shlex.split(line)
    assert words[:2] == ["python", "-m"]
    monkeypatch.setattr(sys, "argv", words[2:])
    try:
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            pytest.fail(line)


COMMANDS = [line for block in blocks("data-set", "sh") for line in block.strip().splitlines()]


def test_a_card_is_written_completed_looked_at_and_split(clinic, monkeypatch):
    new, *looks = (line for line in COMMANDS if "finetune" not in line)
    typed(new, monkeypatch)
    assert len(find_cases(load_card("mine.yaml"), None).cases) == 16
    (clinic / "mine.yaml").write_text(blocks("data-set", "yaml")[0])
    for line in looks:
        typed(line, monkeypatch)
    assert (clinic / "check.html").is_file()
    tests = []
    for number in range(1, 5):
        fold = read_json(clinic / "folds" / f"fold-{number}.json")
        patients = {part: {name[:8] for name in fold[part]} for part in ("train", "test")}
        assert not patients["train"] & patients["test"]
        tests += fold["test"]
    assert len(tests) == len(set(tests)) == 16


@pytest.mark.slow  # trainings
def test_a_card_of_the_page_is_trained_with(clinic, monkeypatch):
    test_a_card_is_written_completed_looked_at_and_split(clinic, monkeypatch)
    for line in (line for line in COMMANDS if "finetune" in line):
        typed(line, monkeypatch)
    fold = read_json(clinic / "folds" / "fold-1.json")
    assert read_json(clinic / "runs" / "fold" / "split.json")["test"] == fold["test"]
    assert (clinic / "runs" / "mine" / "report.html").is_file()


def test_what_else_a_card_can_say(clinic):
    first, *others = map(yaml.safe_load, blocks("data-set", "yaml"))
    assert len(others) == 5
    root = clinic / "clinic"
    for names in ("train.txt", "test.txt"):
        (root / names).write_text("patient1_a\n" if names[:2] == "te" else "patient2_a\n")
    (root / "patients.csv").write_text("image,patient\npatient1_a,p\npatient2_a,q\n")
    scans = [path.stem for path in (root / "scans").iterdir()]
    for folder in ("train", "train-masks", "test", "test-masks", "anna", "ben", "eva"):
        (root / folder).mkdir()
        for image in scans if folder in ("anna", "ben", "eva") else (folder[:2],):
            Image.fromarray(np.eye(40, dtype=bool)).save(root / folder / f"{image}.png")
    found = []
    for number, other in enumerate(others):
        path = clinic / f"{number}.yaml"
        path.write_text(yaml.safe_dump(first | other))
        found.append(load_card(str(path)))
    by_table, apart, by_lists, by_several, of_classes = found
    case = Case("patient2_a", Path("x"), None)
    assert [c.group for c in with_groups([case], by_table.group, root)] == ["q"]
    assert [c.group for c in with_groups([case], apart.group, root)] == ["patient2"]
    assert {p: len(c) for p, c in find_cases(apart, None).parts.items()} == {"train": 1, "test": 1}
    assert [c.id for c in find_cases(by_lists, None).parts["test"]] == ["patient1_a"]
    assert of_classes.classes == {"liver": 1, "tumour": 2}
    several = find_cases(by_several, None).cases
    assert {len((case.mask, *case.opinions)) for case in several} == {3}


def targets():
    """Page -> what it shows of the package."""
    pages = (ROOT / "docs" / "api").glob("*.md")
    return {p.stem: re.findall(r"^::: ([\w.]+)$", p.read_text("utf-8"), re.M) for p in pages}


@pytest.mark.parametrize("room", ["gpsseg", "gpsseg.gps", "gpsseg.evaluators"])
def test_all_that_a_room_gives_is_on_its_page(room):
    names = {name.rpartition(".")[2] for name in targets()[room.rpartition(".")[2]]}
    assert not set(importlib.import_module(room).__all__) - names - {"__version__"}


def test_what_an_api_page_shows_is_there_and_is_no_module():
    for name in (name for names in targets().values() for name in names):
        home, _, last = name.rpartition(".")
        found = getattr(importlib.import_module(home), last)
        assert not isinstance(found, ModuleType) or home == "gpsseg", name
