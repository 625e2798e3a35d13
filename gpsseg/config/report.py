"""What `python -m gpsseg.report` can be asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.errors import UserError, look_up

MOST_RUNS, MOST_COMPARISONS = 8, 16
CHECKLISTS: Mapping[str, str] = {  # name -> its version
    "claim": "CLAIM, 2024 update",
    "tripod-ai": "TRIPOD+AI, 2024",
}
MISSING: Mapping[str, str] = {
    "ridge": "the full text of its items was not at hand when this version was written, and no "
    "item is written from memory",
}
REPORT_CONDITIONS: Conditions = {
    "checklist": Condition("--run", lambda config: config.run is not None),
}


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Put finished runs side by side: scores, paired differences, settings and training curves.

    Example: python -m gpsseg.report --compare runs/first runs/second --output comparison

    Or write what a paper needs of one run, evaluation or study: methods and results in words, the
    scores as a table (Markdown, LaTeX, CSV), BibTeX, and a journal's checklist filled from what the
    run knows, with what only the authors can say.

    Example: python -m gpsseg.report --run runs/first --checklist claim --output paper/first.md

    Or draw finished comparisons: mDice against what trains, the delta's size, a step's time and the
    peak memory, a row of charts for each number of training images, and what was gained against
    what was kept where it was made with --also-on, as one SVG.

    Example: python -m gpsseg.report --comparisons compared --output figure.svg

    Or write the page of one run that was stopped when all but its report.html was there.

    Example: python -m gpsseg.report --run runs/first
    """

    compare: tuple[Path, ...] = ()
    """Two to eight folders of runs, evaluations or studies; the others are compared with the first,
    on the images in common."""
    comparisons: tuple[Path, ...] = ()
    """Folders of gpsseg.compare, or tables with the columns of their compare.csv, to draw as a
    figure into --output FILE.svg."""
    output: Path | None = None
    """Folder for comparison.html; must not exist. With --comparisons, a new file FILE.svg. With
    --run, a file FILE.md: FILE.csv, FILE.tex and FILE.bib are written beside it, and none of them
    may exist."""
    run: Path | None = None
    """A run (or evaluation, or study) that has its scores. With --output: what a paper needs of it.
    Without: its report.html, which must be missing, without pictures."""
    checklist: str | None = None
    """Also fill a checklist: claim (2024 update) or tripod-ai (2024)."""

    def __post_init__(self) -> None:
        check_types(self)
        refuse_idle(self, REPORT_CONDITIONS)
        if self.run is not None:
            self._refuse_beside_run()
            return
        if self.comparisons:
            self._refuse_beside_comparisons()
            return
        if self.output is None:
            raise UserError("--output is missing: name a new folder for comparison.html.")
        if not 2 <= len(self.compare) <= MOST_RUNS:
            raise UserError(
                f"--compare takes 2 to {MOST_RUNS} run folders, got {len(self.compare)}."
            )

    def _refuse_beside_comparisons(self) -> None:
        if self.compare:
            raise UserError("--comparisons makes a figure, --compare a page; leave one out.")
        if len(self.comparisons) > MOST_COMPARISONS:
            raise UserError(
                f"--comparisons takes at most {MOST_COMPARISONS}, got {len(self.comparisons)}. "
                "Draw several figures."
            )
        twice = [f for f, n in Counter(f.resolve() for f in self.comparisons).items() if n > 1]
        if twice:
            raise UserError(f"--comparisons {twice[0]} is named twice. Name it once.")
        if self.output is None or self.output.suffix.lower() != ".svg":
            got = "nothing" if self.output is None else self.output
            raise UserError(f"--output should end in .svg beside --comparisons, got {got}.")

    def _refuse_beside_run(self) -> None:
        if self.compare or self.comparisons:
            given = "--compare" if self.compare else "--comparisons"
            raise UserError(f"--run is of one run; leave {given} out.")
        if self.checklist is not None and self.checklist in MISSING:
            there = " and ".join(f"{name} ({version})" for name, version in CHECKLISTS.items())
            raise UserError(
                f"--checklist {self.checklist} is not there, as {MISSING[self.checklist]}. "
                f"There are {there}."
            )
        if self.checklist is not None:
            look_up(self.checklist, CHECKLISTS, "checklist")
            if self.output is None:
                raise UserError("--output is missing: name a new file for the text, FILE.md.")
        if self.output is not None and self.output.suffix.lower() != ".md":
            raise UserError(
                f"--output {self.output} should end in .md: with --run it is the text for a paper. "
                "For the page of a run leave it out."
            )
