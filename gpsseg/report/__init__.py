"""`python -m gpsseg.report`: finished runs side by side, on one page."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.report import ReportConfig
from gpsseg.console import say
from gpsseg.errors import UserError
from gpsseg.files import new_folder, refuse_existing, write_text
from gpsseg.scope import scoped


@scoped
def report(config: ReportConfig) -> Path:
    """Write comparison.html and return its path; see ``ReportConfig``.

    Raises:
        UserError: a folder is no finished run, or the output is not empty.
    """
    from gpsseg.report.page import fill_template
    from gpsseg.report.side_by_side import context, read_runs

    refuse_existing(config.output)
    try:
        runs = read_runs(config.compare)
        page = fill_template("comparison.html", ("table.js", "comparison.js"), context(runs))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"A file of these runs holds other values than gpsseg wrote ({error!r:.200}). Put back "
            "the files, or score the runs again: python -m gpsseg.evaluate --run RUN."
        ) from None
    path = new_folder(config.output) / "comparison.html"
    write_text(path, page)
    say(f"comparison: {path}", style="bold")
    return path
