"""What is said on one page is not said again on another: there a link stands."""

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = 10  # in a row
NOT_PROSE = re.compile(r"^```.*?^```|^(?:\||#|!\[).*?$|\]\([^)]*\)", re.M | re.S)
WORD = re.compile(r"[^\W_][\w%'-]*|\.\d+")


def said_twice(pages: Mapping[str, str], words: int = WORDS) -> list[str]:
    """Runs of so many words that pages share, outside code, tables, headings and links' targets."""
    where: dict[str, dict[str, int]] = defaultdict(dict)
    for page, text in pages.items():
        told = WORD.findall(NOT_PROSE.sub(" ", text.lower()))
        for i in range(len(told) - words + 1):
            where[" ".join(told[i : i + words])].setdefault(page, i)
    shared = [(run, [*at], next(iter(at.values()))) for run, at in where.items() if len(at) > 1]
    together = groupby(enumerate(shared), lambda each: (each[1][1], each[1][2] - each[0]))
    return [f"{', '.join(of)}: {next(runs)[1][0]} ..." for (of, _), runs in together]


def pages() -> dict[str, str]:
    """The pages by name; tables of results share their legends, so they are one."""
    found: dict[str, str] = defaultdict(str)
    for path in (ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if path.name != "commands.md":  # made of every --help when the site is built
            name = "docs/results" if path.parent.name == "results" else path.name
            found[name] += path.read_text(encoding="utf-8")
    return found


def test_pages_share_no_sentence() -> None:
    there = pages()
    assert len(there) > 30
    assert said_twice(there) == []


def test_what_is_said_twice_is_found_once() -> None:
    sentence = "One two three four five six seven eight nine ten, [eleven](a.md) and twelve."
    one, other = f"# A\n\nBefore. {sentence}\n", f"Another\n{sentence.lower()} After.\n"
    assert said_twice({"a": one, "b": other}) == [
        "a, b: one two three four five six seven eight nine ten ..."
    ]
    assert said_twice({"a": one, "b": other.replace("five", "5")}) == []
    assert said_twice({"a": one, "b": f"```bash\n{sentence}\n```\n| {sentence} |\n"}) == []
