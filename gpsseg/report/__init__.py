"""`python -m gpsseg.report`: finished runs side by side, on one page; comparisons as a figure."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.folder import RunFolder, StudyFolder, goes_on_by
from gpsseg.config.report import ReportConfig
from gpsseg.console import say
from gpsseg.errors import UserError
from gpsseg.files import write_text
from gpsseg.folders import new_folder, refuse_existing
from gpsseg.scope import scoped
from gpsseg.writing import make_folder, remove_partials


@scoped
def report(config: ReportConfig) -> Path:
    """Write comparison.html, a figure, a paper's text or a missing report.html; return its path.

    See ``ReportConfig``.

    Raises:
        UserError: a folder is no finished run, or the output is there already.
    """
    from gpsseg.report.contents import refusing_other_values
    from gpsseg.report.figure import draw_figure
    from gpsseg.report.page import fill_template
    from gpsseg.report.paper.write import write_paper
    from gpsseg.report.side_by_side import context, read_runs

    if config.run is not None and config.output is None:
        return _missing_page(config.run)
    assert config.output, "its constructor refuses none"
    if config.run is not None:
        with refusing_other_values():
            files = write_paper(config.run, config.checklist, config.output)
        say("paper (and beside it .csv, .tex and .bib):", "bold", files[0])
        return files[0]
    refuse_existing(config.output)
    if config.comparisons:
        with refusing_other_values():
            svg = draw_figure(config.comparisons)
        make_folder(config.output.parent)
        write_text(config.output, svg)
        say("figure:", "bold", config.output)
        return config.output
    with refusing_other_values():
        runs = read_runs(config.compare)
        page = fill_template("comparison.html", ("table.js", "comparison.js"), context(runs))
    path = new_folder(config.output) / "comparison.html"
    write_text(path, page)
    say(f"comparison: {path}", style="bold")
    return path


def _missing_page(run: Path) -> Path:
    """Write the page of a run that has its scores.

    Raises:
        UserError: it has its page, or no scores.
    """
    from gpsseg.report.run import write_report

    files, is_study = RunFolder(run), StudyFolder(run).is_study
    if files.report.exists():
        raise UserError(f"{files.report} is there already; gpsseg never overwrites. Move it away.")
    if not files.metrics.is_file():
        again = ""
        if files.config.is_file() or is_study:
            again = f" Go on by: {goes_on_by(run)}"
        raise UserError(f"{run} has no metrics.json, expected the folder of a run.{again}")
    page = write_report(run)
    remove_partials(run)
    say("report:", "bold", page)
    if is_study:
        say("The study's command, given once more, draws it with pictures.")
    else:
        say("Pictures are on the page of: python -m gpsseg.evaluate --run", place=run)
    return page
