"""What `python -m gpsseg.report` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.checked import check_types
from gpsseg.errors import UserError

MOST_RUNS = 8


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Put finished runs side by side: scores, paired differences, settings and training curves.

    Example: python -m gpsseg.report --compare runs/first runs/second --output comparison

    Or write the page of one run that was stopped when all but its report.html was there.

    Example: python -m gpsseg.report --run runs/first
    """

    compare: tuple[Path, ...] = ()
    """Two to eight folders of runs or evaluations; the others are compared with the first."""
    output: Path | None = None
    """Folder for comparison.html; must not exist."""
    run: Path | None = None
    """A run that has its scores and no report.html: that is written, without pictures."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.run is not None:
            if self.compare or self.output:
                raise UserError(
                    "--run writes one run's own page; leave --compare and --output out."
                )
            return
        if self.output is None:
            raise UserError("--output is missing: name a new folder for comparison.html.")
        if not 2 <= len(self.compare) <= MOST_RUNS:
            raise UserError(
                f"--compare takes 2 to {MOST_RUNS} run folders, got {len(self.compare)}."
            )
