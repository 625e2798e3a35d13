"""The four files of a paper: hostile names, citations, and what is refused."""

import json
import re

import pytest

from gpsseg.config.report import CHECKLISTS, ReportConfig
from gpsseg.data.cards.card import card_names, load_card
from gpsseg.errors import UserError
from gpsseg.report import report
from gpsseg.report.paper.references import FILE, OF_DATA, known


def test_hostile_names_are_text_everywhere(folder, tools):
    name = "<img src=x onerror=1> [a](javascript:b) 50 % $x$ \\input{y} @k }\n# z"
    tools.change(
        folder, "metrics.json", title=name, citation=name, homepage="h}} @book{", backbone=name
    )
    text = tools.paper(folder, "claim")
    assert "<img" not in text
    assert "](javascript" not in text
    assert "\n# z" not in text
    latex = folder.parent.joinpath("paper", "out.tex").read_text(encoding="utf-8")
    assert r"50 \% \$x\$ \textbackslash{}input\{y\} @k \}" in latex
    entries = folder.parent.joinpath("paper", "out.bib").read_text(encoding="utf-8")
    bare = re.sub(r"\\[{}]", "", entries)
    assert bare.count("{") == bare.count("}")
    assert "@book{" not in entries


@pytest.mark.parametrize("checklist", [None, *CHECKLISTS])
def test_every_citation_has_its_entry_and_none_comes_twice(folder, tools, checklist):
    text = tools.paper(folder, checklist)
    entries = folder.parent.joinpath("paper", "out.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", entries, re.MULTILINE)
    assert set(re.findall(r"(?<!\\)@(\w+)", text)) == set(keys)
    assert len(keys) == len(set(keys))


def test_data_and_networks_that_nobody_looked_up_get_an_entry_of_the_run_s_words(folder, tools):
    tools.change(
        folder, "metrics.json", citation="Us, Our images, 2026", backbone="/home/me/own.pth"
    )
    text = tools.paper(folder)
    entries = folder.parent.joinpath("paper", "out.bib").read_text(encoding="utf-8")
    assert "note = {Us, Our images, 2026}" in entries
    assert "title = {own.pth}" in entries
    assert "/home/me" not in text + entries


def test_references_are_those_that_somebody_may_cite() -> None:
    cited = {load_card(name).citation for name in card_names()}
    assert set(OF_DATA) <= cited
    text = FILE.read_text(encoding="utf-8")
    assert len(known()) == len(re.findall("^@", text, re.MULTILINE))
    assert text.count("{") == text.count("}")


def test_nothing_is_written_over(folder, tools):
    (folder.parent / "paper").mkdir()
    (folder.parent / "paper" / "out.bib").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"out\.bib already exists; gpsseg never overwrites"):
        tools.paper(folder)
    assert [path.name for path in (folder.parent / "paper").iterdir()] == ["out.bib"]


BAD = [
    (
        {"checklist": "ridge"},
        r"ridge is not there, as the full text .* There are claim \(CLAIM, 2024 update\)",
    ),
    ({"checklist": "clam"}, "Unknown checklist 'clam'. Did you mean 'claim'"),
    ({"checklist": "claim", "output": None}, r"--output is missing: name a new file .*FILE\.md"),
    ({"output": "paper"}, r"should end in \.md"),
]


@pytest.mark.parametrize(("options", "said"), BAD)
def test_what_cannot_be_written_is_refused_before(options, said):
    with pytest.raises(UserError, match=said):
        ReportConfig(**{"run": "run", "output": "a.md", **options})


def test_a_folder_without_scores_or_with_bent_ones_is_refused(folder, tools):
    tools.change(folder, "metrics.json", seconds={"training": 1.0}, strata=[], images=3)
    held = json.loads((folder / "config.json").read_text())
    tools.change(folder, "config.json", config=held["config"] | {"lr": "fast"})
    with pytest.raises(UserError, match="holds other values than gpsseg wrote"):
        report(ReportConfig(run=folder, output=folder.parent / "a.md"))
    assert not list(folder.parent.glob("a.*"))
    (folder / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"has no metrics\.json, expected the folder of a finished"):
        report(ReportConfig(run=folder, output=folder.parent / "a.md"))
