"""The four files of a paper, beside one another."""

from __future__ import annotations

from pathlib import Path

from gpsseg.files import write_rows, write_text
from gpsseg.folders import refuse_existing
from gpsseg.report.paper import table
from gpsseg.report.paper.checklist import as_markdown, fill, read_checklist, sentence
from gpsseg.report.paper.facts import FolderFacts, Sentence, read_facts
from gpsseg.report.paper.fillers import METHODS, RESULTS, say_all
from gpsseg.report.paper.references import bibtex
from gpsseg.report.paper.texts import markdown
from gpsseg.writing import make_folder

BESIDE = (".csv", ".tex", ".bib")


def files_of(output: Path) -> list[Path]:
    """The files that are written: the text, and beside it table and references."""
    return [output, *(output.with_suffix(ending) for ending in BESIDE)]


def write_paper(run: Path, checklist: str | None, output: Path) -> list[Path]:
    """Write what a paper needs of a run, an evaluation or a study; return the files.

    Args:
        run: its folder.
        checklist: name of a file of ``checklists/``, or None.
        output: of the text, FILE.md; the table is FILE.csv and FILE.tex, BibTeX is FILE.bib.

    Raises:
        UserError: the folder has no scores, or a file is there already.
    """
    text, rows, latex, references = files = files_of(output)
    for path in files:
        refuse_existing(path)
    facts = read_facts(run)
    found = table.rows(facts)
    make_folder(text.parent)
    body, cited = _text(facts, checklist)
    write_rows(rows, table.as_csv(found, facts))
    write_text(latex, table.as_latex(found, table.caption(facts)))
    version = str(facts.run.config.get("versions", {}).get("gpsseg", ""))
    write_text(references, _marked(facts, bibtex(cited, facts.metrics, version)))
    write_text(text, body)
    return files


def _text(facts: FolderFacts, checklist: str | None) -> tuple[str, list[str]]:
    """The text in Markdown, and the keys of what it cites.

    It does not name its own files, which may be called after somebody.
    """
    methods, results = say_all(facts, METHODS), say_all(facts, RESULTS)
    cited = [key for said in (*methods, *results) for key in said.cites]
    parts = [
        "# For the paper",
        *(f"**{markdown(mark)}**" for mark in table.marks(facts)),
        "The citations are of the .bib file beside this one (for pandoc: --citeproc "
        "--bibliography); the table is there as .tex and .csv too. Check every sentence before you "
        "sign it.",
        "## Methods",
        _paragraph(methods),
        "## Results",
        _paragraph(results),
        "## Scores",
        markdown(table.caption(facts)),
        table.as_markdown(table.rows(facts)),
    ]
    if checklist:
        chosen = read_checklist(checklist)
        filled = fill(chosen, facts)
        cited += [
            chosen["cite"],
            *(key for one in filled for said in one.said for key in said.cites),
        ]
        parts.append(as_markdown(chosen, filled))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n", cited


def _paragraph(found: list[Sentence]) -> str:
    """Sentences in a row, and below where they are from."""
    files = dict.fromkeys(name for said in found for name in said.files)
    told = ", ".join(f"`{name}`" for name in files)
    return f"{' '.join(map(sentence, found))}\n\n(From {told}.)"


def _marked(facts: FolderFacts, entries: str) -> str:
    return "".join(f"% {mark}\n" for mark in table.marks(facts)) + entries
