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
    """

    compare: tuple[Path, ...]
    """Two to eight folders of runs or evaluations; the others are compared with the first."""
    output: Path
    """Folder for comparison.html; must not exist."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 2 <= len(self.compare) <= MOST_RUNS:
            raise UserError(
                f"--compare takes 2 to {MOST_RUNS} run folders, got {len(self.compare)}."
            )
