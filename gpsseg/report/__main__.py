"""`python -m gpsseg.report`."""

from gpsseg.config.report import ReportConfig
from gpsseg.console import run_command
from gpsseg.report import report

if __name__ == "__main__":
    run_command(report, ReportConfig, "report")
