"""`python -m gpsseg.report`: finished runs side by side, on one page."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.report import ReportConfig
from gpsseg.console import run_command, say
from gpsseg.files import new_folder, refuse_existing, write_text


def report(config: ReportConfig) -> Path:
    """Write comparison.html and return its path; see ``ReportConfig``.

    Raises:
        UserError: a folder is no finished run, or the output is not empty.
    """
    from gpsseg.report import fill
    from gpsseg.report.comparison import context, read_runs

    refuse_existing(config.output)
    runs = read_runs(config.compare)
    page = fill("comparison.html", ("table.js", "comparison.js"), context(runs))
    path = new_folder(config.output) / "comparison.html"
    write_text(path, page)
    say(f"comparison: {path}", style="bold")
    return path


if __name__ == "__main__":
    run_command(report, ReportConfig, "report")
