"""Checklists of journals: the items as data, and filled with what a folder says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from gpsseg.reading import fitted
from gpsseg.reading_yaml import read_yaml
from gpsseg.report.paper.facts import FolderFacts, Sentence
from gpsseg.report.paper.fillers import say_apart
from gpsseg.report.paper.texts import markdown

FOLDER = Path(__file__).resolve().with_name("checklists")
OfItem = TypedDict("OfItem", {"mark": str, "from": list[str], "authors": str}, total=False)


class Item(OfItem):
    """An item: number and section as published, what it asks, who fills it."""

    number: str
    section: str
    item: str


class OfChecklist(TypedDict, total=False):
    """What not every checklist has."""

    note: str


class Checklist(OfChecklist):
    """A file of ``checklists/``."""

    title: str
    cite: str
    source: str
    items: list[Item]


@dataclass(frozen=True)
class Filled:
    """An item with what there is to say.

    Attributes:
        item: it.
        said: by the folder.
        authors: what only the authors can say; empty if the folder has said all.
    """

    item: Item
    said: list[Sentence]
    authors: str


def read_checklist(name: str) -> Checklist:
    """A checklist by its name on the command line."""
    path = FOLDER / f"{name}.yaml"
    found: Checklist = fitted(read_yaml(path, "checklist"), Checklist, str(path))
    return found


def fill(checklist: Checklist, facts: FolderFacts) -> list[Filled]:
    """Every item with what the folder says of it; where that is nothing, the authors must."""
    filled = []
    for item in checklist["items"]:
        said = say_apart(facts, item.get("from", ()))
        authors = item.get("authors", "")
        if not said and not authors:
            authors = "This folder does not tell."
        filled.append(Filled(item, said, authors))
    return filled


def as_markdown(checklist: Checklist, filled: list[Filled]) -> str:
    """The filled checklist."""
    whole = sum(1 for one in filled if one.said and not one.authors)
    part = sum(1 for one in filled if one.said and one.authors)
    lines = [
        f"## {checklist['title']}",
        "",
        f"Items in our own words, after the published checklist [@{checklist['cite']}], read in "
        "two public copies; check the journal's own form before you submit: "
        f"<{checklist['source']}>.",
        *filter(None, [checklist.get("note")]),
        "",
        f"{len(filled)} items: {whole} said by this folder, {part} in part, "
        f"{len(filled) - whole - part} only by you.",
    ]
    section = ""
    for one in filled:
        if one.item["section"] != section:
            section = one.item["section"]
            lines += ["", f"### {section}"]
        lines += ["", *_lines(one)]
    return "\n".join(lines) + "\n"


def _lines(one: Filled) -> list[str]:
    mark = f" ({one.item['mark']})" if "mark" in one.item else ""
    return [
        f"**{one.item['number']}**{mark} {one.item['item']} (page ...)",
        "",
        *(f"- {sentence(said)} ({', '.join(f'`{f}`' for f in said.files)})" for said in one.said),
        *([f"- **You must say:** {one.authors}"] if one.authors else []),
    ]


def sentence(said: Sentence) -> str:
    """A sentence in Markdown, with its citations ahead of the full stop."""
    text = markdown(said.text)
    if not said.cites:
        return text
    cited = f"[{'; '.join(f'@{key}' for key in said.cites)}]"
    return f"{text[:-1]} {cited}." if text.endswith(".") else f"{text} {cited}"
